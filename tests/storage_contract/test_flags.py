"""Flags, keywords and their MODSEQs."""

from __future__ import annotations

import pytest

from rmail_kernel.errors import Invalid, NotFound
from rmail_kernel.storage.ids import MailboxId, ModSeq, Uid
from rmail_kernel.storage.mail import LETTER_KEYWORDS, MAX_KEYWORDS
from rmail_kernel.storage.search import HasFlag, Not
from tests.storage_contract.rig import ALICE, MESSAGE, Opened, item

INBOX = MailboxId(1)
SEEN = frozenset({"\\Seen"})


async def _flags(store: Opened, mailbox: str = "INBOX") -> list[list[str]]:
    view = await store.mail.view(ALICE, mailbox)
    return [view.flag_names(word) for word in view.flags[: view.total]]


def _uids(*numbers: int) -> list[Uid]:
    return [Uid(number) for number in numbers]


async def test_set_add_and_remove(store: Opened) -> None:
    await store.put(item(MESSAGE, "\\Seen", "$A"))
    mail = store.mail
    await mail.store_flags(ALICE, INBOX, _uids(1), "add", frozenset({"\\FLAGGED", "$B"}))
    assert await _flags(store) == [["\\Flagged", "\\Seen", "$A", "$B"]]
    await mail.store_flags(ALICE, INBOX, _uids(1), "remove", frozenset({"\\seen", "$a", "$No"}))
    assert await _flags(store) == [["\\Flagged", "$B"]]
    await mail.store_flags(ALICE, INBOX, _uids(1), "set", frozenset({"\\Draft"}))
    assert await _flags(store) == [["\\Draft"]]
    await mail.store_flags(ALICE, INBOX, _uids(1), "set", frozenset())
    assert await _flags(store) == [[]]


async def test_one_modseq_for_the_call_and_counters_follow(store: Opened) -> None:
    await store.put(*(item() for _ in range(4)))
    result = await store.mail.store_flags(ALICE, INBOX, _uids(1, 2, 3, 99), "add", SEEN)
    assert [(one.uid, one.modseq) for one in result.changed] == [
        (uid, result.modseq) for uid in (1, 2, 3)
    ]
    status = await store.mail.status(ALICE, "INBOX")
    assert (status.unseen, status.highestmodseq) == (1, result.modseq)
    deleted = frozenset({"\\Deleted"})
    await store.mail.store_flags(ALICE, INBOX, _uids(1), "set", deleted)
    status = await store.mail.status(ALICE, "INBOX")
    assert (status.unseen, status.deleted) == (2, 1)


async def test_messages_whose_flags_stay_are_not_touched(store: Opened) -> None:
    await store.put(item(MESSAGE, "\\Seen"), item())
    before = (await store.mail.status(ALICE, "INBOX")).highestmodseq
    result = await store.mail.store_flags(ALICE, INBOX, _uids(1), "add", SEEN)
    assert (result.changed, result.modseq) == ([], before)
    result = await store.mail.store_flags(ALICE, INBOX, _uids(1, 2), "add", SEEN)
    assert [one.uid for one in result.changed] == [2]
    assert (await store.mail.status(ALICE, "INBOX")).highestmodseq == result.modseq > before


async def test_unchanged_since_spares_messages_that_changed(store: Opened) -> None:
    await store.put(item(), item())
    since = (await store.mail.status(ALICE, "INBOX")).highestmodseq
    await store.mail.store_flags(ALICE, INBOX, _uids(2), "add", frozenset({"$A"}))
    result = await store.mail.store_flags(
        ALICE, INBOX, _uids(1, 2), "add", SEEN, unchanged_since=since
    )
    assert [one.uid for one in result.changed] == [1]
    assert result.failed == [2]
    result = await store.mail.store_flags(
        ALICE, INBOX, _uids(1, 2), "add", SEEN, unchanged_since=ModSeq(0)
    )
    assert (result.changed, result.failed) == ([], [1, 2])


async def test_a_change_that_no_message_gets_defines_no_keyword(store: Opened) -> None:
    await store.put(item(), item())
    since = ModSeq(0)
    new = frozenset({"$New"})
    result = await store.mail.store_flags(
        ALICE, INBOX, _uids(1, 2), "add", new, unchanged_since=since
    )
    assert (result.changed, result.failed, result.keywords) == ([], _uids(1, 2), ())
    result = await store.mail.store_flags(
        ALICE, INBOX, _uids(1, 2, 9), "set", new, unchanged_since=since
    )
    assert result.keywords == ()
    with pytest.raises(Invalid):
        await store.mail.store_flags(
            ALICE, INBOX, _uids(1), "add", frozenset({"\\Bad"}), unchanged_since=since
        )
    await store.mail.store_flags(ALICE, INBOX, _uids(9), "add", new)
    assert (await store.mail.view(ALICE, "INBOX")).keywords == ()


async def test_keywords_compare_without_case_and_keep_their_first_spelling(store: Opened) -> None:
    await store.put(item(MESSAGE, "$Work"), item(MESSAGE, "$WORK"))
    assert await _flags(store) == [["$Work"], ["$Work"]]


async def test_the_keyword_table_is_per_mailbox(store: Opened) -> None:
    await store.put(item(MESSAGE, "$A"), item(MESSAGE, "$B", mailbox="Sent"))
    assert await _flags(store) == [["$A"]]
    assert await _flags(store, "Sent") == [["$B"]]


