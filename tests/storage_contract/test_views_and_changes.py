"""Snapshots, what changed since, \\Recent, events."""

from __future__ import annotations

from dataclasses import replace

from rmail_kernel.storage.events import Change
from rmail_kernel.storage.ids import MailboxId, ModSeq, Uid
from tests.storage_contract.rig import ALICE, BOB, MESSAGE, Opened, item

INBOX = MailboxId(1)
SEEN = frozenset({"\\Seen"})


async def test_a_view_never_changes(store: Opened) -> None:
    await store.put(*(item() for _ in range(4)))
    view = await store.mail.view(ALICE, "INBOX")
    await store.mail.store_flags(ALICE, INBOX, [Uid(2)], "add", SEEN)
    newer = await store.mail.view(ALICE, INBOX)
    await store.mail.expunge(ALICE, INBOX, [Uid(1)], only_deleted=False)
    await store.put(item())
    newest = await store.mail.view(ALICE, INBOX)
    assert (view.total, list(view.uids[:4]), list(view.flags[:4])) == (4, [1, 2, 3, 4], [0] * 4)
    assert list(newer.flags[: newer.total]) == [0, 8, 0, 0]
    assert list(newest.uids[: newest.total]) == [2, 3, 4, 5]
    assert list(newest.flags[: newest.total]) == [8, 0, 0, 0]
    assert view.modseq < newer.modseq < newest.modseq


async def test_growth_shares_the_arrays_and_spares_older_views(store: Opened) -> None:
    await store.put(item())
    view = await store.mail.view(ALICE, "INBOX")
    for _ in range(3):
        await store.put(item())
        newer = await store.mail.view(ALICE, "INBOX")
    assert newer.uids is view.uids
    assert (view.total, newer.total) == (1, 4)
    with memoryview(newer.uids):
        await store.put(item())
        newest = await store.mail.view(ALICE, "INBOX")
    assert list(newest.uids) == [1, 2, 3, 4, 5]


async def test_an_unchanged_mailbox_gives_the_same_view(store: Opened) -> None:
    await store.put(item())
    assert await store.mail.view(ALICE, "INBOX") is await store.mail.view(ALICE, INBOX)


async def test_a_view_is_no_older_than_what_another_process_answered(
    store: Opened, other: Opened
) -> None:
    for number in range(1, 20):
        await store.put(item())
        view = await other.mail.view(ALICE, "INBOX")
        assert (view.total, view.uidnext) == (number, number + 1)
        await other.mail.store_flags(ALICE, INBOX, [Uid(number)], "add", SEEN)
        view = await store.mail.view(ALICE, "INBOX")
        assert list(view.flags[:number]) == [8] * number


async def test_changes_tell_what_is_new_changed_and_gone(store: Opened) -> None:
    await store.put(*(item() for _ in range(4)))
    since = (await store.mail.view(ALICE, "INBOX")).modseq
    assert (await store.mail.changes(ALICE, INBOX, since)).changed == []
    await store.mail.store_flags(ALICE, INBOX, [Uid(2)], "add", frozenset({"$A"}))
    await store.mail.expunge(ALICE, INBOX, [Uid(3), Uid(1)], only_deleted=False)
    await store.put(item())
    changes = await store.mail.changes(ALICE, INBOX, since)
    assert [one.uid for one in changes.changed] == [2, 5]
    assert changes.vanished == [1, 3]
    assert (changes.since, changes.uidnext, changes.keywords) == (since, 6, ("$A",))
    assert not changes.is_truncated
    assert changes.upto == (await store.mail.status(ALICE, INBOX)).highestmodseq
    assert max(one.modseq for one in changes.changed) == changes.upto
    again = await store.mail.changes(ALICE, INBOX, changes.upto)
    assert (again.changed, again.vanished, again.upto) == ([], [], changes.upto)


async def test_changes_of_many_messages_are_complete(store: Opened, other: Opened) -> None:
    await other.mail.view(ALICE, "INBOX")
    await store.put(*(item() for _ in range(700)))
    changes = await other.mail.changes(ALICE, INBOX, ModSeq(0))
    assert [one.uid for one in changes.changed] == list(range(1, 701))
    assert (await other.mail.view(ALICE, "INBOX")).total == 700
    await store.mail.expunge(ALICE, INBOX, None, only_deleted=False)
    assert len((await other.mail.changes(ALICE, INBOX, changes.upto)).vanished) == 700
    assert (await other.mail.view(ALICE, "INBOX")).total == 0


async def test_one_modseq_counter_serves_the_whole_account(store: Opened) -> None:
    (first,) = await store.put(item())
    (second,) = await store.put(item(mailbox="Sent"))
    result = await store.mail.store_flags(ALICE, INBOX, [Uid(1)], "add", SEEN)
    assert first.modseq < second.modseq < result.modseq
    inbox, sent = [await store.mail.status(ALICE, name) for name in ("INBOX", "Sent")]
    assert (inbox.highestmodseq, sent.highestmodseq) == (result.modseq, second.modseq)


async def test_recent_belongs_to_the_first_that_claims_it(store: Opened, other: Opened) -> None:
    await store.put(item(), item(MESSAGE, "\\Seen"))
    assert (await other.mail.status(ALICE, "INBOX")).recent == 2
    assert await store.mail.claim_recent(ALICE, INBOX) == {1, 2}
    assert await other.mail.claim_recent(ALICE, INBOX) == frozenset()
    await store.put(item())
    assert await other.mail.claim_recent(ALICE, INBOX) == {3}
    assert (await store.mail.status(ALICE, "INBOX")).recent == 0


async def test_recent_can_be_claimed_with_what_comes(store: Opened, other: Opened) -> None:
    mine = replace(item(), claims_recent=True)
    assert [one.is_claimed for one in await store.put(mine, mine)] == [True, True]
    assert await other.mail.claim_recent(ALICE, INBOX) == frozenset()
    await store.put(item())
    (waits,) = await store.put(mine)  # for whoever claims the one before it
    assert not waits.is_claimed
    assert await other.mail.claim_recent(ALICE, INBOX) == {3, 4}
    (again,) = await store.put(mine)
    assert again.is_claimed
    assert (await other.mail.status(ALICE, "INBOX")).recent == 0


async def test_events_come_after_the_commit_to_the_account_concerned(store: Opened) -> None:
    seen: list[Change] = []
    with (
        store.events.subscribe(ALICE, seen.append),
        store.events.subscribe(BOB, seen.append),
    ):
        (stored,) = await store.put(item())
        assert Change(ALICE, "mail", stored.mailbox, stored.modseq) in seen
        seen.clear()
        result = await store.mail.move(ALICE, INBOX, [Uid(1)], "Trash")
        assert {one.container for one in seen} == {INBOX, result.mailbox}
        assert {one.modseq for one in seen} == {result.modseq}
        assert {one.account for one in seen} == {ALICE}
