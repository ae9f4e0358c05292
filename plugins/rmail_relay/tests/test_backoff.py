"""A destination that is down is left alone, longer each time, and never for too long."""

from __future__ import annotations

from rmail_relay.backoff import LONGEST_S, MAX_KEPT, Backoff

from rmail_kernel.testing import FakeClock

SCHEDULE_S = (300.0, 900.0, 28800.0)


def test_the_pause_grows_up_to_half_an_hour(rmail_clock: FakeClock) -> None:
    backoff = Backoff(rmail_clock)
    pauses = []
    for _ in range(2000):
        pauses.append(backoff.failed("a", SCHEDULE_S))
        rmail_clock.advance(LONGEST_S)
    assert pauses[:6] == [60, 120, 240, 480, 960, 1800]
    assert pauses[-1] == LONGEST_S


def test_attempts_that_fail_together_count_once(rmail_clock: FakeClock) -> None:
    backoff = Backoff(rmail_clock)
    assert [backoff.failed("a", SCHEDULE_S) for _ in range(100)] == [60] + [None] * 99
    rmail_clock.advance(20)
    assert (backoff.left_s("a"), backoff.left_s("b")) == (40, 0)
    rmail_clock.advance(41)
    assert backoff.failed("a", SCHEDULE_S) == 120


def test_it_is_never_longer_than_a_message_waits(rmail_clock: FakeClock) -> None:
    assert Backoff(rmail_clock).failed("a", (0.2,)) == 0.2


def test_an_answer_ends_it_and_others_are_not_touched(rmail_clock: FakeClock) -> None:
    backoff = Backoff(rmail_clock)
    backoff.failed("a", SCHEDULE_S)
    rmail_clock.advance(61)
    assert backoff.failed("b", SCHEDULE_S) == 60
    backoff.works("a")
    assert backoff.failed("a", SCHEDULE_S) == 60


def test_the_longest_known_are_forgotten(rmail_clock: FakeClock) -> None:
    backoff = Backoff(rmail_clock)
    backoff.failed("a", SCHEDULE_S)
    for number in range(MAX_KEPT):
        backoff.failed(str(number), SCHEDULE_S)
    assert backoff.failed("a", SCHEDULE_S) == 60
