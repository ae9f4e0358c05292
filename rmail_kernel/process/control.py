"""What an administrator asks a running process: its sessions, the end of some,
what passes in those of an account.

A Unix socket in {mail_root}/run for each process, for the owner of the store only. One line of JSON
comes in, lines of JSON go out, then it closes. Never more than QUEUE_BYTES wait for a reader.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

import structlog

from rmail_kernel import runfiles
from rmail_kernel.kernel import Kernel
from rmail_kernel.observe.sessions import OpenSession
from rmail_kernel.process import unix_socket

PREFIX: Final = "control-"
QUEUE_BYTES: Final = 1 << 20
_LINE_BYTES: Final = 1 << 12
_PIECE_BYTES: Final = 1 << 13
_ASK_S: Final = 10.0
MOST_S: Final = 3600.0
_log = structlog.get_logger("rmail.control")


class Control:
    """The socket of one process.

    Args:
        kernel: whose sessions they are.
    """

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._server: asyncio.Server | None = None
        self._path = Path()

    async def start(self) -> None:
        """Listens. OSError: the socket cannot be made."""
        root = self._kernel.settings.mail_root
        self._path = path = runfiles.make_folder(root, "run") / f"{PREFIX}{os.getpid()}.sock"
        _forget_dead(path.parent)
        listening = unix_socket.bind(root, path)
        try:
            self._server = await asyncio.start_unix_server(
                self._answer, sock=listening, limit=_LINE_BYTES
            )
        except BaseException:
            listening.close()
            raise

    def close(self) -> None:
        """Listens no more. Idempotent."""
        if self._server is not None:
            self._server.close()
            self._server = None
            self._path.unlink(missing_ok=True)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_ASK_S):
                question = json.loads(await reader.readline())
            async with asyncio.timeout(MOST_S):
                await self._act(question, reader, writer)
        except (ValueError, KeyError, TypeError, OSError, TimeoutError) as error:
            _log.debug("control ended", reason=repr(error))
        finally:
            writer.close()

    async def _act(
        self, question: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        match question["do"]:
            case "sessions":
                for session in self._found(""):
                    _tell(writer, asdict(session.facts()) | {"age_s": round(session.age_s, 1)})
            case "kick":
                found = list(self._found(who)) if (who := str(question["who"])) else []
                for session in found:
                    _tell(writer, asdict(session.facts()))
                    session.end()
            case "trace":
                await self._trace(str(question["account"]), reader, writer)
        async with asyncio.timeout(_ASK_S):
            await writer.drain()

    def _found(self, who: str) -> Iterator[OpenSession]:
        """The sessions of that id or account; "": all."""
        for session in self._kernel.sessions:
            facts = session.facts()
            if not who or who in (facts.id, facts.account):
                yield session

    async def _trace(
        self, account: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Tells what passes in the account's sessions, those that log in later too, until the one
        who asked is gone.
        """
        sessions = self._kernel.sessions
        heard: set[OpenSession] = set()

        def hear(session: OpenSession, *, is_over: bool = False) -> None:
            is_wanted = not is_over and session.facts().account == account and session in sessions
            if session.trace is None or is_wanted == (session in heard):
                return
            session.trace(partial(_pass_on, writer, session) if is_wanted else None)
            heard.symmetric_difference_update({session})

        with sessions.watched(hear):
            try:
                for session in sessions:
                    hear(session)
                await reader.read(1)
            finally:
                for session in list(heard):
                    hear(session, is_over=True)


def _pass_on(
    writer: asyncio.StreamWriter,
    session: OpenSession,
    source: Literal["client", "server"],
    raw: bytes,
) -> None:
    """One piece of what passed; dropped where the reader is too slow."""
    if writer.is_closing():
        return
    if writer.transport.get_write_buffer_size() > QUEUE_BYTES:
        return
    for start in range(0, len(raw), _PIECE_BYTES):
        text = raw[start : start + _PIECE_BYTES].decode("utf-8", "backslashreplace")
        _tell(writer, {"session": session.facts().id, "from": source, "text": text})


def _tell(writer: asyncio.StreamWriter, record: dict[str, Any]) -> None:
    writer.write(json.dumps(record).encode() + b"\n")


def _forget_dead(folder: Path) -> None:
    """Removes the sockets of processes that were killed."""
    for path in folder.glob(f"{PREFIX}*.sock"):
        pid = path.stem.removeprefix(PREFIX)
        try:
            os.kill(int(pid), 0)
        except (ValueError, ProcessLookupError):
            path.unlink(missing_ok=True)
        except PermissionError:
            continue  # it lives, as somebody else


@contextmanager
def _connected(path: Path) -> Iterator[socket.socket]:
    opened = unix_socket.connect(path)
    try:
        yield opened
    finally:
        opened.close()


async def ask(mail_root: Path, question: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    """What all processes of a running server answer, one after the other as it comes. A socket that
    nobody listens at any more is passed over.
    """
    answers: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue(1000)
    paths = sorted((mail_root / "run").glob(f"{PREFIX}*.sock"))
    tasks = [asyncio.create_task(_ask_one(path, question, answers)) for path in paths]
    left = len(tasks)
    try:
        while left:
            record = await answers.get()
            if record is None:
                left -= 1
            else:
                yield record
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _ask_one(
    path: Path, question: dict[str, Any], answers: asyncio.Queue[dict[str, Any] | None]
) -> None:
    try:
        with _connected(path) as opened:
            reader, writer = await asyncio.open_unix_connection(sock=opened, limit=QUEUE_BYTES)
            try:
                _tell(writer, question)
                while line := await reader.readline():
                    await answers.put(json.loads(line))
            finally:
                writer.close()
    except OSError:
        pass
    finally:
        await answers.put(None)