async def test_a_full_keyword_table_refuses_more_until_one_is_unused(store: Opened) -> None:
    names = [f"k{index}" for index in range(MAX_KEYWORDS)]
    await store.put(*(item(MESSAGE, name) for name in names))
    more = frozenset({"one-more"})
    with pytest.raises(Invalid):
        await store.mail.store_flags(ALICE, INBOX, _uids(1), "add", more)
    with pytest.raises(Invalid):
        await store.put(item(MESSAGE, "one-more"))
    assert await _flags(store) == [[name] for name in names]
    await store.mail.expunge(ALICE, INBOX, _uids(5), only_deleted=False)
    await store.mail.store_flags(ALICE, INBOX, _uids(1), "add", more)
    assert await _flags(store) == [["k0", "one-more"], *([n] for n in names[1:] if n != "k4")]


async def test_keywords_beyond_the_letters_are_like_others(store: Opened, other: Opened) -> None:
    names = [f"k{index}" for index in range(LETTER_KEYWORDS + 5)]
    await store.put(item(), item(MESSAGE, "\\Seen", *names), item(MESSAGE, names[-1]), item())
    before = await other.mail.view(ALICE, INBOX)
    late = frozenset({"late", names[-1]})
    result = await store.mail.store_flags(ALICE, INBOX, _uids(1), "add", late)
    assert [one.flags.bit_length() for one in result.changed] == [6 + len(names) + 1]
    await store.mail.store_flags(ALICE, INBOX, _uids(3), "remove", frozenset({names[-1]}))
    expected = [sorted(late), sorted(["\\Seen", *names]), [], []]
    for one in (store, other):
        assert [sorted(some) for some in await _flags(one)] == expected
        view = await one.mail.view(ALICE, INBOX)
        words = view.flags[: view.total]
        assert [sorted(view.flag_names(word)) for word in words] == expected
    changes = await other.mail.changes(ALICE, INBOX, before.modseq)
    assert [one.uid for one in changes.changed] == [1, 3]
    assert await store.mail.search(ALICE, INBOX, HasFlag(names[-1].upper())) == [1, 2]
    assert await store.mail.search(ALICE, INBOX, Not(HasFlag("late"))) == [2, 3, 4]


async def test_a_view_grows_with_the_keyword_table(store: Opened) -> None:
    await store.put(*(item(MESSAGE, f"k{index}") for index in range(LETTER_KEYWORDS)))
    small = await store.mail.view(ALICE, INBOX)
    assert small.uids.itemsize + small.flags.itemsize == 8
    await store.put(item(MESSAGE, "more", "\\Seen"))
    large = await store.mail.view(ALICE, INBOX)
    assert large.flag_names(large.flags[LETTER_KEYWORDS]) == ["\\Seen", "more"]
    assert list(large.flags[: small.total]) == list(small.flags[: small.total])
    await store.mail.expunge(ALICE, INBOX, _uids(1, 2, 3), only_deleted=False)
    last = await store.mail.view(ALICE, INBOX)
    assert last.flag_names(last.flags[last.total - 1]) == ["\\Seen", "more"]


async def test_copies_and_moves_keep_all_keywords(store: Opened) -> None:
    names = [f"k{index}" for index in range(LETTER_KEYWORDS + 5)]
    await store.put(item(MESSAGE, *names[:2]), item(MESSAGE, *names[2:]), item(MESSAGE, *names))
    await store.put(*(item(MESSAGE, f"s{index}", mailbox="Sent") for index in range(24)))
    await store.mail.copy(ALICE, INBOX, _uids(1, 2), "Sent")
    await store.mail.move(ALICE, INBOX, _uids(3), "Sent")
    found = (await _flags(store, "Sent"))[24:]
    assert [sorted(some) for some in found] == [names[:2], sorted(names[2:]), sorted(names)]
    with pytest.raises(Invalid):
        await store.put(*(item(MESSAGE, f"t{n}", mailbox="Sent") for n in range(10)))


async def test_one_change_cannot_bring_more_keywords_than_the_table_holds(store: Opened) -> None:
    await store.put(item())
    names = frozenset(f"k{index}" for index in range(MAX_KEYWORDS + 1))
    with pytest.raises(Invalid):
        await store.mail.store_flags(ALICE, INBOX, _uids(1), "add", names)
    assert await _flags(store) == [[]]


async def test_a_bad_flag_changes_nothing(store: Opened) -> None:
    await store.put(item())
    with pytest.raises(Invalid):
        await store.mail.store_flags(ALICE, INBOX, _uids(1), "add", frozenset({"\\Recent", "$A"}))
    assert await _flags(store) == [[]]
    with pytest.raises(NotFound):
        await store.mail.store_flags(ALICE, MailboxId(99), _uids(1), "add", SEEN)


async def test_many_flags_change_at_once(store: Opened) -> None:
    await store.put(*(item() for _ in range(300)))
    uids = _uids(*range(1, 301))
    result = await store.mail.store_flags(ALICE, INBOX, uids, "set", frozenset({"\\Seen", "$X"}))
    assert len(result.changed) == 300
    assert await _flags(store) == [["\\Seen", "$X"]] * 300
    status = await store.mail.status(ALICE, "INBOX")
    assert status.unseen == 0
