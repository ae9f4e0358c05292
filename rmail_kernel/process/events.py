"""Change events inside one process. A callback that raises is logged and never reaches the
publisher.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog

from rmail_kernel.storage.events import Change
from rmail_kernel.storage.ids import AccountId

_log = structlog.get_logger("rmail.events")


class LocalEvents:
    """An EventBus whose subscribers all live in this process."""

    def __init__(self) -> None:
        self._subscribers: dict[AccountId, dict[object, Callable[[Change], None]]] = {}

    def publish(self, change: Change) -> None:
        """Calls every subscriber of the account at once, in order of subscription."""
        for callback in list(self._subscribers.get(change.account, {}).values()):
            try:
                callback(change)
            except Exception:  # noqa: BLE001 - a session's fault must not fail the writer
                _log.exception("event callback failed", account=change.account, kind=change.kind)

    def subscribe(self, account: AccountId, callback: Callable[[Change], None]) -> Subscription:
        """Calls `callback` for each change of the account while the context is open."""
        return Subscription(self, account, callback)

    def begin(
        self, account: AccountId, subscriber: object, callback: Callable[[Change], None]
    ) -> None:
        """What `subscribe` does when the context opens."""
        self._subscribers.setdefault(account, {})[subscriber] = callback

    def end(self, account: AccountId, subscriber: object) -> None:
        """What it does when the context ends."""
        own = self._subscribers[account]
        del own[subscriber]
        if not own:
            del self._subscribers[account]


class Subscription:
    """Of one subscriber, for `with`. Thousands may last for hours: a generator takes more room."""

    __slots__ = ("_account", "_callback", "_events")

    def __init__(
        self, events: LocalEvents, account: AccountId, callback: Callable[[Change], None]
    ) -> None:
        self._events = events
        self._account = account
        self._callback = callback

    def __enter__(self) -> None:
        self._events.begin(self._account, self, self._callback)

    def __exit__(self, *_: object) -> None:
        self._events.end(self._account, self)
