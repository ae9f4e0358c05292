"""Messages that are durable in the journal and soon in their mailboxes: many share one sync, and
those of one account one transaction. Nothing taken is ever dropped but with its account.

Under load mailboxes follow within LAG_S; whoever reads an account in this process has them stored
first.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

import structlog

from rmail_kernel.errors import NotFound, RmailError
from rmail_kernel.storage.filesystem import journal
from rmail_kernel.storage.filesystem.batch import translate
from rmail_kernel.storage.filesystem.disk import Owner
from rmail_kernel.storage.filesystem.journal import Segment
from rmail_kernel.storage.filesystem.reserve import Reserve
from rmail_kernel.storage.ids import AccountId
from rmail_kernel.storage.mail import SYSTEM_FLAGS, Appended, AppendItem, Quota

_log = structlog.get_logger("rmail.storage")
MAX_MESSAGE_BYTES: Final = 1 << 18
"""Larger ones are stored at once: they would be written twice."""
MAX_PENDING: Final = 4000
MAX_PENDING_BYTES: Final = 32 << 20
QUIET_S: Final = 0.05
"""Mailboxes follow when no message came for so long ..."""
LAG_S: Final = 2.0
"""... but so long after the first one at the latest."""
BATCH: Final = 64
SHARE: Final = 2.0
"""While more comes in, storing pauses for so many times as long as it worked."""
BUSY_S: Final = 0.05
"""Messages that come more seldom are stored at once: nobody waits for them."""
TIDY_S: Final = 60.0
RETRY_S: Final = 1.0
MAX_RETRY_S: Final = 30.0
AMPLE: Final = 64
"""Times a message that an account must have room for, so that it need not be asked again later:
other processes may promise, too.
"""
INBOX: Final = "INBOX"
Told = Callable[[Appended], None]
Store = Callable[[AccountId, Sequence[AppendItem]], Awaitable[list[Appended]]]


@dataclass(frozen=True, slots=True)
class _Promise:
    item: AppendItem
    told: Told
    size_bytes: int


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A promise on its way into the journal."""

    account: AccountId
    promise: _Promise
    raw: bytes
    done: asyncio.Future[None]


_Kept = tuple[Segment, _Promise]


