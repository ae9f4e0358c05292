"""DATA: the message is read to its final dot; never half of it. RFC 5321 4.1.1.4."""

from __future__ import annotations

from dataclasses import replace

from rmail_kernel.content import Content
from rmail_smtp import replies
from rmail_smtp.acceptance import accept, refusal_of
from rmail_smtp.command import Command
from rmail_smtp.dot import DotReader
from rmail_smtp.intake import Intake
from rmail_smtp.lines import Flaw
from rmail_smtp.replies import Reply
from rmail_smtp.session import Session

_BINARY_NEEDS_BDAT = Reply(503, "5.5.1", "A BINARYMIME message comes by BDAT")  # RFC 3030 3
_NOT_BOTH = Reply(503, "5.5.1", "The message began with BDAT, go on with BDAT or RSET")


async def data(session: Session, _: bytes) -> Reply:
    """DATA."""
    transaction = session.transaction
    if transaction is None:
        return replies.MAIL_FIRST
    if not (transaction.recipients or transaction.refused):
        return replies.RCPT_FIRST
    if transaction.intake is not None:
        return _NOT_BOTH  # RFC 3030 2
    if transaction.is_binary:
        return _BINARY_NEEDS_BDAT
    if not transaction.recipients:
        return replies.NO_RECIPIENTS
    # RFC 5321 4.1.1.4: whatever comes out of it, the buffers are cleared.
    session.transaction = None
    session.is_receiving = True
    try:
        content = await _receive(session)
        if isinstance(content, Flaw):
            return _refused(content)
        return await accept(session, transaction, content)
    finally:
        session.is_receiving = False


async def _receive(session: Session) -> Content | Flaw:
    intake = Intake(session.kernel, session.options.max_message_bytes)
    session.wire.begin_message()
    session.send(replies.START_DATA)
    dot = DotReader(intake.take)
    while (surplus := dot.feed(await session.wire.chunk())) is None:
        await intake.keep()
        if intake.is_endless:
            return Flaw.ENDLESS
    # Delivery may take long, and with everything sent at once 354 has not gone out yet.
    await session.wire.flush()
    session.wire.unread(surplus)  # RFC 2920: the next command may be there already
    return await intake.finish()


def _refused(flaw: Flaw) -> Reply:
    # Another server may have seen the message end elsewhere (SMTP smuggling), so what follows may
    # be a stranger's words.
    refusal = refusal_of(flaw)
    return replace(refusal, closes=refusal.closes or flaw is Flaw.BARE_NEWLINE)


COMMANDS = (Command(b"DATA", data, "DATA", takes_argument=False),)
