"""LIST and LSUB (RFC 3501 6.3.8, 6.3.9), with CHILDREN (RFC 3348), SPECIAL-USE (RFC 6154) and the
options of LIST-EXTENDED (RFC 5258) and LIST-STATUS (RFC 5819).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from typing import Final

from rmail_imap import write
from rmail_imap.command.metadata import response
from rmail_imap.command.status import status_line
from rmail_imap.commands import command, feature
from rmail_imap.mailbox_names import SEPARATOR, parents
from rmail_imap.parse.list_mailboxes import CRITERIA, ListArgs, list_args, lsub_args
from rmail_imap.patterns import Pattern
from rmail_imap.session import Session
from rmail_imap.state import State
from rmail_kernel.storage.mail import MailboxStatus

feature("CHILDREN", "3348 3")
feature("SPECIAL-USE", "6154 2")
feature("LIST-EXTENDED", "5258 3")
feature("LIST-STATUS", "5819 2")
feature("LIST-METADATA", "9590 3")

_MEETS: Final[dict[str, Callable[[MailboxStatus], bool]]] = {
    "SUBSCRIBED": lambda mailbox: mailbox.is_subscribed,
    "SPECIAL-USE": lambda mailbox: mailbox.special_use is not None,
}


class _Tree:
    """The mailboxes of an account, and what one LIST selects of them."""

    def __init__(
        self,
        mailboxes: Sequence[MailboxStatus],
        subscriptions: Sequence[str],
        args: ListArgs,
        off: frozenset[str],
    ) -> None:
        self.args = args
        self.off = off
        self.mailboxes = {mailbox.name: mailbox for mailbox in mailboxes}
        self.above = {parent for name in self.mailboxes for parent in parents(name)}
        self.absent = frozenset(subscriptions) - self.mailboxes.keys()
        names = self.mailboxes.keys() | self.above
        if "SUBSCRIBED" in args.selection:  # RFC 5258 3.1: also names that no mailbox has
            names |= self.absent | {parent for name in self.absent for parent in parents(name)}
        self.names = sorted(names, key=_order)
        self.criteria = [_MEETS[name] for name in CRITERIA if name in args.selection]
        self.selected = {name for name in self.names if self._is_selected(name)}
        self.leading: set[str] = set()
        if "RECURSIVEMATCH" in args.selection:
            self.leading = {parent for name in self.selected for parent in parents(name)}

    def _is_selected(self, name: str) -> bool:
        mailbox = self.mailboxes.get(name)
        if mailbox is None:
            # Nothing but a subscription can be said of a name without a mailbox.
            asked = self.args.selection.intersection(CRITERIA)
            return not asked or (asked == {"SUBSCRIBED"} and name in self.absent)
        return all(meets(mailbox) for meets in self.criteria)

    def tells(self, name: str, named: Set[str]) -> bool:
        """Whether a name is told; `named`: those that match the patterns. One that only leads to
        selected ones is not when all of them are told themselves (RFC 5258 3.5).
        """
        if name not in named or name in self.selected:
            return name in named
        below = (other for other in self.selected if other.startswith(name + SEPARATOR))
        return name in self.leading and any(other not in named for other in below)

    def attributes(self, name: str) -> list[str]:
        """The attributes of a name, those of RFC 5258 where they were asked for."""
        mailbox, args = self.mailboxes.get(name), self.args
        found = []
        tells_children = not args.is_extended or "CHILDREN" in args.returns
        if tells_children and "CHILDREN" not in self.off:
            found.append("\\HasChildren" if name in self.above else "\\HasNoChildren")
        if mailbox is None:
            if "SUBSCRIBED" in args.returns and name in self.absent:
                found.append("\\Subscribed")
            found.append("\\NonExistent" if args.is_extended else "\\Noselect")
            return found
        if "SUBSCRIBED" in args.returns and mailbox.is_subscribed:
            found.append("\\Subscribed")
        if mailbox.special_use and "SPECIAL-USE" not in self.off:
            found.append(mailbox.special_use)
        return found


@command("LIST", list_args, state=State.AUTHENTICATED, rfc="3501 6.3.8")
async def list_mailboxes(session: Session, args: ListArgs) -> None:
    """Mailboxes whose names match, and the names above them that are no mailboxes."""
    if args.raw_patterns == (b"",):  # RFC 3501 6.3.8: asks for the separator and the root
        session.write(b'* LIST (\\Noselect) "/" ""\r\n')
        return
    if "HIGHESTMODSEQ" in args.status:
        session.use_condstore()
    # RFC 5258 3: beside others, an empty pattern matches nothing.
    patterns = [
        Pattern(args.raw_reference + raw, is_utf8=session.is_utf8)
        for raw in args.raw_patterns
        if raw
    ]
    mailboxes, subscriptions = await session.mail.mailboxes(session.account), []
    if "SUBSCRIBED" in args.returns:  # asked for after: a mailbox that goes meanwhile is in both
        subscriptions = await session.mail.subscriptions(session.account)
    tree = _Tree(mailboxes, subscriptions, args, session.off)
    named = {name for name in tree.names if any(one.matches(name) for one in patterns)}
    for name in tree.names:
        if not tree.tells(name, named):
            continue
        info = _child_info(args) if name in tree.leading else b""
        _write(session, b"LIST", tree.attributes(name), name, info)
        # RFC 5819 2: of what only leads to a selected mailbox, no STATUS is sent.
        if args.status and name in tree.selected and name in tree.mailboxes:
            session.write(await status_line(session, name, tree.mailboxes[name], args.status))
        if args.entries and name in tree.selected and name in tree.mailboxes:
            stored = await session.mail.annotations(session.account, tree.mailboxes[name].id)
            values = {entry: stored.get(entry) for entry in args.entries}
            session.write(response(session, name, values))
        await session.flush_full()


def _child_info(args: ListArgs) -> bytes:
    """CHILDINFO: which criteria the mailboxes below meet (RFC 5258 3.5)."""
    names = b" ".join(b'"%b"' % name.encode() for name in CRITERIA if name in args.selection)
    return b' ("CHILDINFO" (%b))' % names


@command("LSUB", lsub_args, state=State.AUTHENTICATED, rfc="3501 6.3.9")
async def list_subscribed(session: Session, args: ListArgs) -> None:
    """Subscribed names that match, also those that no mailbox has. With `%`, a name that only leads
    to a subscribed one is \\Noselect (RFC 3501 6.3.9).
    """
    (raw_pattern,) = args.raw_patterns
    if not raw_pattern:
        session.write(b'* LSUB (\\Noselect) "/" ""\r\n')
        return
    names = await session.mail.subscriptions(session.account)
    pattern = Pattern(args.raw_reference + raw_pattern, is_utf8=session.is_utf8)
    leading: set[str] = set()
    if b"%" in raw_pattern:
        leading = {parent for name in names for parent in parents(name)} - set(names)
    for name in sorted({*names, *leading}, key=_order):
        if pattern.matches(name):
            _write(session, b"LSUB", ["\\Noselect"] if name in leading else [], name)


def _order(name: str) -> tuple[bool, list[str]]:
    return name != "INBOX", name.split(SEPARATOR)


def _write(
    session: Session, kind: bytes, attributes: Sequence[str], name: str, more: bytes = b""
) -> None:
    session.write(write.list_line(kind, attributes, name, more, is_utf8=session.is_utf8))
