"""Change events inside one process. A callback that raises is logged and never reaches the
publisher.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

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

    @contextmanager
    def subscribe(self, account: AccountId, callback: Callable[[Change], None]) -> Iterator[None]:
        """Calls `callback` for each change of the account while the context is open."""
        key = object()
        self._subscribers.setdefault(account, {})[key] = callback
        try:
            yield
        finally:
            own = self._subscribers[account]
            del own[key]
            if not own:
                del self._subscribers[account]
