"""Which workers hear of which accounts: two places in the memory that they share."""

from __future__ import annotations

import os
import zlib
from itertools import count

from rmail_kernel.process import listening
from rmail_kernel.process.listening import SLOTS, Listening
from rmail_kernel.storage.ids import AccountId

ALICE, BOB = AccountId("alice@example.com"), AccountId("bob@example.com")


def places(descriptor: int, workers: int) -> list[Listening]:
    return [Listening(os.dup(descriptor), place) for place in range(workers)]


def shared(workers: int) -> list[Listening]:
    descriptor = listening.make(workers)
    try:
        return places(descriptor, workers)
    finally:
        os.close(descriptor)


def test_a_change_is_for_others_who_listen_not_for_oneself() -> None:
    one, other, third = shared(3)
    assert not one.is_heard(ALICE)
    one.begin(ALICE)
    assert not one.is_heard(ALICE)
    assert other.is_heard(ALICE)
    assert third.is_heard(ALICE)
    assert not other.is_heard(BOB)
    other.begin(ALICE)
    assert one.is_heard(ALICE)


def test_the_last_who_ends_ends_it() -> None:
    one, other = shared(2)
    one.begin(ALICE)
    one.begin(ALICE)
    one.end(ALICE)
    assert other.is_heard(ALICE)
    one.end(ALICE)
    assert not other.is_heard(ALICE)


def test_accounts_of_one_slot_do_not_end_each_other() -> None:
    def slot(name: str) -> int:
        return zlib.crc32(name.encode()) % SLOTS

    twin = next(AccountId(name) for n in count() if slot(name := f"u{n}@x.test") == slot(ALICE))
    one, other = shared(2)
    one.begin(ALICE)
    one.begin(twin)
    one.end(ALICE)
    assert other.is_heard(twin)
    one.end(twin)
    assert not other.is_heard(twin)


def test_who_takes_a_place_begins_with_nothing() -> None:
    descriptor = listening.make(2)
    one, other = places(descriptor, 2)
    one.begin(ALICE)
    other.begin(BOB)
    again = Listening(os.dup(descriptor), 0)
    assert not other.is_heard(ALICE)
    assert again.is_heard(BOB)
    os.close(descriptor)


def test_one_worker_alone_is_heard_by_nobody() -> None:
    (one,) = shared(1)
    one.begin(ALICE)
    assert not one.is_heard(ALICE)
