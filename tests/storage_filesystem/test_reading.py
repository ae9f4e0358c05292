"""Rows as messages."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from rmail_kernel.storage.filesystem.moments import moment


@pytest.mark.parametrize(
    ("seconds", "year"), [(10**12, 9999), (2**62, 9999), (-(10**12), 1), (0, 1970)]
)
def test_a_time_outside_of_the_calendar_is_the_nearest_there_is(seconds: int, year: int) -> None:
    assert moment(seconds).year == year
    assert moment(seconds).tzinfo is UTC
    assert moment(86_400) == datetime(1970, 1, 2, tzinfo=UTC)
