"""Change events: hints that something moved. They may be lost or merged; who needs the truth asks
the store.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from rmail_kernel.storage.ids import AccountId


@dataclass(frozen=True, slots=True)
class Change:
    """A container of an account changed. `kind`: "mail", "account" (record, password), "calendar",
    "file".
    """

    account: AccountId
    kind: str
    container: int = 0  # MailboxId for mail; 0: the whole account
    modseq: int = 0


class EventBus(Protocol):
    """Tells the sessions of every process what changed. Used on the event loop only."""

    def publish(self, change: Change) -> None:
        """Tells everyone, here at once and in other processes soon. Never raises, never blocks.
        Only after a commit.
        """

    def subscribe(
        self, account: AccountId, callback: Callable[[Change], None]
    ) -> AbstractContextManager[None]:
        """Calls `callback` on the loop for each change of the account until the context ends.
        `callback` must not block.
        """
