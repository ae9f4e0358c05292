"""IDLE (RFC 2177): changes are pushed as they happen, also those of other processes."""

from __future__ import annotations

import asyncio

from rmail_imap import updates
from rmail_imap.commands import command, no_arguments
from rmail_imap.errors import BadSyntax, Goodbye
from rmail_imap.literals import drop_announced
from rmail_imap.session import Session
from rmail_imap.state import State
from rmail_imap.wire import Silence
from rmail_kernel.storage.events import Change


@command("IDLE", no_arguments, state=State.AUTHENTICATED, capability="IDLE", rfc="2177 3")
async def idle(session: Session, _: None) -> None:
    """Pushes until the client sends a line, which must be DONE.

    Events are hints and may be lost, so it also looks by itself every `sweep_s`.
    """
    loop_time = session.wire.time
    ends_at = loop_time() + session.settings.idle_timeout_s
    with session.kernel.events.subscribe(session.account, _Waker(session)):
        await session.ask(b"idling")
        await asyncio.sleep(0)  # what was looked at in this turn may be older than the subscription
        while not session.wire.intake.has_line:
            await updates.drain(session, tells_expunge=True)
            await session.wire.flush()
            await session.wire.wait(min(session.settings.sweep_s, ends_at - loop_time()))
            await session.check_current()
            if session.wire.intake.pending_bytes > session.line_limit_bytes:
                raise Goodbye("The line is too long", b"TOOBIG")
            if loop_time() >= ends_at:
                raise Silence
    line = await session.wire.read_line(session.line_limit_bytes)
    if line.strip().upper() != b"DONE":
        await drop_announced(session, line)
        raise BadSyntax("Expected DONE")


class _Waker:
    """Wakes a session that waits; a function of its own takes more room, and very many wait."""

    __slots__ = ("_mailbox", "_wire")

    def __init__(self, session: Session) -> None:
        self._wire = session.wire
        self._mailbox = session.selected.id if session.selected is not None else 0

    def __call__(self, change: Change) -> None:
        if change.kind != "mail" or change.container in (0, self._mailbox):
            self._wire.wake()
