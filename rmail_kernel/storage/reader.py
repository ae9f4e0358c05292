"""How a stored message is read, whichever driver has it. Holds nothing but the contract."""

from __future__ import annotations

from typing import Protocol


class MessageReader(Protocol):
    """The bytes of one stored message by offset; usable after the message was expunged, until
    closed.
    """

    @property
    def size(self) -> int:
        """Bytes in all."""

    @property
    def raw(self) -> bytes | None:
        """All of them, if they are at hand: those of a small message."""

    async def read(self, start: int = 0, end: int | None = None) -> bytes:
        """The bytes from `start` to `end` (exclusive; None: the end). Large messages: read in
        pieces.
        """

    def close(self) -> None:
        """Lets go of the file, if any. Idempotent."""
