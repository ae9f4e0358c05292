"""How many connections a client address may open a minute, and have open at one time. Counted per
process and in memory: it protects this process, and must stay cheaper than what it refuses.
"""

from __future__ import annotations

from rmail_kernel.clock import Clock
from rmail_kernel.config import Settings
from rmail_kernel.errors import RateLimited
from rmail_kernel.net.networks import Networks, site_of

WINDOW_S = 60.0
MAX_ADDRESSES = 1 << 16
MAX_OPEN = 500  # connections of one address at one time, whether or not they ask for anything


class ConnectionRate:
    """Two fixed windows, the older weighted by the part of it that still lies within the last
    minute: an even estimate of a sliding window in two counters per address.
    """

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._clock = clock
        self._window = 0
        self._now: dict[str, int] = {}
        self._before: dict[str, int] = {}
        self._open: dict[str, int] = {}
        self.reload(settings)

    def reload(self, settings: Settings) -> None:
        """Takes new settings."""
        self._limit = settings.rate_limit.connections_per_minute
        self._is_on = settings.rate_limit.enabled
        self._whitelist = Networks(settings.rate_limit.whitelist)

    def hit(self, host: str) -> None:
        """Counts one connection of `host`.

        Raises:
            RateLimited: more than `rate_limit.connections_per_minute` within the last minute.
        """
        if not self._is_on or host in self._whitelist:
            return
        key, elapsed_s = _key(host), self._turn()
        count = self._now.get(key, 0) + 1
        if count > 1 or len(self._now) < MAX_ADDRESSES:
            self._now[key] = count
        if count + self._before.get(key, 0) * (1 - elapsed_s / WINDOW_S) > self._limit:
            raise RateLimited("Too many connections", retry_after_s=WINDOW_S - elapsed_s)

    def opened(self, host: str) -> bool:
        """Counts an open connection; whether it may stay open. `closed` must follow."""
        key = _key(host)
        self._open[key] = self._open.get(key, 0) + 1
        return not self._is_on or self._open[key] <= MAX_OPEN or host in self._whitelist

    def closed(self, host: str) -> None:
        """An open connection has ended."""
        key = _key(host)
        left = self._open.pop(key, 1) - 1
        if left > 0:
            self._open[key] = left

    def _turn(self) -> float:
        """Starts a new window when it is time; seconds since this one began."""
        at = self._clock.monotonic()
        window = int(at // WINDOW_S)
        if window != self._window:
            self._before = self._now if window == self._window + 1 else {}
            self._now, self._window = {}, window
        return at - window * WINDOW_S


def _key(host: str) -> str:
    return site_of(host) or host
