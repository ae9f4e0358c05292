"""What a client missed since it was last here: UIDs that vanished and flags that changed.

RFC 7162 3.2.5, 3.2.6. Nothing here costs in proportion to what a client claims to know.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Final

from rmail_imap import updates, write
from rmail_imap.flag_words import FlagWriter
from rmail_imap.parse.select import LastSeen
from rmail_imap.ranges import Ranges, clipped, each, missing, runs, within
from rmail_imap.selected import Selected
from rmail_imap.session import Session
from rmail_kernel.storage.ids import Uid
from rmail_kernel.storage.mail import Changes

_CHUNK: Final = 1000
_MAX_UID: Final = 0xFFFFFFFF


def matched_uid(last: LastSeen, selected: Selected) -> int:
    """The largest UID up to which client and server agree, 0 for none (RFC 7162 3.2.5.2)."""
    pairs = zip(each(last.numbers), each(last.number_uids), strict=False)
    best = 0
    for number, uid in pairs:
        if number > selected.total:
            break
        if selected.uids[number - 1] == uid:
            best = uid
    return best


async def tell_missed(session: Session, selected: Selected, last: LastSeen) -> None:
    """VANISHED (EARLIER) and FETCH for a mailbox that was opened with QRESYNC (RFC 7162 3.2.5.1).

    With another UIDVALIDITY nothing that the client knows means anything.
    """
    if last.uidvalidity != selected.uidvalidity:
        return
    changes = await session.mail.changes(session.account, selected.id, last.modseq)
    asked = ((1, selected.last_uid),) if last.uids is None else last.uids
    tell_vanished(session, changes, clipped(asked, 1 + matched_uid(last, selected), _MAX_UID))
    updates.tell_keywords(session, selected, changes.keywords)
    flags = FlagWriter(changes.keywords, selected.recent)
    # What changed after the mailbox was looked at is news, like what vanished after that: a MODSEQ
    # above HIGHESTMODSEQ would hide it from a client that is cut off now (RFC 7162 3.2).
    changed = {row.uid: row for row in changes.changed if row.modseq <= selected.modseq}
    uids = list(within(list(changed), asked))
    for number, uid in selected.numbered(uids):
        row = changed[Uid(uid)]
        values = (number, uid, flags.render(uid, row.flags), row.modseq)
        session.write(b"* %d FETCH (UID %d FLAGS %b MODSEQ (%d))\r\n" % values)
        await session.flush_full()


def tell_vanished(session: Session, changes: Changes, asked: Ranges) -> None:
    """VANISHED (EARLIER): what of the ranges was expunged (RFC 7162 3.2.10.1).

    A message that the client still has a number for is not among them: of that it hears with
    VANISHED. Where the store has forgotten some expunges it is all that is missing (RFC 7162
    3.2.6).
    """
    selected = session.mailbox
    asked = clipped(asked, 1, selected.last_uid)
    gone: Iterable[tuple[int, int]]
    if changes.is_truncated:
        gone = missing(asked, selected.uids, selected.total)
    else:
        uids = within(changes.vanished, asked)
        gone = runs(uid for uid in uids if selected.number_of(uid) is None)
    while chunk := list(islice(gone, _CHUNK)):
        session.write(b"* VANISHED (EARLIER) %b\r\n" % write.ranges(chunk))
