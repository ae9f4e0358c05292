"""The verified-credential cache: a login that was right a moment ago costs no password hash.

Holds keyed hashes in memory, never a secret. An entry is worth nothing by itself: whoever asks
compares its credential version with the directory.
"""

from __future__ import annotations

import hmac
import secrets
from collections import OrderedDict
from dataclasses import dataclass

from rmail_kernel.storage.ids import AccountId

MAX_ENTRIES = 20_000


@dataclass(frozen=True, slots=True)
class Verified:
    """A credential that was right, while `version` is the account's and until `ends_at`
    (monotonic seconds).
    """

    account: AccountId
    version: int
    ends_at: float


class VerifiedCache:
    """The least recently used entries beyond `size` are forgotten."""

    def __init__(self, size: int = MAX_ENTRIES) -> None:
        self._size = size
        self._key = secrets.token_bytes(32)
        self._entries: OrderedDict[bytes, Verified] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def digest(self, login: str, secret: str, scope: str) -> bytes:
        """The key of a credential; unforgeable and useless outside this process.

        Args:
            login, secret: without NUL.
            scope: what else the answer depends on.
        """
        return hmac.digest(self._key, f"{scope}\0{login}\0{secret}".encode(), "sha256")

    def get(self, digest: bytes, now: float) -> Verified | None:
        """The entry, if it has not ended."""
        found = self._entries.get(digest)
        if found is None:
            return None
        if found.ends_at <= now:
            self.drop(digest)
            return None
        self._entries.move_to_end(digest)
        return found

    def put(self, digest: bytes, entry: Verified) -> None:
        """Remembers a credential."""
        self._entries[digest] = entry
        self._entries.move_to_end(digest)
        while len(self._entries) > self._size:
            self._entries.popitem(last=False)

    def drop(self, digest: bytes) -> None:
        """Forgets a credential."""
        self._entries.pop(digest, None)
