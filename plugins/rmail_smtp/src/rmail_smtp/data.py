"""DATA: the message is read to its end, accepted durably or refused; never half of it.

RFC 5321 4.1.1.4, 6.1. The reader holds at most a chunk in memory; the content spools to disk.
"""

from __future__ import annotations

import asyncio

import structlog

from rmail_kernel.content import Content
from rmail_kernel.model import Envelope

from . import replies
from .command import Command
from .dot import DotReader, Flaw
from .replies import Reply
from .session import Session, Transaction

_log = structlog.get_logger("rmail.smtp")
_NO_RECIPIENTS = Reply(554, "5.5.1", "No valid recipients")  # RFC 5321 3.3
_FLAWS = {
    # Closes: another server may have seen the message end elsewhere (SMTP smuggling), so what
    # follows may be a stranger's words.
    # The status is not among RFC 3463's, but what large servers answer to this.
    Flaw.BARE_NEWLINE: Reply(550, "5.6.11", "The message holds a bare CR or LF", closes=True),
    Flaw.LINE_TOO_LONG: Reply(500, "5.6.0", "Line too long"),  # RFC 5321 4.5.3.1.9
    Flaw.TOO_LARGE: Reply(552, "5.3.4", "The message is larger than this server takes"),
    Flaw.NO_ROOM: Reply(452, "4.3.1", "No room for the message now"),
}


async def data(session: Session, _: bytes) -> Reply:
    """DATA."""
    transaction = session.transaction
    if transaction is None or not (transaction.recipients or transaction.refused):
        return replies.BAD_SEQUENCE
    if not transaction.recipients:
        return _NO_RECIPIENTS
    # RFC 5321 4.1.1.4: whatever comes out of it, the buffers are cleared.
    session.transaction = None
    session.is_receiving = True
    try:
        content = await _receive(session)
        if isinstance(content, Reply):
            return content
        return await _accept(session, transaction, content)
    finally:
        session.is_receiving = False


async def _receive(session: Session) -> Content | Reply:
    with session.kernel.writer(session.options.max_message_bytes) as writer:
        session.send(replies.START_DATA)
        dot = DotReader(writer.write)
        while (surplus := dot.feed(await session.wire.chunk())) is None:
            pass
        # Delivery may take long, and with everything sent at once 354 has not gone out yet.
        await session.wire.flush()
        session.wire.unread(surplus)  # RFC 2920: the next command may be there already
        return writer.finish() if dot.flaw is None else _FLAWS[dot.flaw]


async def _accept(session: Session, transaction: Transaction, content: Content) -> Reply:
    kernel = session.kernel
    envelope = Envelope(
        sender=transaction.sender,
        recipients=tuple(transaction.recipients),
        session=session.info,
        received_at=kernel.clock.now(),
        smtputf8=transaction.smtputf8,
        is_8bit=transaction.is_8bit,
    )
    # Shielded: a client that goes away now cannot leave the message half accepted.
    work = kernel.spawn(kernel.delivery.submit(envelope, content), "smtp submit")
    report = await asyncio.shield(work)
    _log.info(
        "message",
        sender=str(envelope.sender or "<>"),
        recipients=len(envelope.recipients),
        size_bytes=content.size,
        accepted=report.is_accepted,
        peer=session.info.peer_host,
    )
    if report.verdict is not None:
        return replies.of_verdict(report.verdict)
    session.budget.idle_commands = 0
    return Reply(250, "2.6.0", f"Accepted as {session.info.id}")  # RFC 3463 3.7


COMMANDS = (Command(b"DATA", data, "DATA", takes_argument=False),)
