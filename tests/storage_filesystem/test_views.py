"""Views of large mailboxes are whole, and an older view never changes."""

from __future__ import annotations

import random
from array import array
from collections.abc import Sequence
from pathlib import Path

import pytest

from rmail_kernel.storage.filesystem import schema, views
from rmail_kernel.storage.filesystem.tables import MailboxRow
from rmail_kernel.storage.ids import MailboxId, ModSeq, Uid
from rmail_kernel.storage.mail import Changed, Changes, MailboxView


def row(total: int, uidnext: int) -> MailboxRow:
    """INBOX with so many messages."""
    return MailboxRow(
        1, "INBOX", None, 0, 7, uidnext, uidnext, 2, 1, total, total, 0, 0, 1, 0, "x", (), 1
    )


def view_of(uids: Sequence[int], flags: Sequence[int]) -> MailboxView:
    """A view of these messages."""
    columns = array("I", uids), array("I", flags)
    return MailboxView(MailboxId(1), 7, Uid(uids[-1] + 1), ModSeq(1), len(uids), *columns, ())


@pytest.mark.parametrize("more", [-1, 0, 1, views.BLOCK])
def test_view_has_all_messages_around_the_rows_read_at_a_time(tmp_path: Path, more: int) -> None:
    uids = range(3, 3 + 2 * (views.BLOCK + more), 2)
    db = schema.create(tmp_path / "account.db")
    db.executemany(
        "INSERT INTO message (mailbox, uid, flags, modseq, named, size_bytes, internal_date)"
        " VALUES (?, ?, ?, 2, 0, 1, 1)",
        [(box, uid, uid % 8) for box in (1, 2) for uid in uids],
    )
    view = views.load(db, row(len(uids), uids[-1] + 1))
    db.close()
    assert view.uids == array("I", uids)
    assert view.flags == array("I", (uid % 8 for uid in uids))


@pytest.mark.parametrize("count", [1, 16, 17, 400, 999])
def test_advanced_view_lacks_what_vanished_and_the_older_one_has_it(count: int) -> None:
    uids = list(range(5, 5 + 3 * 1000, 3))
    view = view_of(uids, [uid % 5 for uid in uids])
    before = view.uids[:], view.flags[:]
    gone = sorted(random.Random(count).sample(uids, count))
    changed = [Changed(Uid(uid), 77, ModSeq(2)) for uid in uids[::100] if uid not in gone]
    vanished = [Uid(uid) for uid in sorted({4, 6, *gone, uids[-1] + 2})]  # some never were here
    changes = Changes(ModSeq(1), ModSeq(2), view.uidnext, changed, vanished, ())
    kept = [uid for uid in uids if uid not in gone]
    newer = views.advance(view, row(len(kept), view.uidnext), changes)
    assert newer is not None
    assert newer.uids == array("I", kept)
    flags = [77 if Uid(uid) in {one.uid for one in changed} else uid % 5 for uid in kept]
    assert newer.flags == array("I", flags)
    assert (view.uids, view.flags) == before
