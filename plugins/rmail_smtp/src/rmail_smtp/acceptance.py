"""The end of a message, however it came in: accepted durably, or refused with the reason.

RFC 5321 4.1.1.4, 6.1.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

import structlog

from rmail_kernel.content import Content
from rmail_kernel.model import Envelope
from rmail_smtp import replies
from rmail_smtp.lines import Flaw, has_bare_newline
from rmail_smtp.replies import Reply
from rmail_smtp.session import Session, Transaction

_log = structlog.get_logger("rmail.smtp")
_FLAWS = {
    # The status is not among RFC 3463's, but what large servers answer to this.
    Flaw.BARE_NEWLINE: Reply(550, "5.6.11", "The message holds a bare CR or LF, send CR LF"),
    Flaw.LINE_TOO_LONG: Reply(500, "5.6.0", "Line too long"),  # RFC 5321 4.5.3.1.9
    Flaw.TOO_LARGE: replies.TOO_LARGE,
    Flaw.ENDLESS: replace(replies.TOO_LARGE, closes=True),
    Flaw.NO_ROOM: Reply(452, "4.3.1", "No room for the message now, try again later"),
}


def refusal_of(flaw: Flaw) -> Reply:
    """The reply to a message that cannot be taken."""
    return _FLAWS[flaw]


async def accept(session: Session, transaction: Transaction, content: Content) -> Reply:
    """Hands a message in. Shielded: a client that goes away now cannot leave it half accepted."""
    # RFC 3030 3: the body is binary, not the header. A field that begins behind a bare CR or LF
    # would be seen by some and not by others.
    if transaction.is_binary and has_bare_newline(content.raw_header()):
        return refusal_of(Flaw.BARE_NEWLINE)
    kernel = session.kernel
    if content.read_range(0, 1) in (b" ", b"\t"):
        # RFC 5322 2.2.3: else it would continue the field that we put above it.
        content = content.with_raw_prefix(b"\r\n")
    for note in (*session.notes, *session.hello_notes, *transaction.notes):
        content = content.with_added_header(note.name, note.value)
    envelope = _envelope(session, transaction)
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


def _envelope(session: Session, transaction: Transaction) -> Envelope:
    return Envelope(
        sender=transaction.sender,
        recipients=tuple(transaction.recipients),
        session=session.info,
        received_at=session.kernel.clock.now(),
        smtputf8=transaction.smtputf8,
        is_8bit=transaction.is_8bit,
        is_binary=transaction.is_binary,
        ret=transaction.ret,
        envid=transaction.envid,
        require_tls=transaction.require_tls,
        options=tuple(
            options
            for options in transaction.recipients.values()
            if options.notify or options.orcpt
        ),
    )
