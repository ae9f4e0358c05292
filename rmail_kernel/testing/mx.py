"""A mail exchanger on loopback that keeps what it gets, with the extensions and the misbehaviour
that a test asks for: the internet's MX hosts for tests.

RFC 5321, 1870, 2920, 3030, 3207, 3461, 4954.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType

from rmail_kernel.testing.mx_session import MxSession
from rmail_kernel.testing.mx_steps import Reply, Step


@dataclass(slots=True)
class Received:
    """One message as it arrived.

    Attributes:
        mail: the parameters of MAIL, as written. rcpt: those of each RCPT, in order.
        tls: it came over TLS. login: who had logged in. is_chunked: by BDAT.
    """

    sender: str
    recipients: list[str] = field(default_factory=list)
    raw: bytes = b""
    mail: str = ""
    rcpt: list[str] = field(default_factory=list)
    tls: bool = False
    login: str = ""
    is_chunked: bool = False


class FakeMx:
    """Takes mail over SMTP.

    Attributes:
        messages: what was accepted.
        replies: verb ("MAIL", "RCPT", "DATA", "BDAT", "EHLO", "." for the end of a message, "" for
            the greeting, ...) -> what happens instead of success: a reply, a step of `mx_steps`
            (`Drop`, `Hang`, `Raw`, `Endless`), or a list of these for one time after the other
            (None in it: success; when it is used up: success).
        refuse: recipient -> the reply to its RCPT.
        extensions: EHLO keywords; PIPELINING, CHUNKING and the rest work when they are named.
            STARTTLS needs `tls`.
        tls: the server's TLS context. implicit_tls: from the first byte.
        logins: user -> password, for AUTH PLAIN, LOGIN and SCRAM-SHA-256.
        is_impostor: in SCRAM, it does not prove that it knows the password.
        name: in the greeting.
        commands: every command line, in order. connections: how many were made.
    """

    def __init__(self) -> None:
        self.messages: list[Received] = []
        self.replies: dict[str, Reply | list[Reply]] = {}
        self.refuse: dict[str, str] = {}
        self.extensions: list[str] = []
        self.tls: ssl.SSLContext | None = None
        self.implicit_tls = False
        self.logins: dict[str, str] = {}
        self.is_impostor = False
        self.name = "mx.test"
        self.commands: list[str] = []
        self.connections = 0
        self.open = 0
        self.most_open = 0
        self._server: asyncio.Server | None = None
        self._arrived = asyncio.Condition()
        self._sessions: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> FakeMx:
        await self.start()
        return self

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listens, for tests that cannot use the context manager."""
        self._server = await asyncio.start_server(self._serve, host, port, limit=1 << 24)

    async def stop(self) -> None:
        """Stops listening and drops every session."""
        if self._server is not None:
            self._server.close()
        for task in list(self._sessions):
            task.cancel()
        await asyncio.gather(*self._sessions, return_exceptions=True)

    async def __aexit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def port(self) -> int:
        """The port it listens on."""
        assert self._server is not None, "not started"
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def wait_for(self, count: int = 1, timeout_s: float = 10.0) -> list[Received]:
        """The messages, once there are at least `count`.

        Raises:
            TimeoutError: not within `timeout_s`.
        """
        async with asyncio.timeout(timeout_s):
            await self.until(lambda: len(self.messages) >= count)
        return self.messages

    async def until(self, is_true: Callable[[], bool]) -> None:
        """Waits until something holds; asked after each message and each session."""
        async with self._arrived:
            await self._arrived.wait_for(is_true)

    async def until_command(self, verb: str) -> None:
        """Waits until a command came."""
        await self.until(lambda: any(line.startswith(verb) for line in self.commands))

    async def hear(self, line: str) -> None:
        """A command came."""
        async with self._arrived:
            self.commands.append(line)
            self._arrived.notify_all()

    def next_step(self, verb: str) -> Step | str | None:
        """What happens at a command instead of success; None: success."""
        found = self.replies.get(verb)
        if isinstance(found, list):
            return found.pop(0) if found else None
        return found

    async def keep(self, message: Received) -> None:
        """A message was accepted."""
        async with self._arrived:
            self.messages.append(message)
            self._arrived.notify_all()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._sessions.add(task)
        self.connections += 1
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            await MxSession(self, reader, writer).run()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError, ssl.SSLError):
            pass  # the peer left, or the test is over
        finally:
            self._sessions.discard(task)
            self.open -= 1
            writer.transport.abort()
            async with self._arrived:
                self._arrived.notify_all()
