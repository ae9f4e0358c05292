"""Copying, moving and expunging."""

from __future__ import annotations

import pytest

from rmail_kernel.errors import NotFound
from rmail_kernel.storage.ids import MailboxId, ModSeq, Uid
from rmail_kernel.storage.mail import Field
from tests.storage_contract.rig import ALICE, MESSAGE, Opened, item
from tests.storage_contract.test_messages import fetched

INBOX = MailboxId(1)


def _uids(*numbers: int) -> list[Uid]:
    return [Uid(number) for number in numbers]


async def test_copy_keeps_flags_dates_and_content(store: Opened) -> None:
    await store.put(item(MESSAGE, "\\Seen", "$B"), item(MESSAGE, mailbox="Sent"), item())
    await store.mail.store_flags(ALICE, INBOX, _uids(1), "add", frozenset({"$A"}))
    result = await store.mail.copy(ALICE, INBOX, _uids(1, 3, 2), "Sent")
    assert (result.source, result.target) == ([1, 2], [2, 3])
    view = await store.mail.view(ALICE, "Sent")
    assert result.uidvalidity == view.uidvalidity
    names = [view.flag_names(word) for word in view.flags]
    assert [set(one) for one in names] == [set(), {"\\Seen", "$A", "$B"}, set()]
    (old,) = await fetched(store, [1], Field.ENVELOPE | Field.STRUCTURE)
    (new,) = await fetched(store, [2], Field.ENVELOPE | Field.STRUCTURE | Field.CONTENT, "Sent")
    assert (new.internal_date, new.raw_envelope, new.raw_structure) == (
        old.internal_date,
        old.raw_envelope,
        old.raw_structure,
    )
    assert new.content is not None
    assert await new.content.read() == MESSAGE
    source, target = [await store.mail.status(ALICE, name) for name in ("INBOX", "Sent")]
    assert (source.total, target.total, target.unseen, target.recent) == (2, 3, 2, 3)
    assert target.highestmodseq == result.modseq > source.highestmodseq


async def test_a_copy_that_needs_all_makes_none_without_one(store: Opened) -> None:
    await store.put(item(), item())
    with pytest.raises(NotFound) as caught:
        await store.mail.copy(ALICE, INBOX, _uids(1, 2, 3), "Sent", needs_all=True)
    assert caught.value.fields["expunged"]
    assert (await store.mail.status(ALICE, "Sent")).uidnext == 1
    result = await store.mail.copy(ALICE, INBOX, _uids(1, 2), "Sent", needs_all=True)
    assert result.target == [1, 2]


async def test_copy_into_the_same_mailbox_makes_new_messages(store: Opened) -> None:
    await store.put(item(MESSAGE, "$A"))
    result = await store.mail.copy(ALICE, INBOX, _uids(1), INBOX)
    assert (result.source, result.target) == ([1], [2])
    view = await store.mail.view(ALICE, "INBOX")
    assert list(view.uids) == [1, 2]
    assert view.flag_names(view.flags[1]) == ["$A"]


async def test_a_copy_outlives_the_original_and_the_other_way_round(store: Opened) -> None:
    await store.put(item(), item())
    await store.mail.copy(ALICE, INBOX, _uids(1, 2), "Sent")
    sent = (await store.mail.status(ALICE, "Sent")).id
    await store.mail.expunge(ALICE, INBOX, _uids(1), only_deleted=False)
    await store.mail.expunge(ALICE, sent, _uids(2), only_deleted=False)
    for mailbox, uid in (("Sent", 1), ("INBOX", 2)):
        (one,) = await fetched(store, [uid], Field.CONTENT, mailbox)
        assert one.content is not None
        assert await one.content.read() == MESSAGE


async def test_nothing_to_copy_or_move_changes_nothing(store: Opened) -> None:
    before = await store.mail.status(ALICE, "Sent")
    for operation in (store.mail.copy, store.mail.move):
        result = await operation(ALICE, INBOX, _uids(7), "Sent")
        assert (result.source, result.target) == ([], [])
        with pytest.raises(NotFound):
            await operation(ALICE, INBOX, _uids(7), "Nothing")
    assert await store.mail.status(ALICE, "Sent") == before


