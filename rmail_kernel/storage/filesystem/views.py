"""Shared snapshots of mailboxes: loaded once per process, then advanced by what changed.

Sessions hold older views, so nothing in them may change: new messages are appended behind the part
that a view may look at, changed flags and expunges go to copies.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise
from typing import Final, Literal

import apsw
import orjson

from rmail_kernel.storage.filesystem import schema
from rmail_kernel.storage.filesystem.tables import MailboxRow
from rmail_kernel.storage.ids import MailboxId, ModSeq, Uid
from rmail_kernel.storage.mail import LETTER_KEYWORDS, Changed, Changes, MailboxView

FEW = 500
"""Rows that may be read on the event loop; more go to a thread."""
_FEW_GONE: Final = 16
BLOCK: Final = 20_000
"""Rows that become numbers at a time: other threads wait for that long, under a millisecond."""


_CHANGES: Final = (
    "SELECT uid, flags, modseq FROM message WHERE mailbox=?1 AND modseq>?2 UNION ALL"
    " SELECT uid, -1, modseq FROM expunged WHERE mailbox=?1 AND modseq>?2 LIMIT ?3"
)

_MISCOUNTED: Final = (
    "SELECT * FROM (SELECT name, total, (SELECT count(*) FROM message"
    " WHERE message.mailbox = mailbox.id) AS found FROM mailbox) WHERE total <> found"
)
_SENSELESS: Final = (
    "SELECT count(*) FROM message WHERE typeof(uid) <> 'integer' OR typeof(flags) <> 'integer'"
    " OR uid NOT BETWEEN 1 AND 0xffffffff OR flags < 0 OR mailbox NOT IN (SELECT id FROM mailbox)"
)


def load(db: apsw.Connection, row: MailboxRow) -> MailboxView:
    """A view read from the database; `db` and `row` stand in one snapshot. CorruptError: these are
    not the messages that there should be.
    """
    # All of the room at once: what grows moves, and has to be copied to be of the right size.
    uids, flags = array("I", [0]) * row.total, array(_code(row), [0]) * row.total
    count = last = 0
    while found := _block(db, row.id, last, flags.typecode):
        end = count + len(found[0])
        if end > row.total:
            break
        uids[count:end], flags[count:end] = found
        count, last = end, uids[end - 1]
    if count != row.total or found:
        raise apsw.CorruptError("not as many messages as there should be")
    return _view(row, uids, flags)


def faults(db: apsw.Connection) -> list[str]:
    """Rows that no view can be made of, and mailboxes that have another number of them than they
    should.
    """
    found = schema.rows(db, _MISCOUNTED)
    texts = [f"{name} should have {total} messages, has {count}" for name, total, count in found]
    senseless = schema.value(db, _SENSELESS)
    return texts + ([f"{senseless} messages without sense"] if senseless else [])


def _block(
    db: apsw.Connection, mailbox: int, last: int, code: str
) -> tuple[array[int], array[int]] | None:
    """The next UIDs and flags above `last`; None: there are no more."""
    # Two JSON arrays are read at half the cost of rows, and mostly without holding up other
    # threads. The rows come in the order of the primary key.
    raw_uids, raw_flags = schema.first(
        db,
        "SELECT json_group_array(uid), json_group_array(flags) FROM"
        " (SELECT uid, flags FROM message WHERE mailbox=? AND uid>? ORDER BY uid LIMIT ?)",
        mailbox,
        last,
        BLOCK,
    ) or ("[]", "[]")
    try:
        uids = array("I", orjson.loads(raw_uids))
        return (uids, array(code, orjson.loads(raw_flags))) if uids else None
    except (OverflowError, TypeError) as error:
        raise apsw.CorruptError("no UIDs and flags") from error


def _code(row: MailboxRow) -> Literal["I", "Q"]:
    """The type of the flag words: as small as their keywords allow."""
    return "I" if len(row.keywords) <= LETTER_KEYWORDS else "Q"


def _view(row: MailboxRow, uids: array[int], flags: array[int]) -> MailboxView:
    return MailboxView(
        MailboxId(row.id),
        row.uidvalidity,
        Uid(row.uidnext),
        ModSeq(row.highestmodseq),
        row.total,
        uids,
        flags,
        row.keywords,
    )


def read_changes(
    db: apsw.Connection, row: MailboxRow, since: int, limit: int = -1
) -> Changes | None:
    """What happened after `since`; None: `limit` rows or more. In one snapshot with `row`."""
    if since >= row.highestmodseq and since >= row.floor:
        return no_changes(row, since)
    found = list(schema.rows(db, _CHANGES, row.id, since, limit))
    if len(found) == limit:
        return None
    changed = [Changed(Uid(uid), flags, ModSeq(at)) for uid, flags, at in found if flags >= 0]
    vanished = sorted(Uid(uid) for uid, flags, _ in found if flags < 0)
    changed.sort(key=_uid)
    upto, uidnext = ModSeq(row.highestmodseq), Uid(row.uidnext)
    is_truncated = since < row.floor
    return Changes(ModSeq(since), upto, uidnext, changed, vanished, row.keywords, is_truncated)


def no_changes(row: MailboxRow, since: int) -> Changes:
    """Nothing happened after `since`."""
    upto, uidnext = ModSeq(row.highestmodseq), Uid(row.uidnext)
    return Changes(ModSeq(since), upto, uidnext, [], [], row.keywords)


def _uid(changed: Changed) -> int:
    return changed.uid


def advance(view: MailboxView, row: MailboxRow, changes: Changes) -> MailboxView | None:
    """The view after `changes`; None: they do not reach back to it, load it anew."""
    if changes.is_truncated or view.uidvalidity != row.uidvalidity:
        return None
    uids, flags, total = view.uids, view.flags, view.total
    if len(uids) != total or len(flags) != total:
        uids, flags = uids[:total], flags[:total]  # a newer view has grown these arrays
    if flags.typecode < _code(row):
        flags = array(_code(row), flags)
    if changes.vanished:
        uids, flags = _without(uids, flags, changes.vanished)
    last = uids[-1] if uids else 0
    fresh = [one for one in changes.changed if one.uid > last]
    if len(fresh) < len(changes.changed) and flags is view.flags:
        flags = flags[:]
    for one in changes.changed[: len(changes.changed) - len(fresh)]:
        flags[bisect_left(uids, one.uid)] = one.flags
    uids, flags = _extended(uids, flags, fresh)
    return _view(row, uids, flags) if len(uids) == row.total else None


def _without(
    uids: array[int], flags: array[int], vanished: Sequence[Uid]
) -> tuple[array[int], array[int]]:
    """Copies, of all but what is gone: each page of memory that is new is dear."""
    places = (bisect_left(uids, uid) for uid in vanished)
    gone = [place for place, uid in zip(places, vanished, strict=True) if _is_at(uids, place, uid)]
    if len(gone) <= _FEW_GONE:
        kept_uids, kept_flags = uids[:], flags[:]
        for place in reversed(gone):
            del kept_uids[place], kept_flags[place]
        return kept_uids, kept_flags
    kept_uids, kept_flags = array("I"), array(flags.typecode)
    for before, place in pairwise((-1, *gone, len(uids))):
        if before + 1 < place:
            kept_uids += uids[before + 1 : place]
            kept_flags += flags[before + 1 : place]
    return kept_uids, kept_flags


def _is_at(uids: array[int], place: int, uid: int) -> bool:
    return place < len(uids) and uids[place] == uid


def _extended(
    uids: array[int], flags: array[int], fresh: Sequence[Changed]
) -> tuple[array[int], array[int]]:
    if not fresh:
        return uids, flags
    more_uids = array("I", [one.uid for one in fresh])
    more_flags = array(flags.typecode, [one.flags for one in fresh])
    try:
        uids.extend(more_uids)
    except BufferError:  # somebody looks at it through a memoryview
        uids = uids + more_uids
    try:
        flags.extend(more_flags)
    except BufferError:
        flags = flags + more_flags
    return uids, flags
