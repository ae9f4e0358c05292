"""SELECT and EXAMINE (RFC 3501 6.3.1, 6.3.2), with MODSEQ (RFC 7162 3.1.2)
and quick resynchronisation (RFC 7162 3.2.5)."""

from __future__ import annotations

from collections.abc import Collection

from rmail_imap import write
from rmail_imap.commands import Reply, command, feature
from rmail_imap.errors import BadSyntax
from rmail_imap.flag_words import announce
from rmail_imap.mailbox_names import SEPARATOR
from rmail_imap.parse.cursor import Cursor
from rmail_imap.parse.select import SelectArgs, select_args
from rmail_imap.resync import tell_missed
from rmail_imap.selected import Selected
from rmail_imap.session import Session, highest_modseq
from rmail_imap.state import State
from rmail_kernel.storage.mail import Flag, MailboxStatus, MailboxView

feature("CONDSTORE", "7162 3.1")
feature("OBJECTID", "8474 4")


def mailbox_args(cursor: Cursor) -> str:
    """One mailbox name."""
    cursor.space()
    name = cursor.mailbox()
    cursor.end()
    return name


@command("SELECT", select_args, state=State.AUTHENTICATED, rfc="3501 6.3.1")
async def select(session: Session, args: SelectArgs) -> Reply:
    """Opens a mailbox for reading and writing."""
    await _open(session, args, is_read_only=False)
    return Reply(code=b"READ-WRITE", holds_news=True)


@command("EXAMINE", select_args, state=State.AUTHENTICATED, rfc="3501 6.3.2")
async def examine(session: Session, args: SelectArgs) -> Reply:
    """Opens a mailbox for reading."""
    await _open(session, args, is_read_only=True)
    return Reply(code=b"READ-ONLY", holds_news=True)


async def _open(session: Session, args: SelectArgs, *, is_read_only: bool) -> None:
    if args.known is not None and not session.is_qresync:
        raise BadSyntax("Enable QRESYNC first")  # RFC 7162 3.2.5
    if session.selected is not None:
        session.selected = None  # RFC 3501 6.3.1: also when this fails
        session.write(b"* OK [CLOSED] The mailbox before is closed\r\n")  # RFC 7162 3.2.11
    if args.refusal is not None:
        raise args.refusal
    status = await session.mail.status(session.account, args.mailbox)
    view = await session.mail.view(session.account, status.id)
    recent: Collection[int] = ()
    if session.is_rev2:  # RFC 9051 E: there is no \\Recent
        pass
    elif is_read_only and status.recent:  # RFC 3501 6.3.2: messages do not lose \Recent
        recent = view.uids[max(0, view.total - status.recent) : view.total]  # nobody's yet
    elif status.recent:
        recent = await session.mail.claim_recent(session.account, status.id)
    selected = Selected(view, name=status.name, is_read_only=is_read_only, recent=recent)
    session.write(announce(view.keywords, is_read_only=is_read_only))
    count = sum(uid < view.uidnext for uid in recent)  # later ones were not announced yet
    session.write(b"* %d EXISTS\r\n" % view.total)
    if session.is_rev2:
        await _tell_list(session, args.mailbox, status)
    else:
        session.write(b"* %d RECENT\r\n" % count)
        _tell_unseen(session, view, status)
    session.write(b"* OK [UIDVALIDITY %d] UIDs valid\r\n" % view.uidvalidity)
    session.write(b"* OK [UIDNEXT %d] Next UID\r\n" % view.uidnext)
    if "OBJECTID" not in session.off:  # RFC 8474 4.2
        session.write(b"* OK [MAILBOXID (%b)] Mailbox id\r\n" % status.objectid.encode())
    if "CONDSTORE" not in session.off:
        session.write(highest_modseq(view.modseq))
    if args.is_condstore:
        session.use_condstore()
    selected.known = view if session.is_condstore else None
    session.selected = selected
    if args.known is not None:
        await tell_missed(session, selected, args.known)


async def _tell_list(session: Session, name: str, status: MailboxStatus) -> None:
    """The mailbox as LIST tells it, with the client's name for it if that is another (RFC 9051
    6.3.2: the attributes must be accurate).
    """
    others = await session.mail.mailboxes(session.account)
    has_children = any(other.name.startswith(status.name + SEPARATOR) for other in others)
    attributes = ["\\HasChildren" if has_children else "\\HasNoChildren"]
    if status.is_subscribed:
        attributes.append("\\Subscribed")
    if status.special_use:
        attributes.append(status.special_use)
    more = write.old_name(name, is_utf8=True) if name != status.name else b""
    session.write(write.list_line(b"LIST", attributes, status.name, more, is_utf8=True))


def _tell_unseen(session: Session, view: MailboxView, status: MailboxStatus) -> None:
    first = _first_unseen(view) if status.unseen else None
    if first is not None:
        session.write(b"* OK [UNSEEN %d] First unseen\r\n" % first)


def _first_unseen(view: MailboxView) -> int | None:
    """The number of the first message without \\Seen."""
    words = enumerate(view.flags[: view.total], 1)
    return next((number for number, word in words if not word & Flag.SEEN), None)
