"""Messages that a client sends: each goes to a spool as it comes, and none is stored before the
last is there (RFC 3502). Never more in memory than MEMORY_BYTES of one command.

What can be refused is refused before the client sends it (RFC 3501 7.5); what comes without asking
(RFC 7888 4) is read and dropped.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from rmail_imap.binary import without_nul
from rmail_imap.errors import BadSyntax, Goodbye, Refused
from rmail_imap.literals import drop, drop_announced
from rmail_imap.parse.append import Announced, announced
from rmail_imap.parse.cursor import Cursor
from rmail_imap.session import Session
from rmail_imap.wire import LineTooLong
from rmail_kernel.content import Content
from rmail_kernel.errors import NotFound, RmailError
from rmail_kernel.storage.ids import MailboxId
from rmail_kernel.storage.mail import AppendItem, Fetched, Quota

MEMORY_BYTES: Final = 1 << 20
_PIECE_BYTES: Final = 1 << 18


@dataclass(slots=True)
class _Uploads:
    """The messages of one command so far."""

    session: Session
    mailbox: str
    items: list[AppendItem]
    claims_recent: bool
    replaces: Fetched | None = None
    size_bytes: int = 0

    @property
    def memory_bytes(self) -> int:
        """What of the next message may be kept in memory."""
        return max(0, MEMORY_BYTES - self.size_bytes)


async def receive(
    session: Session,
    mailbox: str,
    first: Announced,
    *,
    most: int,
    replaces: Fetched | None = None,
) -> list[AppendItem]:
    """Reads the announced message, those that follow it in the same command, and its end.

    Args:
        mailbox: where they are to go.
        most: how many messages there may be.
        replaces: a message whose room the first one will have.

    Raises:
        Refused, BadSyntax: the command fails; nothing of it is left to be read.
        Goodbye: too much was sent without asking.
    """
    async with refusing(session, first):
        found = await _check_mailbox(session, mailbox)
    uploads = _Uploads(session, mailbox, [], _is_told_first(session, found), replaces)
    message = first
    while True:
        rest = await _one(uploads, message)
        if not rest.strip():
            return uploads.items
        try:
            if len(uploads.items) >= most:
                raise BadSyntax("Too many messages in one command", b"LIMIT")
            message = _following(session, rest)
        except RmailError:
            await drop_announced(session, rest)
            raise


def _following(session: Session, rest: bytes) -> Announced:
    raw = rest.removesuffix(b"\n").removesuffix(b"\r")
    return announced(Cursor(raw, limits=session.limits, dialect=session.dialect))


async def _one(uploads: _Uploads, message: Announced) -> bytes:
    """Reads one message; what follows on its last line."""
    session = uploads.session
    async with refusing(session, message):
        await _check(uploads, message)
    if message.is_waiting:
        await session.ask()
    content, has_nul = await _read(uploads, message)
    rest = await _rest_of_line(session)
    try:
        if message.is_utf8:
            if not rest.startswith(b")"):
                raise BadSyntax("Expected ')' after the message")
            rest = rest[1:]
        if has_nul:
            content = await _freed_of_nul(session, message, content)
        await _check_header(session, content)
    except RmailError:
        await drop_announced(session, rest)
        raise
    uploads.items.append(
        AppendItem(
            uploads.mailbox,
            content,
            message.flags,
            message.internal_date,
            claims_recent=uploads.claims_recent,
        )
    )
    uploads.size_bytes += content.size
    return rest


async def _check_header(session: Session, content: Content) -> None:
    """RFC 9755 4 has 8-bit header fields refused before ENABLE UTF8=ACCEPT. By default they are
    taken all the same: old mail has them in many charsets, and a client that moves a mailbox here
    would lose it.
    """
    if not session.settings.refuse_8bit_headers or session.is_utf8:
        return
    if not (await session.kernel.run(content.raw_header)).isascii():
        raise Refused("The header has 8-bit characters, enable UTF8=ACCEPT for them", b"CANNOT")


async def _freed_of_nul(session: Session, message: Announced, content: Content) -> Content:
    if not message.is_binary:  # RFC 3501 9: CHAR8 in literals
        raise BadSyntax("The message holds a NUL")
    return await without_nul(session.kernel, content)  # RFC 3516 4.4, 6


@asynccontextmanager
async def refusing(session: Session, message: Announced) -> AsyncIterator[None]:
    """Checks before a message is read: when one fails, what comes unasked is dropped."""
    try:
        yield
    except RmailError:
        if not message.is_waiting:
            await _skip(session, message.size_bytes)
        raise


async def _check_mailbox(session: Session, mailbox: str) -> MailboxId:
    try:
        return (await session.mail.status(session.account, mailbox)).id
    except NotFound as error:
        raise Refused("There is no such mailbox", b"TRYCREATE") from error


def _is_told_first(session: Session, mailbox: MailboxId) -> bool:
    """Whether the session tells its client of what comes into a mailbox, with \\Recent (RFC 3501
    2.3.2).
    """
    selected = session.selected
    if selected is None or selected.id != mailbox:
        return False
    return not (selected.is_read_only or session.is_rev2)


async def _check(uploads: _Uploads, message: Announced) -> None:
    session = uploads.session
    if not (message.is_waiting or session.takes_unasked(message.size_bytes)):
        raise BadSyntax("Such a literal waits to be asked for", b"TOOBIG")  # RFC 7888 5
    if message.size_bytes > session.settings.max_message_bytes:
        raise Refused("The message is too large", b"TOOBIG")  # RFC 7889 4
    if not message.size_bytes:
        raise Refused("The message is empty", b"CANNOT")  # RFC 3502 6.3.11: cancels the command
    size_bytes = uploads.size_bytes + message.size_bytes
    quota = await session.mail.quota(session.account)
    messages = len(uploads.items) + 1
    if uploads.replaces is not None:
        size_bytes, messages = size_bytes - uploads.replaces.size_bytes, messages - 1
    _check_quota(quota, size_bytes, messages)


def _check_quota(quota: Quota, size_bytes: int, messages: int) -> None:
    """Spares a client the way of a message that will not fit; the store decides for good."""
    if quota.limit_bytes is not None and quota.used_bytes + size_bytes > quota.limit_bytes:
        raise Refused("The quota is used up", b"OVERQUOTA")
    if quota.limit_messages is not None and quota.used_messages + messages > quota.limit_messages:
        raise Refused("There are as many messages as may be", b"OVERQUOTA")


async def _read(uploads: _Uploads, message: Announced) -> tuple[Content, bool]:
    """The message, and whether it holds a NUL."""
    session = uploads.session
    has_nul, left = False, message.size_bytes
    limit = session.settings.max_message_bytes
    try:
        with session.kernel.writer(limit, memory_bytes=uploads.memory_bytes) as writer:
            while left:
                piece = await session.wire.read_some(min(left, _PIECE_BYTES))
                has_nul = has_nul or b"\0" in piece
                left -= len(piece)
                writer.write(piece)
            return writer.finish(), has_nul
    except RmailError:
        await _skip(session, left)  # what is left of the message must not be read as commands
        raise


async def _skip(session: Session, size_bytes: int) -> None:
    """Drops a message that was sent without asking, and all that come after it (RFC 7888 4)."""
    await drop(session, size_bytes)
    await drop_announced(session, await _rest_of_line(session))


async def _rest_of_line(session: Session) -> bytes:
    try:
        return await session.wire.read_line(session.line_limit_bytes)
    except LineTooLong as error:
        raise Goodbye("The command is too long", b"TOOBIG") from error
