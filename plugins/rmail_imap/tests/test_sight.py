"""Sessions seen and heard from outside, commands counted, clients told of progress."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client import REGISTRY
from rmail_imap import keepalive, metrics
from rmail_imap.extensions import Command, Extension, Session, State, no_arguments
from rmail_imap.wire import Wire

from rmail_kernel.hooks import hookimpl
from rmail_kernel.process.control import ask
from rmail_kernel.testing import RunningServer

if TYPE_CHECKING:
    from plugins.rmail_imap.tests.conftest import Connect, Fill


async def _asked(server: RunningServer, **question: object) -> list[dict[str, Any]]:
    return [one async for one in ask(server.mail_root, question)]


async def test_sessions_are_listed(
    rmail_server: RunningServer, connect: Connect, fill: Fill
) -> None:
    await fill(1)
    client = await connect("INBOX")
    await client.run("""
        C: a ID ("name" "Old Mailer" "version" "9")
        S: * ID (*)
        S: a OK *
    """)
    async with rmail_server.connect("imap") as early:
        await early.expect("* OK *")
        found = await _asked(rmail_server, do="sessions")
    one = next(session for session in found if session["account"])
    assert one["account"] == "alice@example.com"
    assert (one["protocol"], one["mailbox"], one["client"]) == ("imap", "INBOX", "Old Mailer")
    assert one["peer"].startswith("127.0.0.1:")
    assert one["sent_bytes"] > one["received_bytes"] > 50
    assert 0 <= one["age_s"] < 60
    assert [session["account"] for session in found if session is not one] == [""]


async def test_a_session_is_ended_by_its_id_or_its_account(
    rmail_server: RunningServer, connect: Connect
) -> None:
    one, other = await connect(), await connect("INBOX")
    await other.run("""
        C: a IDLE
        S: + idling
    """)
    (id_,) = {s["id"] for s in await _asked(rmail_server, do="sessions") if s["mailbox"]}
    assert len(await _asked(rmail_server, do="kick", who=id_)) == 1
    await other.expect("* BYE An administrator ended the session")
    assert await _asked(rmail_server, do="kick", who="nobody") == []
    assert await _asked(rmail_server, do="kick", who="") == []
    assert len(await _asked(rmail_server, do="kick", who="alice@example.com")) == 1
    await one.expect("* BYE *")


async def test_a_trace_hears_an_account_and_no_password(
    rmail_server: RunningServer, connect: Connect
) -> None:
    client = await connect()
    heard: list[dict[str, Any]] = []
    has_answer = asyncio.Event()

    async def listen() -> None:
        question = {"do": "trace", "account": "alice@example.com"}
        async for record in ask(rmail_server.mail_root, question):
            heard.append(record)
            if "c OK" in record["text"]:
                has_answer.set()

    listening = asyncio.create_task(listen())
    async with asyncio.timeout(10):
        while not has_answer.is_set():
            await client.send(b"b LOGIN alice secret\r\nb LOGIN {5+}\r\nalice {6+}\r\nsecret\r\n")
            await client.send(b"c NOOP\r\n")
            await client.run("S: b BAD *\nS: b BAD *\nS: c OK *")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.1):
                    await has_answer.wait()
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
    text = json.dumps(heard)
    assert "b LOGIN ***" in text
    assert "secret" not in text
    assert {record["from"] for record in heard} == {"client", "server"}
    await client.run("""
        C: d NOOP
        S: d OK *
    """)


async def test_a_trace_hears_sessions_from_their_login_on_and_no_other_account(
    rmail_server: RunningServer,
) -> None:
    heard = ""
    has_ended = asyncio.Event()

    async def listen() -> None:
        nonlocal heard
        question = {"do": "trace", "account": "alice@example.com"}
        async for record in ask(rmail_server.mail_root, question):
            heard += record["text"]
            if "k LOGOUT" in heard:
                has_ended.set()

    listening = asyncio.create_task(listen())
    async with asyncio.timeout(10):
        while not rmail_server.kernel.sessions._watchers:
            await asyncio.sleep(0)
    async with rmail_server.connect("imap") as client, rmail_server.connect("imap") as last:
        await client.run("""
            S: * OK *
            C: a LOGIN bob secret
            S: a OK *
            C: b UNAUTHENTICATE
            S: b OK *
            C: c LOGIN alice secret
            S: c OK *
            C: d NOOP
            S: d OK *
            C: e UNAUTHENTICATE
            S: e OK *
            C: f LOGIN bob secret
            S: f OK *
            C: g LOGOUT
            S: * BYE *
            S: g OK *
        """)
        await last.run("S: * OK *\nC: j LOGIN alice secret\nS: j OK *")
        await last.run("C: k LOGOUT\nS: * BYE *\nS: k OK *")
    async with asyncio.timeout(10):
        await has_ended.wait()
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
    told = [line[:4] for line in heard.splitlines()]
    assert told[:6] == ["c OK", "d NO", "d OK", "e UN", "j OK", "k LO"]


async def test_commands_are_counted_and_timed(connect: Connect) -> None:
    client = await connect()
    metrics.tell()
    before = REGISTRY.get_sample_value(
        "rmail_imap_commands_total", {"command": "NAMESPACE", "result": "OK"}
    )
    await client.run("""
        C: a NAMESPACE
        S: * NAMESPACE *
        S: a OK *
        C: b SELECT nowhere
        S: b NO *
        C: c FOO
        S: c BAD *
    """)
    metrics.tell()
    for command, result in (("NAMESPACE", "OK"), ("SELECT", "NO"), ("unknown", "BAD")):
        labels = {"command": command, "result": result}
        assert (REGISTRY.get_sample_value("rmail_imap_commands_total", labels) or 0) >= 1
    after = REGISTRY.get_sample_value(
        "rmail_imap_commands_total", {"command": "NAMESPACE", "result": "OK"}
    )
    assert (after or 0) - (before or 0) == 1
    assert REGISTRY.get_sample_value("rmail_imap_command_seconds_count", {"command": "NAMESPACE"})


class _Slow:
    """A plugin with a command that ends when it is let go."""

    name = "slow"

    def __init__(self) -> None:
        self.may_end = asyncio.Event()

    @hookimpl
    def register_imap_extensions(self) -> list[Extension]:
        """The command SLOW."""

        async def slow(session: Session, _: None) -> None:
            await self.may_end.wait()
            session.write(b"* done\r\n")

        return [Command("SLOW", no_arguments, slow, State.AUTHENTICATED)]


class TestProgress:
    @pytest.fixture
    def rmail_settings(self) -> dict[str, Any]:
        return {"imap": {"progress_s": 0.1}}

    @pytest.fixture
    def slow(self) -> _Slow:
        return _Slow()

    @pytest.fixture
    def rmail_extra_plugins(self, slow: _Slow) -> dict[str, object]:
        return {"slow": slow}

    # RFC 9585 4: a tag that would end the response code is not told.
    @pytest.mark.parametrize(
        ("tag", "code"), [("a&b", 'INPROGRESS ("a&b" NIL NIL)'), ("a]b", "INPROGRESS")]
    )
    async def test_a_client_hears_that_its_command_is_worked_on(
        self, connect: Connect, slow: _Slow, tag: str, code: str
    ) -> None:
        client = await connect()
        await client.send(f"{tag} SLOW\r\n".encode())
        for _ in range(2):  # again and again, until there is an answer
            await client.expect(f"* OK [{code}] *")
        slow.may_end.set()
        await client.until("* done")
        await client.expect(f"{tag} OK *")


async def test_the_system_looks_for_clients_that_say_nothing() -> None:
    loop = asyncio.get_running_loop()
    made: asyncio.Future[Wire] = loop.create_future()
    server = await loop.create_server(lambda: Wire(made.set_result), "127.0.0.1", 0)
    async with server:
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        wire = await made
        keepalive.watch(wire.transport, 30)
        opened = wire.transport.get_extra_info("socket")
        for level, option, value in (
            (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
            (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30),
            (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10),
            (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
            (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 60_000),
        ):
            assert opened.getsockopt(level, option) == value
        wire.close()
        writer.close()
