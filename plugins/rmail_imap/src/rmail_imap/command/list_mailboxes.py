"""LIST and LSUB (RFC 3501 6.3.8, 6.3.9), with CHILDREN (RFC 3348) and SPECIAL-USE (RFC 6154)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rmail_imap import write
from rmail_imap.commands import command, feature
from rmail_imap.mailbox_names import SEPARATOR, encode_name, parents
from rmail_imap.parse.cursor import Cursor
from rmail_imap.patterns import Pattern
from rmail_imap.session import Session
from rmail_imap.state import State
from rmail_kernel.storage.mail import MailboxStatus

feature("CHILDREN", "3348 3")
feature("SPECIAL-USE", "6154 2")


@dataclass(frozen=True, slots=True)
class ListArgs:
    """LIST reference pattern, both in their wire form."""

    raw_reference: bytes
    raw_pattern: bytes


def list_args(cursor: Cursor) -> ListArgs:
    """The arguments of LIST and LSUB."""
    cursor.space()
    reference = cursor.astring()
    cursor.space()
    pattern = cursor.list_mailbox()
    cursor.end()
    return ListArgs(reference, pattern)


@command("LIST", list_args, state=State.AUTHENTICATED, rfc="3501 6.3.8")
async def list_mailboxes(session: Session, args: ListArgs) -> None:
    """Mailboxes whose names match, and the names above them that are no mailboxes."""
    if not args.raw_pattern:  # RFC 3501 6.3.8: asks for the separator and the root
        session.write(b'* LIST (\\Noselect) "/" ""\r\n')
        return
    mailboxes = await session.mail.mailboxes(session.account)
    pattern = Pattern(args.raw_reference + args.raw_pattern)
    above = {parent for mailbox in mailboxes for parent in parents(mailbox.name)}
    existing = {mailbox.name for mailbox in mailboxes}
    for mailbox in _with_missing(mailboxes, above - existing):
        name = mailbox if isinstance(mailbox, str) else mailbox.name
        if not pattern.matches(name):
            continue
        attributes = ["\\HasChildren" if name in above else "\\HasNoChildren"]
        if isinstance(mailbox, str):
            attributes.append("\\Noselect")
        elif mailbox.special_use:
            attributes.append(mailbox.special_use)
        _write(session, b"LIST", attributes, name)


@command("LSUB", list_args, state=State.AUTHENTICATED, rfc="3501 6.3.9")
async def list_subscribed(session: Session, args: ListArgs) -> None:
    """Subscribed mailboxes whose names match. With `%`, a name that only leads to a subscribed
    one is \\Noselect (RFC 3501 6.3.9).
    """
    if not args.raw_pattern:
        session.write(b'* LSUB (\\Noselect) "/" ""\r\n')
        return
    mailboxes = await session.mail.mailboxes(session.account)
    names = [mailbox.name for mailbox in mailboxes if mailbox.is_subscribed]
    pattern = Pattern(args.raw_reference + args.raw_pattern)
    leading: set[str] = set()
    if b"%" in args.raw_pattern:
        leading = {parent for name in names for parent in parents(name)} - set(names)
    for name in sorted({*names, *leading}, key=_order):
        if pattern.matches(name):
            _write(session, b"LSUB", ["\\Noselect"] if name in leading else [], name)


def _with_missing(
    mailboxes: Sequence[MailboxStatus], missing: Iterable[str]
) -> list[MailboxStatus | str]:
    """All names in order; a str for a name that is no mailbox."""
    everything: list[MailboxStatus | str] = [*mailboxes, *missing]
    return sorted(everything, key=lambda one: _order(one if isinstance(one, str) else one.name))


def _order(name: str) -> tuple[bool, list[str]]:
    return name != "INBOX", name.split(SEPARATOR)


def _write(session: Session, kind: bytes, attributes: Sequence[str], name: str) -> None:
    raw_name = write.string(encode_name(name))
    session.write(b'* %b %b "/" %b\r\n' % (kind, write.flags(attributes), raw_name))
