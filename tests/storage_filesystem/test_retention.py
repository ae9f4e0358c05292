"""What is kept only for a while: operation ids, expunges, leftovers of dead processes."""

from __future__ import annotations

import os
import time

from rmail_kernel.storage.filesystem import FilesystemMailStore, settling
from rmail_kernel.storage.filesystem.layout import AccountPaths
from rmail_kernel.storage.filesystem.transaction import Transaction
from rmail_kernel.storage.ids import MailboxId, Uid
from rmail_kernel.testing import FakeClock
from tests.storage_contract.rig import ALICE, Opened, item

INBOX = MailboxId(1)


async def test_expunges_are_forgotten_after_90_days_and_the_floor_rises(
    store: Opened, mail: FilesystemMailStore, clock: FakeClock
) -> None:
    await store.put(item(), item(), item())
    since = (await mail.view(ALICE, INBOX)).modseq
    _, first = await mail.expunge(ALICE, INBOX, [Uid(1)], only_deleted=False)
    clock.advance(60 * 86_400)
    _, second = await mail.expunge(ALICE, INBOX, [Uid(2)], only_deleted=False)
    await mail.settle(ALICE)
    assert (await mail.changes(ALICE, INBOX, since)).vanished == [1, 2]
    clock.advance(31 * 86_400)
    await mail.settle(ALICE)
    truncated = await mail.changes(ALICE, INBOX, since)
    assert truncated.is_truncated
    assert (await mail.status(ALICE, INBOX)).floor == first
    whole = await mail.changes(ALICE, INBOX, first)
    assert (whole.is_truncated, whole.vanished, whole.upto) == (False, [2], second)


async def test_too_many_expunges_are_forgotten_oldest_first(
    store: Opened, mail: FilesystemMailStore
) -> None:
    await store.put(*(item() for _ in range(6)))
    for uid in range(1, 6):
        await mail.expunge(ALICE, INBOX, [Uid(uid)], only_deleted=False)

    def prune(tx: Transaction) -> None:
        settling.prune(tx, max_expunged=3)

    await mail.transact(ALICE, prune)
    status = await mail.status(ALICE, INBOX)
    kept = await mail.changes(ALICE, INBOX, status.floor)
    assert (kept.vanished, kept.is_truncated) == ([3, 4, 5], False)
    assert settling.MAX_EXPUNGED == 100_000


async def test_operation_ids_are_forgotten_after_seven_days(
    store: Opened, mail: FilesystemMailStore, clock: FakeClock
) -> None:
    await store.put(item(op_id="x"))
    clock.advance(7 * 86_400 + 1)
    await mail.settle(ALICE)
    assert [one.uid for one in await store.put(item(op_id="x"))] == [2]


async def test_leftovers_older_than_an_hour_go_when_the_account_settles(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths
) -> None:
    await store.put(item())
    young, old = paths.temporary / "1.aa.0", paths.temporary / "1.bb.0"
    for path in (young, old):
        path.write_bytes(b"x")
    settling.clean_temporary(paths.temporary, time.time())
    assert old.exists()
    os.utime(old, (1, 1))  # a date of the message: it says nothing about the age of the file
    settling.clean_temporary(paths.temporary, time.time())
    assert old.exists()
    settling.clean_temporary(paths.temporary, time.time() + 3601)
    assert list(paths.temporary.iterdir()) == []
    await mail.settle(ALICE)
