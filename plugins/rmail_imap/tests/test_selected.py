"""Sequence numbers under changes from elsewhere (RFC 3501 2.3.1.2, 7.4.1)."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rmail_imap.errors import BadSyntax
from rmail_imap.parse.sets import STAR, NumberSet
from rmail_imap.selected import Selected

from rmail_kernel.storage.ids import MailboxId, ModSeq, Uid
from rmail_kernel.storage.mail import Changed, Changes, MailboxView, StoreResult


def view(uids: Sequence[int], modseq: int = 1, uidnext: int | None = None) -> MailboxView:
    last = uidnext or (uids[-1] + 1 if uids else 1)
    words = array("I", [0] * len(uids))
    return MailboxView(
        MailboxId(1), 7, Uid(last), ModSeq(modseq), len(uids), array("I", uids), words, ()
    )


def changes(
    since: int, *, new: Sequence[int] = (), flags: Sequence[int] = (), gone: Sequence[int] = ()
) -> Changes:
    upto = ModSeq(since + 1)
    rows = [Changed(Uid(uid), 8, upto) for uid in sorted([*new, *flags])]
    uidnext = Uid(max([*new, *gone, 100]) + 1)
    return Changes(ModSeq(since), upto, uidnext, rows, [Uid(uid) for uid in sorted(gone)], ())


def selected(uids: Sequence[int]) -> Selected:
    return Selected(view(uids), name="INBOX", is_read_only=False)


def test_an_expunged_message_keeps_its_number_until_told() -> None:
    box = selected([10, 20, 30])
    box.take(changes(1, gone=[20]))
    assert box.number_of(30) == 3
    assert [number for number, _ in box.take_expunges()] == [2]
    assert box.number_of(30) == 2
    assert box.number_of(20) is None


def test_expunge_numbers_count_down_within_one_response() -> None:
    box = selected([1, 2, 3, 4, 5])
    box.take(changes(1, gone=[1, 2, 5]))
    assert [number for number, _ in box.take_expunges()] == [5, 2, 1]
    assert list(box.uids[: box.total]) == [3, 4]


def test_many_expunges_at_once() -> None:
    box = selected(range(1, 1001))
    box.take(changes(1, gone=range(1, 1001, 2)))
    assert len(box.take_expunges()) == 500
    assert box.number_of(1000) == 500


def test_own_changes_are_not_told_again() -> None:
    box = selected([1, 2])
    row = Changed(Uid(1), 8, ModSeq(2))
    box.mark_own(StoreResult(ModSeq(2), [row], [], ()))
    box.take(changes(1, flags=[1]))
    assert box.take_flags() == []
    box.mark_own(StoreResult(ModSeq(3), [], [], ()))  # it changed nothing: 3 is another's
    box.take(changes(2, flags=[1]))
    assert box.take_flags() == [(1, 1, 8, 3)]


def test_a_message_that_came_and_went_unseen_is_never_told() -> None:
    box = selected([1])
    box.take(changes(1, gone=[150]))
    assert box.told == box.total
    assert [number for number, _ in box.take_expunges()] == []
    box.take(changes(2, new=[151]))
    assert (box.told, box.total) == (1, 2)
    assert box.number_of(151) == 2
    box.take(changes(3, gone=[1, 151]))
    assert [number for number, _ in box.take_expunges()] == [1]  # the client never heard of 151
    assert box.told == box.total == 0


def test_the_shared_array_is_never_changed() -> None:
    shared = view([1, 2, 3])
    box = Selected(shared, name="INBOX", is_read_only=False)
    box.take(changes(1, new=[200], gone=[1]))
    assert [number for number, _ in box.take_expunges()] == [1]
    assert list(shared.uids) == [1, 2, 3]
    assert list(box.uids[: box.total]) == [2, 3, 200]


def rows_of(
    box: Selected, places: list[range], seen: MailboxView, most: int = 7
) -> list[tuple[int, int, int]]:
    known = list(box.known_at(places, seen, most))
    assert all(len(some.uids) <= most for some in known)
    return [row for some in known for row in zip(some.numbers, some.uids, some.words, strict=True)]


def test_what_a_newer_view_has_is_shared_again() -> None:
    box = selected([1, 2, 3])
    box.take(changes(1, gone=[1]))
    box.take_expunges()
    newer = view([2, 3], 2)
    assert rows_of(box, [range(2)], newer) == [(1, 2, 0), (2, 3, 0)]
    assert box.uids is newer.uids


def test_flags_of_a_message_that_is_gone_are_left_out() -> None:
    box = selected(range(1, 201))
    newer = view(range(2, 201), 2)
    for places in ([range(2)], [range(200)]):
        rows = rows_of(box, places, newer)
        assert rows[0] == (2, 2, 0)
        assert len(rows) == sum(map(len, places)) - 1


def test_truncated_changes_are_made_up_for_by_the_view() -> None:
    box = selected([1, 2, 3])
    short = Changes(ModSeq(1), ModSeq(9), Uid(101), [], [], (), is_truncated=True)
    box.take(short, view([1, 3], 9))
    assert [number for number, _ in box.take_expunges()] == [2]


def numbers(*ranges: tuple[int, int], is_uid: bool = False) -> NumberSet:
    return NumberSet(ranges, is_uid)


def test_sets_become_places() -> None:
    box = selected([10, 20, 30, 40])
    assert box.resolve(numbers((2, 1), (4, STAR))) == [range(2), range(3, 4)]
    assert box.resolve(numbers((1, 2), (2, 4))) == [range(4)]
    assert box.resolve(numbers((15, 30), is_uid=True)) == [range(1, 3)]
    assert box.resolve(numbers((99, STAR), is_uid=True)) == [range(3, 4)]
    assert box.resolve(numbers((99, 120), is_uid=True)) == []
    assert box.resolve(numbers((9, STAR))) == [range(3, 4)]
    assert box.uids_at([range(1), range(2, 4)]) == [10, 30, 40]


def test_a_number_that_no_message_has_is_an_error() -> None:
    with pytest.raises(BadSyntax):
        selected([1]).resolve(numbers((2, 2)))
    assert selected([]).resolve(numbers((1, STAR))) == []
    assert selected([1, 2]).resolve(numbers((9, 9), (2, 7)), is_search=True) == [range(1, 2)]
    assert selected([]).resolve(numbers((1, STAR), is_uid=True)) == []


@given(st.data())
def test_a_client_that_follows_the_responses_has_the_stores_messages(data: st.DataObject) -> None:
    store = list(range(1, data.draw(st.integers(1, 100))))
    box = selected(store)
    client = list(store)
    modseq, uidnext = 1, 200
    for _ in range(data.draw(st.integers(0, 12))):
        gone = data.draw(st.lists(st.sampled_from(store), unique=True)) if store else []
        new = list(range(uidnext, uidnext + data.draw(st.integers(0, 3))))
        uidnext += len(new)
        store = [uid for uid in store if uid not in gone] + new
        box.take(changes(modseq, new=new, gone=gone))
        modseq += 1
        if data.draw(st.booleans()):
            for number, _ in box.take_expunges():
                del client[number - 1]
        if data.draw(st.booleans()):
            client += box.uids[box.told : box.total]
            box.told = box.total
        assert client == list(box.uids[: box.told])
    for number, _ in box.take_expunges():
        del client[number - 1]
    client += box.uids[box.told : box.total]
    assert client == store


@given(
    uids=st.one_of(
        st.sets(st.integers(1, 200), min_size=1),
        st.tuples(st.integers(1, 200), st.integers(1, 50)).map(lambda one: set(range(*one)) or {7}),
    ),
    asked=st.sets(st.integers(1, 200)),
    untold=st.integers(0, 20),
)
def test_numbers_and_uids_alone_are_those_of_both_together(
    uids: set[int], asked: set[int], untold: int
) -> None:
    box = selected(sorted(uids))
    box.told = max(0, box.total - untold)
    known = sorted(uids)[: box.told]
    wanted = sorted(asked)
    both = [(number, uid) for number, uid in enumerate(known, 1) if uid in asked]
    assert box.numbered(wanted) == both
    assert [*box.numbers_of(wanted)] == [number for number, _ in both]
    assert [*map(list, box.placed(wanted))] == [[one[of] for one in both] for of in range(2)]
