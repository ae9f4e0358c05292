"""What FETCH told of messages and never changes, in wire form: header fields, envelopes, structure.

Nothing here goes stale: the key tells the account (and that it is still the same one), the mailbox
with its UIDVALIDITY, and what was asked for. Which messages there are is never learnt from here.
Bounded: the lists used least recently go first.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from rmail_imap.parse.fetch import AnyItem, BodyItem
from rmail_kernel.storage.ids import AccountId, MailboxId

MAX_BYTES: Final = 16 << 20
MAX_VALUE_BYTES: Final = 4096
"""Longer ones are made each time: an answer from here is made at once."""
_ENTRY_BYTES: Final = 120  # what Python takes beside the bytes
_LIST_BYTES: Final = 2048  # of a list with nothing in it, and its key
_LABEL_FACTOR: Final = 16  # the names of fields take so much more than what a client wrote
Key = tuple[AccountId, int, MailboxId, int, tuple[AnyItem, ...]]
"""Account, credential version, mailbox, UIDVALIDITY, what was asked for."""


class ValueCache:
    """Values by UID, for each key.

    Args:
        max_bytes: what all of them may take.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._lists: OrderedDict[Key, dict[int, bytes]] = OrderedDict()
        self._sizes: dict[Key, int] = {}
        self.size_bytes = 0

    def get(self, key: Key, uids: Sequence[int]) -> list[bytes | None]:
        """The value of each of these messages; None: it has to be made."""
        known = self._lists.get(key)
        if known is None:
            return [None] * len(uids)
        self._lists.move_to_end(key)
        return list(map(known.get, uids))

    def put(self, key: Key, uids: Sequence[int], values: Sequence[bytes]) -> None:
        """Keeps values; the oldest lists make room."""
        known = self._lists.setdefault(key, {})
        self._lists.move_to_end(key)
        added = 0 if key in self._sizes else _list_bytes(key)
        for uid, raw in zip(uids, values, strict=True):
            if uid not in known and len(raw) <= MAX_VALUE_BYTES:
                known[uid] = raw
                added += len(raw) + _ENTRY_BYTES
        self._sizes[key] = self._sizes.get(key, 0) + added
        self.size_bytes += added
        while self.size_bytes > self._max_bytes:
            oldest, _ = self._lists.popitem(last=False)
            self.size_bytes -= self._sizes.pop(oldest)


def _list_bytes(key: Key) -> int:
    """About what a list takes, whatever is in it: a client may ask for more and more things."""
    labels = sum(len(item.label) for item in key[-1] if isinstance(item, BodyItem))
    return _LIST_BYTES + _LABEL_FACTOR * labels
