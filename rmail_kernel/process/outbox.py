"""Changes on their way to one peer, as JSON lines: merged while the peer is slow, so that memory
stays bounded and nobody waits for it.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

import msgspec

from rmail_kernel.storage.events import Change

MAX_LINE_BYTES = 4096
MAX_PENDING = 4096
_HIGH_WATER_BYTES = 64 * 1024
_Key = tuple[str, str, int]
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Change)


class Pending:
    """Changes that wait, one per (account, kind, container).

    Beyond `limit` those of an account are merged into "the whole account", then the oldest go:
    changes are hints.
    """

    def __init__(self, limit: int = MAX_PENDING) -> None:
        self._limit = limit
        self._changes: dict[_Key, Change] = {}

    def __len__(self) -> int:
        return len(self._changes)

    def add(self, change: Change) -> None:
        """Adds a change or merges it with the one that waits: the higher MODSEQ stays."""
        key = (change.account, change.kind, change.container)
        waiting = self._changes.get(key)
        if waiting is None and len(self._changes) >= self._limit:
            self._collapse()
            if len(self._changes) >= self._limit:
                del self._changes[next(iter(self._changes))]
        if waiting is None or waiting.modseq < change.modseq:
            self._changes[key] = change

    def take(self) -> list[Change]:
        """All that waits, oldest first; nothing waits afterwards."""
        taken = list(self._changes.values())
        self._changes.clear()
        return taken

    def _collapse(self) -> None:
        for change in self.take():
            key = (change.account, change.kind, 0)
            highest = max(change.modseq, self._changes[key].modseq if key in self._changes else 0)
            self._changes[key] = replace(change, container=0, modseq=highest)


class Outbox:
    """Writes changes to a transport when it takes them; they may be added before it is there."""

    def __init__(self) -> None:
        self._pending = Pending()
        self._transport: asyncio.WriteTransport | None = None
        self._is_paused = False
        self._is_scheduled = False

    def attach(self, transport: asyncio.WriteTransport) -> None:
        """The peer is there: what waits is sent."""
        transport.set_write_buffer_limits(high=_HIGH_WATER_BYTES)
        self._transport, self._is_paused = transport, False
        self._schedule()

    def detach(self) -> None:
        """The peer is gone; changes wait for the next one."""
        self._transport = None

    def add(self, change: Change) -> None:
        """Sends a change soon. Never raises, never blocks."""
        self._pending.add(change)
        self._schedule()

    def pause(self) -> None:
        """The peer reads too slowly."""
        self._is_paused = True

    def resume(self) -> None:
        """The peer reads again."""
        self._is_paused = False
        self._schedule()

    def _schedule(self) -> None:
        if not (self._is_scheduled or self._is_paused or self._transport is None):
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._is_scheduled = False
        if self._transport is None or self._is_paused or not self._pending:
            return
        self._transport.write(b"".join(map(encode, self._pending.take())))


class LineReader:
    """Cuts a stream into changes. A line that is too long or no change ends the connection."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[Change]:
        """The changes that `data` completes.

        Raises:
            ValueError: the peer does not speak this protocol.
        """
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > MAX_LINE_BYTES or any(len(line) > MAX_LINE_BYTES for line in lines):
            raise ValueError("a line is too long")
        return [_decoder.decode(line) for line in lines]  # msgspec's errors are ValueErrors


def encode(change: Change) -> bytes:
    """One line; nothing when it would be too long for the peer to take."""
    line = _encoder.encode(change)
    return line + b"\n" if len(line) <= MAX_LINE_BYTES else b""
