"""A destination gets more for as long as it answers, and never so much that others have to wait."""

from __future__ import annotations

from rmail_relay.outcome import Contact
from rmail_relay.windows import BRISK_S, FIRST, MAX_KEPT, UNUSED, Windows

PLACES = 400


def fill(windows: Windows, *lanes: str) -> int:
    """Begins as many attempts as there is room for; how many."""
    room = windows.room(PLACES)
    count = 0
    for lane in lanes:
        while room.left(lane) > 0:
            room.took(lane)
            windows.begun(lane)
            count += 1
    return count


def end(windows: Windows, lane: str, count: int, contact: Contact, took_s: float = 0.1) -> bool:
    return [windows.ended(lane, contact, took_s) for _ in range(count)][-1]


def test_a_destination_that_answers_gets_more_while_it_uses_them() -> None:
    windows = Windows()
    sizes = []
    for _ in range(4):
        sizes.append(fill(windows, "a"))
        end(windows, "a", sizes[-1], Contact.ANSWERED)
    assert sizes == sorted(sizes)
    assert sizes[0] == FIRST < sizes[-1]


def test_what_is_not_used_is_taken_back() -> None:
    windows = Windows()
    for _ in range(8):
        end(windows, "a", fill(windows, "a"), Contact.ANSWERED)
    for _ in range(100):
        windows.begun("a")
        end(windows, "a", 1, Contact.ANSWERED)
    assert windows.room(PLACES).left("a") == UNUSED


def test_a_destination_that_is_down_gets_one_at_a_time() -> None:
    windows = Windows()
    assert fill(windows, "a") == FIRST
    assert end(windows, "a", FIRST, Contact.NONE)
    assert [fill(windows, "a") for _ in range(3)] == [1, 0, 0]
    assert end(windows, "a", 1, Contact.NONE)
    assert fill(windows, "a") == 1
    assert not end(windows, "a", 1, Contact.ANSWERED)
    assert fill(windows, "a") == 2


def test_one_that_answered_gets_fewer_before_it_is_down() -> None:
    windows = Windows()
    end(windows, "a", fill(windows, "a"), Contact.ANSWERED)
    before = fill(windows, "a")
    assert not windows.ended("a", Contact.NONE, 0.1)
    end(windows, "a", before - 1, Contact.UNTRIED)
    assert 1 < fill(windows, "a") <= before // 2


def test_what_is_cut_off_shrinks_to_one_and_is_not_down() -> None:
    windows = Windows()
    for _ in range(4):
        count = fill(windows, "a")
        assert not end(windows, "a", count, Contact.CUT_OFF)
    assert count == 1


def test_slow_answers_are_no_reason_for_more() -> None:
    windows = Windows()
    for _ in range(4):
        count = fill(windows, "a")
        end(windows, "a", count, Contact.ANSWERED, BRISK_S)
    assert count == FIRST


def test_an_error_of_ours_tells_nothing_of_the_destination() -> None:
    windows = Windows()
    assert not end(windows, "a", fill(windows, "a"), Contact.UNTRIED)
    assert fill(windows, "a") == FIRST


def test_places_are_kept_for_those_that_answer() -> None:
    windows = Windows()
    end(windows, "alive", fill(windows, "alive"), Contact.ANSWERED)
    unknown = [f"unknown{number}" for number in range(PLACES)]
    assert fill(windows, *unknown) == PLACES * 3 // 4
    assert fill(windows, "alive") >= FIRST


def test_those_that_are_down_leave_room_for_the_unknown() -> None:
    windows = Windows()
    down = [f"down{number}" for number in range(PLACES)]
    for lane in down:
        windows.begun(lane)
        windows.ended(lane, Contact.NONE, 30)
    assert fill(windows, *down) == PLACES // 4
    assert fill(windows, "unknown") == FIRST


def test_the_fuller_it_is_the_less_an_unknown_one_gets() -> None:
    windows = Windows()
    fill(windows, *(f"unknown{number}" for number in range(PLACES // FIRST // 2)))
    assert fill(windows, "another") == 1


def test_with_one_place_each_has_its_turn() -> None:
    windows = Windows()
    assert windows.room(1).left("a") == 1
    windows.begun("a")
    assert windows.room(1).left("b") <= 0
    windows.ended("a", Contact.NONE, 0.1)
    assert windows.room(1).left("a") == windows.room(1).left("b") == 1


def test_the_longest_known_are_forgotten() -> None:
    windows = Windows()
    for number in range(MAX_KEPT + 1):
        windows.begun(str(number))
        windows.ended(str(number), Contact.NONE, 0.1)
    room = windows.room(PLACES)
    assert (room.left("0"), room.left("1")) == (FIRST, 1)
