"""BDAT: the message comes in chunks of announced length, without any end mark. RFC 3030 2, 3.

A chunk is always read to its end, whatever becomes of it: its bytes must never be taken for
commands. Where its length cannot be told, the session ends.
"""

from __future__ import annotations

import re

from rmail_smtp import replies
from rmail_smtp.acceptance import accept, refusal_of
from rmail_smtp.command import Command
from rmail_smtp.intake import PATIENCE, Intake
from rmail_smtp.lines import Flaw
from rmail_smtp.replies import Reply
from rmail_smtp.session import Session, Transaction

_ARGUMENT = re.compile(rb"(?P<size>\d{1,20})(?P<last> +LAST)?\Z", re.IGNORECASE)
_SYNTAX = Reply(501, "5.5.4", "Syntax: BDAT size [LAST]", closes=True)
MIN_PROGRESS_BYTES = 512  # smaller chunks count as commands without mail


async def bdat(session: Session, raw_argument: bytes) -> Reply:
    """BDAT size [LAST]."""
    found = _ARGUMENT.match(raw_argument)
    if found is None:
        return _SYNTAX
    size, is_last = int(found["size"]), found["last"] is not None
    # RFC 3030 2: what fails is received and dropped, and that only within bounds.
    if size > PATIENCE * session.options.max_message_bytes:
        return refusal_of(Flaw.ENDLESS)
    session.is_receiving = True
    try:
        transaction = session.transaction
        refusal = _refusal(session, transaction)
        if refusal is not None or transaction is None:
            await _drop(session, size)
            return refusal or replies.MAIL_FIRST
        return await _take(session, transaction, size, is_last=is_last)
    finally:
        session.is_receiving = False


def _refusal(session: Session, transaction: Transaction | None) -> Reply | None:
    """Why no chunk can be taken now."""
    if not session.has_said_hello:
        return replies.HELLO_FIRST
    if transaction is None or not session.info.is_extended:
        return replies.MAIL_FIRST
    if not transaction.recipients:
        return replies.NO_RECIPIENTS if transaction.refused else replies.RCPT_FIRST
    return None


async def _take(session: Session, transaction: Transaction, size: int, *, is_last: bool) -> Reply:
    intake = transaction.intake
    if intake is None:
        limit_bytes, is_binary = session.options.max_message_bytes, transaction.is_binary
        intake = transaction.intake = Intake(session.kernel, limit_bytes, is_binary=is_binary)
        session.wire.begin_message()
    async for piece in session.wire.exactly(size):
        intake.take(piece)
        await intake.keep()
    if size >= MIN_PROGRESS_BYTES:
        session.budget.idle_commands -= 1
    if not is_last and intake.flaw is None:
        return Reply(250, "2.0.0", f"{size} bytes taken")
    # RFC 5321 4.1.1.4: whatever comes out of it, the buffers are cleared; chunks that are under way
    # already find no transaction.
    session.transaction = None
    await session.wire.flush()
    content = await intake.finish()
    if isinstance(content, Flaw):
        return refusal_of(content)
    return await accept(session, transaction, content)


async def _drop(session: Session, size: int) -> None:
    session.wire.begin_message()
    async for _ in session.wire.exactly(size):
        pass


COMMANDS = (Command(b"BDAT", bdat, "BDAT size [LAST]", needs_hello=False),)
