"""CREATE (RFC 3501 6.3.3), also with a special use (RFC 6154 3)."""

from __future__ import annotations

from dataclasses import dataclass

from rmail_imap import write
from rmail_imap.commands import Reply, command, feature
from rmail_imap.errors import BadSyntax
from rmail_imap.parse.cursor import Cursor
from rmail_imap.session import Session
from rmail_imap.special_uses import check_uses, use_refusal
from rmail_imap.state import State
from rmail_kernel.errors import Conflict, Invalid
from rmail_kernel.storage.mail import MailboxStatus

feature("CREATE-SPECIAL-USE", "6154 3")


@dataclass(frozen=True, slots=True)
class CreateArgs:
    """CREATE mailbox [(USE (uses))]."""

    mailbox: str
    uses: frozenset[str]


def create_args(cursor: Cursor) -> CreateArgs:
    """The arguments of CREATE."""
    cursor.space()
    name = cursor.mailbox()
    uses: frozenset[str] = frozenset()
    if not cursor.is_at_end and cursor.raw.startswith(b" (", cursor.at):
        cursor.at += 2
        if cursor.word() != "USE":
            raise BadSyntax("Unknown parameter of CREATE")
        cursor.check("CREATE", "USE")
        cursor.space()
        uses = _uses(cursor)
        cursor.expect(b")")
    cursor.end()
    return CreateArgs(name, uses)


def _uses(cursor: Cursor) -> frozenset[str]:
    cursor.expect(b"(")
    uses: set[str] = set()
    while not cursor.skip(b")"):
        if uses:
            cursor.space()
        raw = cursor.flag()
        if not raw.startswith(b"\\"):
            raise BadSyntax("Not a special use")
        uses.add(raw.decode("ascii").lower())
    return frozenset(uses)


@command("CREATE", create_args, state=State.AUTHENTICATED, rfc="3501 6.3.3")
async def create(session: Session, args: CreateArgs) -> Reply:
    """Makes a mailbox and the missing ones above it."""
    if not args.uses:
        return _reply(session, args, await session.mail.create(session.account, args.mailbox))
    check_uses(args.uses)
    (use,) = args.uses
    mailboxes = await session.mail.mailboxes(session.account)
    if any(mailbox.name == args.mailbox for mailbox in mailboxes):
        raise Conflict("The mailbox exists already")
    try:
        made = await session.mail.create(session.account, args.mailbox, special_use=use)
    except (Conflict, Invalid) as error:
        raise use_refusal(error) from error
    return _reply(session, args, made)


def _reply(session: Session, args: CreateArgs, made: MailboxStatus) -> Reply:
    if session.is_rev2 and made.name != args.mailbox:  # RFC 9051 6.3.4
        more = write.old_name(args.mailbox, is_utf8=True)
        attributes = ["\\Subscribed"] if made.is_subscribed else []
        session.write(write.list_line(b"LIST", attributes, made.name, more, is_utf8=True))
    if "OBJECTID" in session.off:
        return Reply()
    return Reply(code=b"MAILBOXID (%b)" % made.objectid.encode())  # RFC 8474 4.1
