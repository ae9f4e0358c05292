"""What a fake mail exchanger was told to do, and what it got. It knows no socket."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field

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


class MxScript:
    """What a mail exchanger does, and what came of it.

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
        commands: every command line, in order.
        arrived: notified after each command, message and session.
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
        self.arrived = asyncio.Condition()

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
        async with self.arrived:
            await self.arrived.wait_for(is_true)

    async def until_command(self, verb: str) -> None:
        """Waits until a command came."""
        await self.until(lambda: any(line.startswith(verb) for line in self.commands))

    async def hear(self, line: str) -> None:
        """A command came."""
        async with self.arrived:
            self.commands.append(line)
            self.arrived.notify_all()

    def next_step(self, verb: str) -> Step | str | None:
        """What happens at a command instead of success; None: success."""
        found = self.replies.get(verb)
        if isinstance(found, list):
            return found.pop(0) if found else None
        return found

    async def keep(self, message: Received) -> None:
        """A message was accepted."""
        async with self.arrived:
            self.messages.append(message)
            self.arrived.notify_all()
