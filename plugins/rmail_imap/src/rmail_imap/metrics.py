"""Commands counted and timed, for /metrics.

Counters that all processes share are dear beside a small command, so what was counted is told to
them now and then.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter as Tally
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from prometheus_client import Counter, Histogram

TELL_S: Final = 2.0
"""How long what was counted may wait to be told."""
_BOUNDS: Final = (0.0005, 0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0)
_WAITING: Final = frozenset({"IDLE", "AUTHENTICATE", "APPEND", "REPLACE"})
"""Commands whose time is the client's."""


class _Times(Histogram):
    """A histogram that takes many observations at once."""

    def add(self, counts: Sequence[int], sum_s: float) -> None:
        """So many in each bucket, and the sum of them all."""
        self._sum.inc(sum_s)
        for bucket, count in zip(self._buckets, counts, strict=True):
            if count:
                bucket.inc(count)


COMMANDS: Final = Counter(
    "rmail_imap_commands_total", "IMAP commands by result", ["command", "result"]
)
SECONDS: Final = _Times(
    "rmail_imap_command_seconds",
    "Time from a whole IMAP command to its tagged answer",
    ["command"],
    buckets=_BOUNDS,
)


@dataclass(slots=True)
class _Timed:
    """Runs of one command that were not told yet."""

    sum_s: float = 0.0
    counts: list[int] = field(default_factory=lambda: [0] * (len(_BOUNDS) + 1))


_results: Final[Tally[tuple[str, str]]] = Tally()
_times: Final[dict[str, _Timed]] = {}


def count(command: str, result: str, seconds: float) -> None:
    """Notes one command; `result` is OK, NO or BAD."""
    _results[command, result] += 1
    if command in _WAITING:
        return
    timed = _times.get(command)
    if timed is None:
        timed = _times[command] = _Timed()
    timed.sum_s += seconds
    timed.counts[bisect_left(_BOUNDS, seconds)] += 1


def tell() -> None:
    """Adds what was noted to what /metrics shows."""
    while _results:
        (command, result), number = _results.popitem()
        COMMANDS.labels(command, result).inc(number)
    while _times:
        command, timed = _times.popitem()
        SECONDS.labels(command).add(timed.counts, timed.sum_s)
