"""A message on its way in, from DATA or from chunks: checked, bounded, and written off the loop
when it is large. It never holds more than a batch in memory beside what its writer holds, and both
are smaller where many messages are under way.
"""

from __future__ import annotations

from weakref import WeakSet

from rmail_kernel.content import SPOOL_BYTES, Content
from rmail_kernel.errors import Temporary, TooLarge
from rmail_kernel.kernel import Kernel
from rmail_smtp.lines import Flaw, LineCheck

BATCH_BYTES = 1 << 18
MEMORY_BYTES = 1 << 25  # for about all messages that are under way in this process
MIN_MEMORY_BYTES = 1 << 15
_under_way: WeakSet[Intake] = WeakSet()  # a client that leaves takes its own along
PATIENCE = 2  # times the limit that is read of what is too large, so that its sender hears why


class Intake:
    """Takes the bytes of one message.

    Args:
        limit_bytes: a larger one is refused.
        is_binary: lines are not looked at (BODY=BINARYMIME, RFC 3030 3).

    Attributes:
        flaw: the first thing found wrong; nothing is kept from then on.
        size: bytes taken.
    """

    def __init__(self, kernel: Kernel, limit_bytes: int, *, is_binary: bool = False) -> None:
        self.flaw: Flaw | None = None
        self.size = 0
        self._kernel = kernel
        _under_way.add(self)
        share_bytes = MEMORY_BYTES // len(_under_way)
        self._memory_bytes = min(SPOOL_BYTES, max(MIN_MEMORY_BYTES, share_bytes))
        self._writer = kernel.writer(limit_bytes, memory_bytes=self._memory_bytes)
        self._enough_bytes = min(BATCH_BYTES, self._memory_bytes)
        self._limit_bytes = limit_bytes
        self._lines = None if is_binary else LineCheck()
        self._batch: list[bytes] = []
        self._batch_bytes = 0

    def take(self, piece: bytes) -> None:
        """Takes the next bytes; `keep` must follow soon."""
        self.size += len(piece)
        if self.flaw is None and self._lines is not None:
            self.flaw = self._lines.look(piece)
        if self.flaw is None and self.size > self._limit_bytes:
            self.flaw = Flaw.TOO_LARGE
        if self.flaw is None:
            self._batch.append(piece)
            self._batch_bytes += len(piece)
        else:
            self._batch.clear()

    @property
    def is_endless(self) -> bool:
        """Whether so much came that its end is not worth waiting for."""
        return self.size > PATIENCE * self._limit_bytes

    async def keep(self, *, is_all: bool = False) -> None:
        """Writes what was taken once there is enough of it, or all of it."""
        if not self._batch or not (is_all or self._batch_bytes >= self._enough_bytes):
            return
        raw = b"".join(self._batch)
        self._batch.clear()
        self._batch_bytes = 0
        try:
            if self._writer.size + len(raw) > self._memory_bytes:
                await self._kernel.run(self._writer.write, raw)  # to a file, which may wait
            else:
                self._writer.write(raw)
        except TooLarge:
            self.flaw = Flaw.TOO_LARGE
        except Temporary:
            self.flaw = Flaw.NO_ROOM

    async def finish(self) -> Content | Flaw:
        """The whole message, or what is wrong with it."""
        if self.flaw is None and self._lines is not None:
            self.flaw = self._lines.end()
        await self.keep(is_all=True)
        return self._writer.finish() if self.flaw is None else self.flaw
