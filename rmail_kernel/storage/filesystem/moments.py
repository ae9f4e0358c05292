"""Times of the database and of files, in seconds since the epoch, as aware datetimes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST_S = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // timedelta(seconds=1)
LAST_S = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // timedelta(seconds=1)


def clamped(seconds: int) -> int:
    """The nearest time within the calendar."""
    return min(max(seconds, FIRST_S), LAST_S)


def moment(seconds: int) -> datetime:
    """A time of the database, aware, UTC; the nearest there is for one outside of the calendar,
    so that a file with a strange mtime cannot make its mailbox unreadable.
    """
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return _EPOCH + timedelta(seconds=clamped(seconds))


def seconds_of(moment: datetime) -> int:
    """The seconds of a time of the database."""
    return (moment - _EPOCH) // timedelta(seconds=1)


def moment_or_none(seconds: int | None) -> datetime | None:
    """The same for a time that may not be known."""
    return None if seconds is None else moment(seconds)