class Promises:
    """The promises of one process.

    Args:
        directory: where journals are.
        store: appends to an account, whatever its quota.
        reserve: room on the disk that must be whole.
    """

    def __init__(
        self,
        directory: Path,
        owner: Owner,
        store: Store,
        reserve: Reserve | None = None,
    ) -> None:
        self._directory = directory
        self._owner = owner
        # Of its own: no sync that waits for others stands before it.
        self._thread = ThreadPoolExecutor(1, "journal")
        self._store = store
        self._reserve = reserve
        self._segments: list[Segment] = []
        self._waiting: deque[_Waiting] = deque()
        self._is_writing = False
        self._pending: dict[AccountId, deque[_Kept]] = {}
        self._storing: dict[AccountId, asyncio.Task[None]] = {}
        self._retry_s: dict[AccountId, float] = {}
        self._count = 0
        self._bytes = 0
        self._came_at = float("-inf")
        self._first_at = 0.0
        self._last_at = 0.0
        self._working: asyncio.Task[None] | None = None
        self._looking: asyncio.TimerHandle | None = None
        self._tidying: asyncio.TimerHandle | None = None

    # -- taking ----------------------------------------------------------------------------

    def is_busy(self) -> bool:
        """Whether messages come often now; one has come."""
        before = self._came_at
        self.note()
        return self._came_at - before < BUSY_S

    def note(self) -> None:
        """Tells that the sender of a message can send the next one."""
        self._came_at = asyncio.get_running_loop().time()

    def can_take(self, account: AccountId) -> bool:
        """Whether one more may be taken: not while something is wrong, or too much waits."""
        return (
            self._count < MAX_PENDING
            and self._bytes < MAX_PENDING_BYTES
            and account not in self._retry_s
        )

    def holds(self, account: AccountId) -> bool:
        """Whether messages of an account are not in their mailboxes yet."""
        return account in self._pending

    def held(self, account: AccountId) -> tuple[int, int]:
        """How many they are, and their bytes."""
        found = self._pending.get(account, ())
        return len(found), sum(promise.size_bytes for _, promise in found)

    async def take(self, account: AccountId, item: AppendItem, told: Told) -> None:
        """Takes a message; durable on return. It is stored even if the caller is cancelled.

        Raises:
            Temporary: the journal cannot be written.
        """
        loop = asyncio.get_running_loop()
        promise = _Promise(item, told, item.content.size)
        waiting = _Waiting(account, promise, journal.encode(account, item), loop.create_future())
        self._waiting.append(waiting)
        if not self._is_writing:
            self._is_writing = True
            loop.call_soon(self._write_next, loop)
        await waiting.done

    def _write_next(self, loop: asyncio.AbstractEventLoop) -> None:
        """Writes all that wait. Callbacks in place of a task: fewer passes through the loop."""
        if not self._waiting:
            self._is_writing = False
            return
        taken, self._waiting = self._waiting, deque()
        segment = self._choose()

        def finished(error: Exception | None) -> None:
            if error is None:
                self._promised(segment, taken)
            else:
                self._release(segment)
            for one in taken:
                if one.done.done():
                    continue  # whoever asked has gone
                if error is None:
                    one.done.set_result(None)
                else:
                    one.done.set_exception(translate(error))
            self._write_next(loop)

        def run() -> None:
            try:
                if self._reserve is not None:
                    self._reserve.require()
                journal.write(segment, self._owner, [one.raw for one in taken])
            except Exception as error:  # noqa: BLE001 - whoever waits must hear of it
                loop.call_soon_threadsafe(finished, error)
            else:
                loop.call_soon_threadsafe(finished, None)

        self._thread.submit(run)

    def _choose(self) -> Segment:
        """The file for what comes next: the last one while it is short, else one that is free."""
        ours = [one for one in self._segments if one.is_ours and not one.is_broken]
        if ours and ours[-1].open and ours[-1].end < journal.TURN_BYTES:
            return ours[-1]
        free = next((one for one in reversed(ours) if not one.open), None)
        if free is not None:
            journal.rewind(free)
            self._segments.remove(free)
            self._segments.append(free)
            return free
        name = os.urandom(8).hex() + journal.SUFFIX
        self._segments.append(Segment(self._directory / name, is_ours=True))
        return self._segments[-1]

    def _promised(self, segment: Segment, taken: deque[_Waiting]) -> None:
        now = self._last_at = asyncio.get_running_loop().time()
        if not self._pending:
            self._first_at = now
        for one in taken:
            self._add(one.account, segment, one.promise)
        self._work_soon()
        self._tidy_later()

    def _add(self, account: AccountId, segment: Segment, promise: _Promise) -> None:
        self._pending.setdefault(account, deque()).append((segment, promise))
        segment.open += 1
        self._count += 1
        self._bytes += promise.size_bytes

    # -- storing ---------------------------------------------------------------------------

    def _work_soon(self) -> None:
        if self._working is None and self._looking is None:
            self._look()

    def _look(self) -> None:
        """Begins a wave in a quiet moment."""
        loop = asyncio.get_running_loop()
        self._looking = None
        if loop.time() < min(self._last_at + QUIET_S, self._first_at + LAG_S):
            self._looking = loop.call_later(QUIET_S, self._look)
        else:
            self._working = asyncio.create_task(self._work(), name="storage promises")
            self._working.add_done_callback(self._rested)

    def _rested(self, _: asyncio.Future[None]) -> None:
        self._working = None
        if any(account not in self._retry_s for account in self._pending):
            self._work_soon()

    async def _work(self) -> None:
        """One wave: stores all that is there."""
        loop = asyncio.get_running_loop()
        self._first_at = loop.time()
        for account in [one for one in self._pending if one not in self._retry_s]:
            began_at = loop.time()
            await self.flush(account)
            if self._gives_way():
                await asyncio.sleep(SHARE * (loop.time() - began_at))

    def _gives_way(self) -> bool:
        """Whether those who send come first: more comes in, and there is room for it."""
        now = asyncio.get_running_loop().time()
        return now < self._last_at + QUIET_S and self._count < MAX_PENDING // 2

    async def flush(self, account: AccountId) -> None:
        """Has what an account holds now stored, if the store takes it. Never raises."""
        last = self._pending[account][-1] if account in self._pending else None
        while (
            last is not None
            and account not in self._retry_s
            and any(one is last for one in self._pending.get(account, ()))
        ):
            await asyncio.shield(self._storing.get(account) or self._begin(account))

    def _begin(self, account: AccountId) -> asyncio.Task[None]:
        task = asyncio.create_task(self._store_some(account), name="storage promise")
        self._storing[account] = task
        return task

    async def _store_some(self, account: AccountId) -> None:
        some = _together(self._pending[account])
        try:
            await self._keep(account, some)
        except RmailError as error:
            self._later(account, some, str(error))
        except Exception as error:  # noqa: BLE001 - whatever it is, what was taken is kept
            if len(some) == 1:
                self._later(account, some, repr(error))
            else:
                await self._store_alone(account, some)
        finally:
            del self._storing[account]

    async def _store_alone(self, account: AccountId, some: Sequence[_Kept]) -> None:
        """What the store cannot take holds up no other message."""
        for one in some:
            try:
                await self._keep(account, [one])
            except Exception as error:  # noqa: BLE001 - as above
                self._later(account, [one], repr(error))

    async def _keep(self, account: AccountId, some: Sequence[_Kept]) -> None:
        """Has messages stored; those of an account that was removed go with it."""
        stored: Sequence[Appended | None]
        try:
            stored = await self._store(account, [promise.item for _, promise in some])
        except NotFound:
            _log.warning("the account of promised mail is gone", account=account, count=len(some))
            stored = [None] * len(some)
        self._retry_s.pop(account, None)
        for one, appended in zip(some, stored, strict=True):
            self._leave(account, one)
            if appended is not None:
                one[1].told(appended)

    def _leave(self, account: AccountId, one: _Kept) -> None:
        """A message waits no longer."""
        segment, promise = one
        queue = self._pending[account]
        queue.remove(one)
        if not queue:
            del self._pending[account]
        self._count -= 1
        self._bytes -= promise.size_bytes
        segment.open -= 1
        self._release(segment)

    def _later(self, account: AccountId, some: Sequence[_Kept], reason: str) -> None:
        """Tries again after a pause."""
        _log.error("promised mail waits", account=account, count=len(some), reason=reason)
        pause_s = min(2 * self._retry_s.get(account, RETRY_S / 2), MAX_RETRY_S)
        self._retry_s[account] = pause_s
        asyncio.get_running_loop().call_later(pause_s, self._retry, account)

    def _retry(self, account: AccountId) -> None:
        if account in self._pending and account not in self._storing:
            self._begin(account).add_done_callback(lambda _: self._work_soon())

    # -- files -----------------------------------------------------------------------------

    def _release(self, segment: Segment) -> None:
        """Lets go of a file that no more is written to, if all that is in it was stored."""
        if segment.open:
            return
        if segment.is_ours and not segment.is_broken:
            if not self._is_writing:
                journal.wipe(segment)
            return
        self._segments.remove(segment)
        if segment.is_ours or not segment.is_broken:
            segment.remove()
        else:
            segment.close()  # it holds what we do not know

    def _tidy_later(self) -> None:
        if self._tidying is None:
            self._tidying = asyncio.get_running_loop().call_later(TIDY_S, self._tidy)

    def _tidy(self) -> None:
        """Empties files that are done with: what is in them must not be read again when the store
        has forgotten that it was stored.
        """
        self._tidying = None
        if self._is_writing or self._count:
            self._tidy_later()
            return
        for segment in self._segments:
            segment.remove()
        self._segments.clear()

    async def recover(self) -> None:
        """Has stored what dead processes promised.

        Raises:
            OSError: their journals cannot be read.
        """
        loop = asyncio.get_running_loop()
        for segment in await loop.run_in_executor(self._thread, journal.abandoned, self._directory):
            self._segments.append(segment)
            found = await loop.run_in_executor(self._thread, list, journal.records(segment))
            for account, item in found:
                self._add(account, segment, _Promise(item, _tell_nobody, item.content.size))
            _log.info("promised mail of a dead process", count=len(found))
            self._release(segment)
        for account in list(self._pending):
            await self.flush(account)

    async def close(self) -> None:
        """Has all stored that the store takes; the rest stays in the journal."""
        loop = asyncio.get_running_loop()
        while self._is_writing:
            await loop.run_in_executor(self._thread, _nothing)  # behind what is being written
        for account in list(self._pending):
            await self.flush(account)
        for timer in (self._looking, self._tidying):
            if timer is not None:
                timer.cancel()
        if self._working is not None:
            await asyncio.wait([self._working])
        await asyncio.gather(*self._storing.values())
        self._pending.clear()
        for segment in self._segments:
            if segment.open or segment.fd < 0:
                segment.close()
            else:
                segment.remove()
        self._segments.clear()
        await asyncio.to_thread(self._thread.shutdown)


