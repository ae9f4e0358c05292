"""Work on files that nobody waits for: its order, its bound, and that a failure ends nothing."""

from __future__ import annotations

import threading
from functools import partial

from rmail_kernel.storage.filesystem.chores import MAX_WAITING, Chores


def test_chores_are_done_in_order_and_all_of_them_before_they_are_closed() -> None:
    chores, done = Chores(), list[int]()
    for number in range(200):
        chores.add([partial(done.append, number)])
    chores.close()
    assert done == list(range(200))


def test_one_that_fails_leaves_the_others_alone() -> None:
    def fail() -> None:
        raise FileNotFoundError

    chores, done = Chores(), list[int]()
    chores.add([fail, partial(done.append, 1)])
    chores.close()
    assert done == [1]


def test_who_adds_more_than_may_wait_waits_for_the_first() -> None:
    chores, gate, done = Chores(), threading.Event(), list[int]()

    def block() -> None:
        assert gate.wait(30)

    chores.add([block])
    for number in range(MAX_WAITING - 1):
        chores.add([partial(done.append, number)])
    more = threading.Thread(target=chores.add, args=([partial(done.append, -1)],))
    more.start()
    more.join(0.1)
    assert more.is_alive()
    gate.set()
    more.join(30)
    chores.close()
    assert not more.is_alive()
    assert done == [*range(MAX_WAITING - 1), -1]
