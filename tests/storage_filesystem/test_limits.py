"""The driver's own limits, each reached."""

from __future__ import annotations

import asyncio

import pytest

from rmail_kernel.errors import LimitReached, Temporary
from rmail_kernel.storage.filesystem import FilesystemMailStore, mailboxes
from rmail_kernel.storage.filesystem.layout import MAX_UID, AccountPaths
from rmail_kernel.storage.filesystem.outside import MAX_JUMP
from rmail_kernel.storage.filesystem.transaction import (
    RESERVE_MODSEQS,
    RESERVE_UIDS,
    Transaction,
)
from rmail_kernel.storage.filesystem.writer import MAX_BATCH
from rmail_kernel.storage.ids import MailboxId, Uid
from rmail_kernel.testing import FakeClock
from tests.storage_contract.rig import ALICE, MESSAGE, Opened, item
from tests.storage_filesystem.damage import harm

INBOX = MailboxId(1)


async def test_a_mailbox_without_uids_left_refuses_more(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths
) -> None:
    def last(tx: Transaction) -> None:
        row = tx.mailbox(INBOX)
        row.uidnext = MAX_UID - 2
        tx.allocate(row, 0)

    await mail.transact(ALICE, last)
    assert [one.uid for one in await store.put(item(), item())] == [MAX_UID - 2, MAX_UID - 1]
    with pytest.raises(Temporary):
        await store.put(item())
    assert (paths.mailboxes / "INBOX" / "4294967" / "4294967294_.eml").exists()
    assert (await mail.view(ALICE, INBOX)).total == 2


async def test_so_many_mailboxes_and_no_more(
    store: Opened, mail: FilesystemMailStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = len(await mail.mailboxes(ALICE))
    monkeypatch.setattr(mailboxes, "MAX_MAILBOXES", there + 3)
    with pytest.raises(LimitReached):
        await mail.create(ALICE, "a/b/c/d")
    assert len(await mail.mailboxes(ALICE)) == there
    await mail.create(ALICE, "a/b/c")
    with pytest.raises(LimitReached):
        await mail.create(ALICE, "d")
    await mail.rename(ALICE, "a", "d")
    with pytest.raises(LimitReached):
        await mail.rename(ALICE, "d", "e/f")
    await mail.delete(ALICE, "d/b/c")
    await mail.create(ALICE, "g")
    assert len(await mail.mailboxes(ALICE)) == there + 3


async def test_a_file_with_a_uid_far_above_uidnext_gets_the_next_one(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths, clock: FakeClock
) -> None:
    await store.put(item())
    for uid in (2 + MAX_JUMP + 1, MAX_UID):
        shard = paths.mailboxes / "INBOX" / f"{uid // 1000:04d}"
        shard.mkdir()
        (shard / f"{uid:08d}_.eml").write_bytes(MESSAGE)
    clock.advance(2)
    assert list((await mail.view(ALICE, INBOX)).uids) == [1, 2, 3]


async def test_more_operations_than_a_batch_holds_all_succeed(store: Opened) -> None:
    found = await asyncio.gather(*(store.put(item()) for _ in range(2 * MAX_BATCH + 10)))
    assert len({one[0].uid for one in found}) == 2 * MAX_BATCH + 10


async def test_the_reserve_of_uids_covers_what_was_given_out(
    store: Opened, mail: FilesystemMailStore
) -> None:
    await store.put(*(item(b"") for _ in range(RESERVE_UIDS + 5)))
    await mail.expunge(ALICE, INBOX, None, only_deleted=False)
    harm(store.root, "all-deleted")
    assert (await store.put(item()))[0].uid > RESERVE_UIDS + 5


async def test_the_reserve_of_modseqs_covers_what_was_given_out(
    store: Opened, mail: FilesystemMailStore
) -> None:
    def use_up(tx: Transaction) -> int:
        for _ in range(RESERVE_MODSEQS + 5):
            modseq = tx.next_modseq()
        tx.touched(tx.mailbox(INBOX), modseq)
        return modseq

    used = await mail.transact(ALICE, use_up)
    harm(store.root, "all-deleted")
    assert (await mail.status(ALICE, INBOX)).highestmodseq > used
    await store.put(item())
    await mail.store_flags(ALICE, INBOX, [Uid(1)], "add", frozenset({"x"}))
