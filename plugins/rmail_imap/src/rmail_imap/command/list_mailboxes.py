"""LIST and LSUB (RFC 3501 6.3.8, 6.3.9), with CHILDREN (RFC 3348), SPECIAL-USE (RFC 6154) and the
options of LIST-EXTENDED (RFC 5258), LIST-STATUS (RFC 5819) and LIST-METADATA (RFC 9590).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from rmail_imap import write
from rmail_imap.command.metadata import response
from rmail_imap.command.status import status_line
from rmail_imap.commands import command, feature
from rmail_imap.mailbox_names import SEPARATOR, parents
from rmail_imap.ordering import AT_ONCE
from rmail_imap.parse.list_mailboxes import CRITERIA, ListArgs, list_args, lsub_args
from rmail_imap.patterns import MAX_PATTERN_BYTES, Pattern, matching
from rmail_imap.session import Session
from rmail_imap.state import State
from rmail_kernel.errors import NotFound
from rmail_kernel.storage.mail import MailboxStatus
from rmail_kernel.turns import Pace, rest

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
        self.above = _above(self.mailboxes)
        self.absent = frozenset(subscriptions) - self.mailboxes.keys()
        names = self.mailboxes.keys() | self.above
        if "SUBSCRIBED" in args.selection:  # RFC 5258 3.1: also names that no mailbox has
            names |= self.absent | _above(self.absent)
        self.names = sorted(names, key=_order)
        self.asked = args.selection.intersection(CRITERIA)
        self.criteria = [_MEETS[name] for name in CRITERIA if name in self.asked]
        self.selected = {name for name in self.names if self._is_selected(name)}
        is_recursive = "RECURSIVEMATCH" in args.selection
        self.leading = _above(self.selected) if is_recursive else set()

    def _is_selected(self, name: str) -> bool:
        mailbox = self.mailboxes.get(name)
        if mailbox is not None:
            return all(meets(mailbox) for meets in self.criteria)
        if not self.args.is_extended:
            return True
        # Nothing but a subscription can be said of a name without a mailbox.
        return self.asked == {"SUBSCRIBED"} and name in self.absent

    async def told(self, patterns: Sequence[Pattern]) -> list[str]:
        """The names to tell. One that is not selected itself is told for those below it that are
        and that are not named: with RECURSIVEMATCH, or when nothing chooses among the mailboxes
        (RFC 5258 3.3, 3.5).
        """
        named = await matching(self.names, patterns)
        further: set[str] = set()
        if not self.asked or "RECURSIVEMATCH" in self.args.selection:
            further = _above(self.selected.difference(named))
        return [name for name in named if name in self.selected or name in further]

    def attributes(self, name: str) -> list[str]:
        """The attributes of a name, those of RFC 5258 where they were asked for."""
        mailbox, args = self.mailboxes.get(name), self.args
        found = []
        tells_children = not args.is_extended and "CHILDREN" not in self.off
        tells_children |= "CHILDREN" in args.returns
        # RFC 5258 3.5: for a name without mailbox they say why it is told
        if tells_children or (args.is_extended and mailbox is None and name in self.above):
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
    if args.raw_patterns == (b"",) and not args.is_extended:
        # RFC 3501 6.3.8: asks for the separator and the root; RFC 5258 3: not if it is extended
        session.write(b'* LIST (\\Noselect) "/" ""\r\n')
        return
    if "HIGHESTMODSEQ" in args.status:
        session.use_condstore()
    patterns = _patterns(session, args)
    mailboxes, subscriptions = await session.mail.mailboxes(session.account), []
    if "SUBSCRIBED" in args.returns:  # asked for after: a mailbox that goes meanwhile is in both
        subscriptions = await session.mail.subscriptions(session.account)
    if len(mailboxes) > AT_ONCE:
        await rest()
    tree = _Tree(mailboxes, subscriptions, args, session.off)
    pace = Pace()
    for name in await tree.told(patterns):
        await pace.breathe()
        more = await _more(session, tree, name)
        info = _child_info(args) if name in tree.leading else b""
        _write(session, b"LIST", tree.attributes(name), name, info)
        session.write(more)
        await session.flush_full()


def _patterns(session: Session, args: ListArgs) -> list[Pattern]:
    """The canonical patterns. An empty one matches nothing, and one that is too long for any name
    is passed over (RFC 5258 3).
    """
    whole = [args.raw_reference + raw for raw in args.raw_patterns if raw]
    fitting = [raw for raw in whole if len(raw) <= MAX_PATTERN_BYTES]
    return [Pattern(raw, is_utf8=session.is_utf8) for raw in fitting]


async def _more(session: Session, tree: _Tree, name: str) -> bytes:
    """STATUS and METADATA of a mailbox, which follow its LIST response; of what only leads to a
    selected mailbox there is none (RFC 5819 2, RFC 9590 3).
    """
    mailbox, args = tree.mailboxes.get(name), tree.args
    if mailbox is None or name not in tree.selected:
        return b""
    lines = b""
    try:
        if args.status:
            lines += await status_line(session, name, mailbox, args.status)
        if args.entries:
            stored = await session.mail.annotations(session.account, mailbox.id)
            lines += response(session, name, {entry: stored.get(entry) for entry in args.entries})
    except NotFound:  # RFC 5819 2: it went meanwhile, so LIST tells that it cannot be selected
        del tree.mailboxes[name]
        return b""
    return lines


def _child_info(args: ListArgs) -> bytes:
    """CHILDINFO: which criteria the mailboxes below meet (RFC 5258 3.5)."""
    names = b" ".join(b'"%b"' % name.encode() for name in CRITERIA if name in args.selection)
    return b' ("CHILDINFO" (%b))' % names


@command("LSUB", lsub_args, state=State.AUTHENTICATED, rfc="3501 6.3.9")
async def list_subscribed(session: Session, args: ListArgs) -> None:
    """Subscribed names that match, also those that no mailbox has. With `%`, a name that only leads
    to a subscribed one is \\Noselect (RFC 3501 6.3.9).
    """
    if args.raw_patterns == (b"",):
        session.write(b'* LSUB (\\Noselect) "/" ""\r\n')
        return
    names = await session.mail.subscriptions(session.account)
    patterns = _patterns(session, args)
    leading = _above(names).difference(names) if b"%" in args.raw_patterns[0] else set()
    for name in await matching(sorted({*names, *leading}, key=_order), patterns):
        _write(session, b"LSUB", ["\\Noselect"] if name in leading else [], name)


def _above(names: Iterable[str]) -> set[str]:
    return {parent for name in names for parent in parents(name)}


def _order(name: str) -> tuple[bool, list[str]]:
    return name != "INBOX", name.split(SEPARATOR)


def _write(
    session: Session, kind: bytes, attributes: Sequence[str], name: str, more: bytes = b""
) -> None:
    session.write(write.list_line(kind, attributes, name, more, is_utf8=session.is_utf8))