async def test_move_takes_messages_away_in_one_step(store: Opened) -> None:
    await store.put(item(MESSAGE, "\\Flagged", "$A"), item(), item())
    quota = await store.mail.quota(ALICE)
    since = (await store.mail.status(ALICE, "INBOX")).highestmodseq
    result = await store.mail.move(ALICE, INBOX, _uids(1, 3), "Trash")
    assert (result.source, result.target) == ([1, 3], [1, 2])
    changes = await store.mail.changes(ALICE, INBOX, since)
    assert (changes.vanished, changes.changed, changes.upto) == ([1, 3], [], result.modseq)
    view = await store.mail.view(ALICE, "Trash")
    assert list(view.uids) == [1, 2]
    assert view.flag_names(view.flags[0]) == ["\\Flagged", "$A"]
    assert await store.mail.quota(ALICE) == quota
    (one,) = await fetched(store, [1], Field.ENVELOPE | Field.CONTENT, "Trash")
    assert one.content is not None
    assert await one.content.read() == MESSAGE


async def test_move_within_a_mailbox_gives_new_uids(store: Opened) -> None:
    await store.put(item(), item())
    result = await store.mail.move(ALICE, INBOX, _uids(1), "INBOX")
    assert (result.source, result.target) == ([1], [3])
    assert list((await store.mail.view(ALICE, "INBOX")).uids) == [2, 3]


async def test_expunge_removes_only_deleted_unless_told_otherwise(store: Opened) -> None:
    await store.put(item(MESSAGE, "\\Deleted"), item(), item(MESSAGE, "\\Deleted"), item())
    mail = store.mail
    assert await mail.expunge(ALICE, INBOX, _uids(2, 3)) == ([3], ModSeq(3))
    assert (await mail.expunge(ALICE, INBOX, None))[0] == [1]
    assert (await mail.expunge(ALICE, INBOX, None))[0] == []
    assert (await mail.expunge(ALICE, INBOX, _uids(2), only_deleted=False))[0] == [2]
    status = await mail.status(ALICE, "INBOX")
    assert (status.total, status.deleted, status.unseen, status.recent) == (1, 0, 1, 1)
    assert status.size_bytes == len(MESSAGE)
    assert (await mail.quota(ALICE)).used_bytes == len(MESSAGE)


async def test_uids_are_not_given_out_again_after_an_expunge(store: Opened) -> None:
    await store.put(item(), item())
    await store.mail.expunge(ALICE, INBOX, _uids(2), only_deleted=False)
    assert [one.uid for one in await store.put(item())] == [3]


async def test_expunge_of_very_many_leaves_nothing(store: Opened) -> None:
    await store.put(*(item() for _ in range(300)))
    removed, modseq = await store.mail.expunge(ALICE, INBOX, None, only_deleted=False)
    assert removed == list(range(1, 301))
    view = await store.mail.view(ALICE, "INBOX")
    assert (view.total, view.modseq, view.uidnext) == (0, modseq, 301)
    assert await fetched(store, [1, 300], Field.CONTENT) == []


async def test_a_uid_given_twice_means_that_one_message(store: Opened) -> None:
    await store.put(*(item() for _ in range(3)))
    twice = [Uid(1), Uid(3), Uid(1)]
    added = await store.mail.store_flags(ALICE, INBOX, twice, "add", frozenset({"\\Flagged"}))
    assert [change.uid for change in added.changed] == [1, 3]
    copied = await store.mail.copy(ALICE, INBOX, twice, "Archive")
    assert (list(copied.source), list(copied.target)) == ([1, 3], [1, 2])
    gone, _ = await store.mail.expunge(ALICE, INBOX, twice, only_deleted=False)
    assert gone == [1, 3]
    assert (await store.mail.status(ALICE, INBOX)).total == 1
