"""How much an account may send: messages per hour and per day, counted in the state that all
processes share.

Off unless set. It knows no protocol; what came without a login is not its business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rmail_kernel.model import Defer, Principal
from rmail_kernel.storage.state import State

if TYPE_CHECKING:
    from rmail_kernel.kernel import Kernel

_HOUR_S, _DAY_S = 3600.0, 86_400.0
_STEPS = 12  # of the search for the moment when there is room again: within a minute for a day


class Allowance:
    """The limits on sending."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    async def check(self, principal: Principal) -> Defer | None:
        """Why the account may not send now; None: it may. Counts nothing.

        Raises:
            Temporary: the counters cannot be read.
        """
        for limit, window_s, name in self._limits():
            key = _key(name, principal)
            if await self._kernel.state.count(key, window_s) >= limit:
                return await self._refusal(key, limit, window_s, name)
        return None

    async def take(self, principal: Principal) -> Defer | None:
        """Counts one message, or says why it may not be sent.

        Raises:
            Temporary: the counters cannot be written.
        """
        refusal = await self.check(principal)
        for limit, window_s, name in self._limits() if refusal is None else ():
            key = _key(name, principal)
            if await self._kernel.state.hit(key, window_s) > limit:  # another one was faster
                return await self._refusal(key, limit, window_s, name)
        return refusal

    def _limits(self) -> list[tuple[int, float, str]]:
        settings = self._kernel.settings.rate_limit
        limits = (
            (settings.messages_per_hour, _HOUR_S, "hour"),
            (settings.messages_per_day, _DAY_S, "day"),
        )
        return [(limit, window_s, name) for limit, window_s, name in limits if limit is not None]

    async def _refusal(self, key: str, limit: int, window_s: float, name: str) -> Defer:
        wait_s = await _wait_s(self._kernel.state, key, limit, window_s)
        minutes = max(1, round(wait_s / 60))
        text = f"You may send {limit} messages per {name}, try again in {minutes} minutes"
        return Defer(text, 450, "4.7.0")


async def _wait_s(state: State, key: str, limit: int, window_s: float) -> float:
    """Seconds until fewer than `limit` events lie within the window: the rest of the life of the
    event that is `limit`-th from now.
    """
    low, high = 0.0, window_s
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if await state.count(key, middle) >= limit:
            high = middle
        else:
            low = middle
    return window_s - low


def _key(name: str, principal: Principal) -> str:
    return f"sent:{name}:{principal.account}\n"
