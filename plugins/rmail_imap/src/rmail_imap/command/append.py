"""APPEND (RFC 3501 6.3.11) with APPENDUID (RFC 4315 3). The message goes to a spool as it comes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from rmail_imap.commands import Reply, command
from rmail_imap.errors import BadSyntax, Goodbye, Refused
from rmail_imap.parse.cursor import Cursor
from rmail_imap.parse.dates import date_time
from rmail_imap.parse.flags import flag_list
from rmail_imap.session import Session
from rmail_imap.state import State
from rmail_imap.wire import LineTooLong
from rmail_kernel.content import Content
from rmail_kernel.errors import NotFound, RmailError
from rmail_kernel.storage.mail import AppendItem, Quota

_ANNOUNCED: Final = re.compile(rb"\{(\d{1,18})(\+?)\}\Z")
_PIECE_BYTES: Final = 1 << 18


@dataclass(frozen=True, slots=True)
class AppendArgs:
    """APPEND mailbox [flags] [date-time] {size}: everything before the message itself.

    `is_waiting`: the client waits for a continuation request before it sends the message.
    """

    mailbox: str
    flags: frozenset[str]
    internal_date: datetime | None
    size_bytes: int
    is_waiting: bool


def append_args(cursor: Cursor) -> AppendArgs:
    """The arguments of APPEND up to the announcement of its message."""
    cursor.space()
    mailbox = cursor.mailbox()
    cursor.space()
    flags: frozenset[str] = frozenset()
    if cursor.peek() == b"(":
        flags = flag_list(cursor)
        cursor.space()
    at = None
    if cursor.peek() == b'"':
        at = date_time(cursor)
        cursor.space()
    announced = _ANNOUNCED.match(cursor.raw, cursor.at)
    if announced is None:
        raise BadSyntax("Expected a literal")
    cursor.at = announced.end()
    return AppendArgs(mailbox, flags, at, int(announced[1]), not announced[2])


@command("APPEND", append_args, state=State.AUTHENTICATED, streams=True, rfc="3501 6.3.11")
async def append(session: Session, args: AppendArgs) -> Reply:
    """Stores one message. What can be refused is refused before the client sends it."""
    try:
        await _check(session, args)
    except RmailError:
        if not args.is_waiting:
            await _skip(session, args.size_bytes)
        raise
    if args.is_waiting:
        await session.ask()
    content = await _read(session, args.size_bytes)
    item = AppendItem(args.mailbox, content, args.flags, args.internal_date)
    try:
        stored = (await session.mail.append(session.account, [item]))[0]
    except NotFound as error:
        raise Refused("There is no such mailbox", b"TRYCREATE") from error
    return Reply(code=b"APPENDUID %d %d" % (stored.uidvalidity, stored.uid))


async def _check(session: Session, args: AppendArgs) -> None:
    if args.size_bytes > session.settings.max_message_bytes:
        raise Refused("The message is too large", b"TOOBIG")  # RFC 7889 4
    if not args.size_bytes:
        raise Refused("The message is empty", b"CANNOT")
    try:
        await session.mail.status(session.account, args.mailbox)
    except NotFound as error:
        raise Refused("There is no such mailbox", b"TRYCREATE") from error
    _check_quota(await session.mail.quota(session.account), args.size_bytes)


def _check_quota(quota: Quota, size_bytes: int) -> None:
    """Spares a client the way of a message that will not fit; the store decides for good."""
    if quota.limit_bytes is not None and quota.used_bytes + size_bytes > quota.limit_bytes:
        raise Refused("The quota is used up", b"OVERQUOTA")
    if quota.limit_messages is not None and quota.used_messages >= quota.limit_messages:
        raise Refused("There are as many messages as may be", b"OVERQUOTA")


async def _read(session: Session, size_bytes: int) -> Content:
    """The message and the end of the command's line."""
    has_nul, left = False, size_bytes
    try:
        with session.kernel.writer(session.settings.max_message_bytes) as writer:
            while left:
                piece = await session.wire.read_some(min(left, _PIECE_BYTES))
                has_nul = has_nul or b"\0" in piece
                left -= len(piece)
                writer.write(piece)
            content = writer.finish()
    except RmailError:
        await _skip(session, left)  # what is left of the message must not be read as commands
        raise
    await _end_line(session)
    if has_nul:  # RFC 3501 9: CHAR8 in literals
        raise BadSyntax("The message holds a NUL")
    return content


async def _skip(session: Session, size_bytes: int) -> None:
    """Drops a message that was sent without asking (RFC 7888 4)."""
    if size_bytes > 2 * session.settings.max_message_bytes:
        raise Goodbye("The message is too large", b"TOOBIG")
    while size_bytes:
        size_bytes -= len(await session.wire.read_some(min(size_bytes, _PIECE_BYTES)))
    await _end_line(session)


async def _end_line(session: Session) -> None:
    try:
        rest = await session.wire.read_line(session.line_limit_bytes)
    except LineTooLong as error:
        raise Goodbye("The command is too long", b"TOOBIG") from error
    if rest.strip():
        raise BadSyntax("Unexpected argument after the message")