def _nothing() -> None:
    """What a thread does to show that it has done the rest."""


def is_plain(item: AppendItem) -> bool:
    """Whether a message can be stored later without anything being found wrong with it then."""
    return (
        item.op_id is not None
        and item.create
        and item.replaces is None
        and item.mailbox == INBOX
        and all(name in SYSTEM_FLAGS for name in item.flags)
        and isinstance(item.content.body, bytes)
        and item.content.size <= MAX_MESSAGE_BYTES
    )


def is_ample(quota: Quota, size_bytes: int) -> bool:
    """Whether a message, and those that others may promise meanwhile, stay below the quota."""

    def leaves(limit: int | None, used: int, least: int) -> bool:
        return limit is None or limit - used >= least

    return leaves(quota.limit_bytes, quota.used_bytes + size_bytes, AMPLE * size_bytes) and (
        leaves(quota.limit_messages, quota.used_messages + 1, AMPLE)
    )


def _together(queue: Iterable[_Kept]) -> list[_Kept]:
    """The first messages of a queue that one call may store: no operation twice."""
    known: set[str | None] = set()
    found: list[_Kept] = []
    for one in islice(queue, BATCH):
        if one[1].item.op_id in known:
            break
        known.add(one[1].item.op_id)
        found.append(one)
    return found


def _tell_nobody(_: Appended) -> None:
    """Whoever handed it in is gone."""
