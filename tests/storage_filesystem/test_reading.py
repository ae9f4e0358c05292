"""Rows as messages."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

import apsw
import pytest

from rmail_kernel.storage.filesystem import reading
from rmail_kernel.storage.filesystem.batch import Batches, Work
from rmail_kernel.storage.filesystem.disk import Owner
from rmail_kernel.storage.filesystem.expunging import expunge
from rmail_kernel.storage.filesystem.layout import AccountPaths
from rmail_kernel.storage.filesystem.moments import moment
from rmail_kernel.storage.filesystem.schema import summary_key
from rmail_kernel.storage.filesystem.store import FilesystemMailStore
from rmail_kernel.storage.ids import MailboxId, Uid
from rmail_kernel.storage.mail import Field
from rmail_kernel.testing import FakeClock
from tests.storage_contract.rig import ALICE, MESSAGE, Opened, item
from tests.storage_contract.test_at_hand import SEEN, bytes_of
from tests.storage_contract.test_messages import fetched

INBOX = MailboxId(1)


@pytest.mark.parametrize(
    ("seconds", "year"), [(10**12, 9999), (2**62, 9999), (-(10**12), 1), (0, 1970)]
)
def test_a_time_outside_of_the_calendar_is_the_nearest_there_is(seconds: int, year: int) -> None:
    assert moment(seconds).year == year
    assert moment(seconds).tzinfo is UTC
    assert moment(86_400) == datetime(1970, 1, 2, tzinfo=UTC)


async def test_a_message_that_goes_while_it_is_read_is_read_whole_or_not_at_all(
    store: Opened, paths: AccountPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.put(*(item() for _ in range(4)))
    batches = Batches(paths, Owner.of(store.root), FakeClock().time)
    going = [1, 2, 3]
    summaries = reading._summaries  # where another process may come between

    def interrupted(db: Any, mailbox: int, rows: Sequence[Any], wanted: Any) -> Iterable[Any]:
        if going:
            act = partial(expunge, mailbox=INBOX, uids=[going.pop()], only_deleted=False)
            batches.run([Work(act)])
        return summaries(db, mailbox, rows, wanted)

    monkeypatch.setattr(reading, "_summaries", interrupted)
    while going:
        found = await fetched(store, [1, 2, 3, 4], Field.ENVELOPE | Field.BODYSTRUCTURE)
        assert all(one.raw_envelope and one.raw_bodystructure for one in found)
    assert [one.uid for one in await fetched(store, [1, 2, 3, 4], Field.ENVELOPE)] == [4]
    batches.close()


async def test_a_message_of_which_neither_file_nor_summary_is_left_is_left_out(
    store: Opened, paths: AccountPaths
) -> None:
    await store.put(item(), item())
    shard = paths.mailboxes / "INBOX/0000"
    left_at_ns = shard.stat().st_mtime_ns
    (shard / "00000001_.eml").unlink()
    os.utime(shard, ns=(left_at_ns, left_at_ns))  # so nobody looks what has changed in it
    with apsw.Connection(str(paths.database)) as db:
        db.execute("DELETE FROM summary WHERE key = ?", (summary_key(INBOX, 1),))
    db.close()
    assert [one.uid for one in await fetched(store, [1, 2], Field.ENVELOPE)] == [2]
    await store.mail.expunge(ALICE, INBOX, [Uid(1)], only_deleted=False)


async def test_a_message_that_has_another_name_by_now_or_none_is_asked_for(
    store: Opened,
) -> None:
    await store.put(item(), item())
    view = await store.mail.view(ALICE, INBOX)
    assert bytes_of(store, view, 1) == bytes_of(store, view, 2) == MESSAGE
    await store.mail.store_flags(ALICE, INBOX, [Uid(1)], "add", SEEN)
    await store.mail.expunge(ALICE, INBOX, [Uid(2)], only_deleted=False)
    assert isinstance(store.mail, FilesystemMailStore)
    await store.mail.settle(ALICE)
    assert bytes_of(store, view, 1) is bytes_of(store, view, 2) is None
    assert bytes_of(store, await store.mail.view(ALICE, INBOX), 1) == MESSAGE
