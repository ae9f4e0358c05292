"""The command line looks into a running server: `rmail sessions`, `rmail trace`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import sys
from pathlib import Path

import pytest

from rmail_kernel.observe.sessions import OpenSession, SessionFacts, Tracer
from rmail_kernel.process.control import PREFIX, Control, ask
from rmail_kernel.testing import RunningServer


@pytest.fixture
def rmail_plugins() -> list[str]:
    return ["smtp"]


async def _command(server: RunningServer, *words: str) -> tuple[int, str]:
    config = server.mail_root.parent / "config.json"
    config.write_text(json.dumps({"mail_root": str(server.mail_root), "plugins": ["smtp"]}))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "rmail_kernel.cli", *words, "--config", str(config),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    async with asyncio.timeout(30):
        said, _ = await process.communicate()
    return process.returncode or 0, said.decode()


async def test_sessions_of_every_protocol_are_listed_and_ended(rmail_server: RunningServer) -> None:
    async with rmail_server.connect("smtp") as client:
        await client.expect("220 *")
        code, said = await _command(rmail_server, "sessions", "--json")
        assert code == 0
        (one,) = json.loads(said)
        assert one["protocol"] == "smtp"
        code, said = await _command(rmail_server, "sessions")
        assert said.startswith("id ")
        assert one["id"] in said
        code, said = await _command(rmail_server, "sessions", "kick", one["id"])
        assert (code, said.startswith("ended smtp session")) == (0, True)
        await client.expect("421 *")
    code, _ = await _command(rmail_server, "sessions", "kick", "nobody")
    assert code == 1


async def test_a_trace_ends_by_itself_and_has_a_limit(
    rmail_server: RunningServer, tmp_path: Path
) -> None:
    tracers: list[Tracer | None] = []

    def trace(tracer: Tracer | None) -> None:
        tracers.append(tracer)
        if tracer is not None:
            tracer("client", b"a NOOP\r\n")
            tracer("server", b"a OK done\r\n" + b"x" * 100)

    session = OpenSession(
        lambda: SessionFacts("0123456789", "imap", "", "alice@example.com"), lambda: None, trace
    )
    with rmail_server.kernel.connection("imap", session):
        code, said = await _command(rmail_server, "trace", "alice@example.com", "--seconds", "1")
        announced, *lines = said.splitlines()
        assert announced == "what clients of alice@example.com say, for 1 s; Ctrl-C ends it"
        assert (code, lines[:2]) == (0, ["01234567 C: a NOOP", "01234567 S: a OK done"])
        target = tmp_path / "trace.txt"
        words = ("trace", "alice@example.com", "--bytes", "30", "--output", str(target))
        code, _ = await _command(rmail_server, *words)
        assert code == 0
        assert target.read_text() == "01234567 C: a NOOP\n01234567 S:"[:30]
        assert target.stat().st_mode & 0o077 == 0
    assert tracers[-1] is None  # nobody listens any more


async def test_what_is_no_question_is_not_answered(rmail_server: RunningServer) -> None:
    (path,) = (rmail_server.mail_root / "run").glob(f"{PREFIX}*.sock")
    assert path.stat().st_mode & 0o077 == 0
    for raw in (b"\n", b"x\n", b"[]\n", b'{"do":"kick"}\n', b"y" * 10_000 + b"\n"):
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(raw)
        async with asyncio.timeout(10):
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
        writer.close()


async def test_a_socket_of_a_dead_process_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    dead = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    dead.bind(str(tmp_path / "run" / f"{PREFIX}1.sock"))
    dead.close()
    assert [one async for one in ask(tmp_path, {"do": "sessions"})] == []


async def test_sockets_of_killed_processes_are_removed(rmail_server: RunningServer) -> None:
    run = rmail_server.mail_root / "run"
    ended = await asyncio.create_subprocess_exec("true")
    await ended.wait()
    for name in (str(ended.pid), "x"):
        (run / f"{PREFIX}{name}.sock").touch()
    control = Control(rmail_server.kernel)
    await control.start()
    assert [path.name for path in run.glob(f"{PREFIX}*.sock")] == [f"{PREFIX}{os.getpid()}.sock"]
    control.close()
