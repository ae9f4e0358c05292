"""Quota, and operations that are tried again."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from rmail_kernel.errors import Invalid, QuotaExceeded
from rmail_kernel.storage.ids import MailboxId, Uid
from rmail_kernel.storage.mail import AppendItem
from rmail_kernel.testing import FakeClock
from tests.storage_contract.rig import ALICE, Opened, item

INBOX = MailboxId(1)
BIG = b"Subject: big\r\n\r\n" + b"x" * (300 << 10)


async def _limit(store: Opened, quota_mb: int) -> None:
    record = await store.directory.by_id(ALICE)
    assert record is not None
    await store.directory.update(record, quota_mb=quota_mb)


def _instead(
    uid: int, raw: bytes, *flags: str, mailbox: str = "INBOX", op_id: str = ""
) -> AppendItem:
    found = item(raw, *flags, mailbox=mailbox, op_id=op_id or None)
    return replace(found, replaces=(INBOX, Uid(uid)))


async def test_quota_counts_bytes_and_messages(store: Opened) -> None:
    await _limit(store, 1)
    await store.put(item(BIG), item())
    quota = await store.mail.quota(ALICE)
    assert (quota.limit_bytes, quota.used_messages) == (1 << 20, 2)
    assert quota.used_bytes == sum(s.size_bytes for s in await store.mail.mailboxes(ALICE))


async def test_the_quota_holds_to_the_byte(store: Opened) -> None:
    await _limit(store, 1)
    await store.put(item(b"x" * ((1 << 20) - 1)))
    with pytest.raises(QuotaExceeded):
        await store.put(item(b"xx"))
    await store.put(item(b"x"))
    with pytest.raises(QuotaExceeded):
        await store.put(item(b"x"))
    await store.put(item(b""))
    assert (await store.mail.quota(ALICE)).used_bytes == 1 << 20


async def test_over_quota_nothing_of_the_call_is_stored(store: Opened) -> None:
    await _limit(store, 1)
    with pytest.raises(QuotaExceeded):
        await store.put(item(), item(BIG), item(BIG), item(BIG), item(BIG))
    assert (await store.mail.quota(ALICE)).used_bytes == 0
    assert (await store.mail.view(ALICE, "INBOX")).total == 0


async def test_a_message_replaces_another_in_one_transaction(store: Opened, other: Opened) -> None:
    """RFC 8508; what goes makes room for what comes."""
    await _limit(store, 1)
    await store.put(item(), item(BIG), item(BIG), item(BIG))
    (stored,) = await other.put(_instead(2, BIG, mailbox="Sent", op_id="again"))
    view = await store.mail.view(ALICE, "INBOX")
    assert list(view.uids[: view.total]) == [1, 3, 4]
    assert [stored] == await store.put(_instead(3, BIG, mailbox="Sent", op_id="again"))
    quota = await store.mail.quota(ALICE)
    assert quota.used_messages == 4
    assert quota.used_bytes == sum(s.size_bytes for s in await store.mail.mailboxes(ALICE))


async def test_a_message_that_cannot_be_stored_replaces_nothing(store: Opened) -> None:
    await _limit(store, 1)
    await store.put(item(), item(BIG), item(BIG), item(BIG))
    before = await store.mail.quota(ALICE)
    with pytest.raises(QuotaExceeded):
        await store.put(_instead(1, BIG))
    with pytest.raises(Invalid):
        await store.put(_instead(2, b"x", "\\Bad"))
    assert await store.mail.quota(ALICE) == before
    assert (await store.mail.view(ALICE, "INBOX")).total == 4


async def test_what_is_gone_already_is_replaced_all_the_same(store: Opened) -> None:
    await store.put(item())
    await store.put(_instead(1, b"x"))
    gone = replace(item(b"y"), replaces=(MailboxId(999), Uid(1)))
    await store.put(_instead(1, b"x"), gone)
    assert (await store.mail.view(ALICE, "INBOX")).total == 3


async def test_quota_is_exact_under_concurrency(store: Opened, other: Opened) -> None:
    await _limit(store, 1)
    attempts = [
        one.put(item(BIG, mailbox="INBOX" if n % 2 else "Sent"))
        for n in range(8)
        for one in (store, other)
    ]
    outcomes = await asyncio.gather(*attempts, return_exceptions=True)
    assert sum(isinstance(one, list) for one in outcomes) == 3
    assert sum(isinstance(one, QuotaExceeded) for one in outcomes) == 13
    quota = await store.mail.quota(ALICE)
    assert (quota.used_messages, quota.used_bytes) == (3, 3 * len(BIG))


async def test_copies_count_and_moves_do_not(store: Opened) -> None:
    await _limit(store, 1)
    await store.put(item(BIG), item(BIG))
    await store.mail.copy(ALICE, INBOX, [Uid(1)], "Sent")
    with pytest.raises(QuotaExceeded):
        await store.mail.copy(ALICE, INBOX, [Uid(1)], "Sent")
    await store.mail.move(ALICE, INBOX, [Uid(1), Uid(2)], "Trash")
    assert (await store.mail.quota(ALICE)).used_bytes == 3 * len(BIG)
    await store.mail.expunge(ALICE, (await store.mail.status(ALICE, "Trash")).id, None)
    await store.mail.delete(ALICE, "Trash")
    assert (await store.mail.quota(ALICE)).used_bytes == len(BIG)


async def test_a_quota_of_messages_holds_to_the_message(store: Opened, other: Opened) -> None:
    record = await store.directory.by_id(ALICE)
    assert record is not None
    await store.directory.update(record, quota_messages=3)
    attempts = [one.put(item(b"")) for one in (store, other) * 4]
    outcomes = await asyncio.gather(*attempts, return_exceptions=True)
    assert sum(isinstance(one, list) for one in outcomes) == 3
    assert sum(isinstance(one, QuotaExceeded) for one in outcomes) == 5
    with pytest.raises(QuotaExceeded):
        await store.mail.copy(ALICE, INBOX, [Uid(1)], "Sent")
    await store.mail.move(ALICE, INBOX, [Uid(1)], "Sent")
    quota = await store.mail.quota(ALICE)
    assert (quota.used_messages, quota.limit_messages) == (3, 3)
    await store.mail.expunge(ALICE, INBOX, [Uid(2)], only_deleted=False)
    await store.put(item())
    await store.directory.update(record, quota_messages=None)
    await store.put(item(), item())
    assert (await store.mail.quota(ALICE)).limit_messages is None


async def test_a_retry_returns_the_first_result(store: Opened, other: Opened) -> None:
    first = await store.put(item(op_id="delivery-1"))
    assert await other.put(item(op_id="delivery-1")) == first
    mixed = await store.put(item(op_id="delivery-2"), item(op_id="delivery-1"), item())
    assert [one.uid for one in mixed] == [2, 1, 3]
    assert (await store.mail.view(ALICE, "INBOX")).total == 3


async def test_concurrent_retries_store_once(store: Opened, other: Opened) -> None:
    found = await asyncio.gather(
        *(one.put(item(op_id="x")) for one in (store, other) for _ in range(5))
    )
    assert len({some[0] for some in found}) == 1
    assert (await store.mail.view(ALICE, "INBOX")).total == 1


async def test_a_retry_of_copy_and_move_returns_the_first_result(store: Opened) -> None:
    await store.put(item(), item())
    for operation in (store.mail.copy, store.mail.move):
        name = operation.__name__
        first = await operation(ALICE, INBOX, [Uid(1)], "Sent", op_id=name)
        assert await operation(ALICE, INBOX, [Uid(1)], "Sent", op_id=name) == first
    assert (await store.mail.status(ALICE, "Sent")).total == 2


async def test_an_operation_id_serves_one_message(store: Opened) -> None:
    with pytest.raises(Invalid):
        await store.put(item(op_id="x"), item(op_id="x"))


async def test_an_operation_id_is_kept_for_seven_days(store: Opened, clock: FakeClock) -> None:
    await store.put(item(op_id="x"))
    clock.advance(7 * 86_400 - 60)
    await store.put(item())
    assert [one.uid for one in await store.put(item(op_id="x"))] == [1]
