"""The queue of the embedded driver: `queue.db` and spool files below `{mail_root}/queue`.

While a batch is written the next one gathers, so that many puts share a sync. The holder of a
lease is a process, told alive by a lock on its file: what a dead one held is taken over at once.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import apsw

from rmail_kernel.content import Content
from rmail_kernel.errors import Conflict, NotFound, Temporary
from rmail_kernel.storage.events import Change, EventBus
from rmail_kernel.storage.filesystem import queue_rows as rows
from rmail_kernel.storage.filesystem.outcome import Outcome
from rmail_kernel.storage.filesystem.queue_check import QueueFinding, QueueReport, check
from rmail_kernel.storage.filesystem.queue_database import (
    ABANDONED_S,
    Batch,
    Operation,
    QueueDatabase,
)
from rmail_kernel.storage.filesystem.queue_files import SMALL_BYTES, Place, SpooledJob, Written
from rmail_kernel.storage.filesystem.queue_owners import Owners
from rmail_kernel.storage.filesystem.queue_steadiness import Steadiness
from rmail_kernel.storage.queue import Job, Lease, NewJob, Record, Room, Tally, topic

if TYPE_CHECKING:
    from rmail_kernel.clock import Clock

MAX_BATCH = 128
MAX_PLACES = 512
"""Messages of leased jobs that are remembered, each of SMALL_BYTES at most."""
OWNERS_S = 2.0
SETTLE_S = 5.0
SETTLE_FILES = 64
SWEEP_S = 600.0
T = TypeVar("T")
_Waiting = tuple[Operation, "asyncio.Future[Any]"]
_Fenced = tuple[str, int]  # a job and the number of a lease
_Finishing = tuple[Lease, "asyncio.Future[None]"]
_Change = Callable[[Any, str, Sequence[str], float], rows.Found]


class FilesystemQueue:
    """`rmail_kernel.storage.queue.Queue`.

    Args:
        folder: `{mail_root}/queue`; nothing is made before the first use.
        pool: threads that write messages.
    """

    def __init__(
        self, folder: Path, clock: Clock, events: EventBus, pool: ThreadPoolExecutor
    ) -> None:
        self._clock = clock
        self._events = events
        self._pool = pool
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="rmail-queue")
        self._folder = folder
        self._path = folder / "queue.db"
        self._making = threading.Lock()
        self._database: QueueDatabase | None = None
        self._owners = Owners(folder / "owners")
        self._waiting: list[_Waiting] = []
        self._finishing: list[_Finishing] = []
        self._places: dict[str, Place] = {}
        self._is_running = False
        self._looked_at = -OWNERS_S
        self._settled_at = 0.0
        self._swept_at = -SWEEP_S
        self._steadiness = Steadiness(clock)

    async def close(self) -> None:
        """Finishes what was asked for and lets go of the files. Idempotent."""
        await self._in(self._pool, self._thread.shutdown)
        self._owners.close()
        if self._database is not None:
            self._database.close()

    # --- the contract, see `Queue`

    async def put(self, jobs: Sequence[NewJob], content: Content | None = None) -> None:
        """Keeps jobs, durably."""
        written = await self._in(self._pool, self._write, jobs, content)
        await self._do(Operation(partial(self._put, jobs, written), written))
        self._tell({job.kind for job in jobs})

    async def lease(
        self,
        kind: str,
        count: int,
        ttl_s: float,
        *,
        per_lane: int,
        total: int,
        room: Room | None = None,
    ) -> list[Lease]:
        """Takes jobs that are due."""
        await self._look_after()

        def run(batch: Batch) -> tuple[list[Lease], dict[str, Place]]:
            now = self._clock.time()
            owner = self._owners.own()
            limits = rows.Limits(count, per_lane, total, room)
            taken = rows.lease(batch.db, kind, owner, now, ttl_s, limits, is_steady=is_steady)
            small = [held.job.id for held in taken if 0 < held.job.size_bytes <= SMALL_BYTES]
            return taken, rows.places(batch.db, small[:MAX_PLACES]) if small else {}

        is_steady = self._steadiness.look()
        leases, places = await self._do_value(run)
        if places:
            self._places |= await self._in(self._pool, self._ready().files.read_ahead, places)
        for job_id in list(self._places)[: max(0, len(self._places) - MAX_PLACES)]:
            del self._places[job_id]
        return leases

    async def next_due(self, kind: str) -> float | None:
        """When a job can be taken."""
        return await self._look(lambda db: rows.next_due(db, kind))

    async def content(self, job: Job) -> Content:
        """The message of a job. NotFound: it is gone. Temporary: it cannot be read now."""
        found = self._places.pop(job.id, None)
        if found is None:
            found = (await self._look(lambda db: rows.places(db, [job.id]))).get(job.id)
        if found is None or not job.size_bytes:
            raise NotFound("The job has no message", job=job.id)
        file, head_bytes, raw = found
        if raw is not None:
            return Content.of(raw[head_bytes:])
        try:
            return await self._in(self._pool, self._ready().files.content, file, head_bytes)
        except OSError as error:
            raise Temporary("The message cannot be read now", reason=str(error)) from error

    async def renew(self, lease: Lease, ttl_s: float) -> Lease:
        """Holds on to a job."""
        until = self._clock.time() + ttl_s
        own = self._owners.own()
        await self._do_value(lambda batch: rows.renew(batch.db, lease, own, until))
        return replace(lease, until=until)

    async def note(self, lease: Lease, record: Record) -> Lease:
        """Replaces the record."""

        def run(batch: Batch) -> None:
            file = rows.note(batch.db, lease, self._owners.own(), record)
            self._log(file, {"id": lease.job.id, "record": record})

        await self._do_value(run)
        return replace(lease, job=replace(lease.job, record=record))

    async def retry(self, lease: Lease, due_at: float, error: str, record: Record) -> None:
        """Gives a job back."""

        def run(batch: Batch) -> None:
            file = rows.retry(batch.db, lease, self._owners.own(), due_at, error, record)
            attempts = lease.job.attempts + 1
            line = {"id": lease.job.id, "due": due_at, "error": error, "record": record}
            self._log(file, {**line, "attempts": attempts})

        await self._do_value(run)

    async def done(self, lease: Lease) -> None:
        """Forgets a finished job."""

        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._finishing.append((lease, future))
        self._wake(loop)
        await future

    async def postpone(self, kind: str, lane: str, due_at: float) -> None:
        """No waiting job of a lane is due earlier."""
        await self._do_value(lambda batch: rows.postpone(batch.db, kind, lane, due_at))

    async def hold(self, kind: str, ids: Sequence[str]) -> list[str]:
        """Nobody takes these jobs."""
        return await self._change(rows.set_held, kind, ids, {"held": True})

    async def release(self, kind: str, ids: Sequence[str]) -> list[str]:
        """Ends a hold."""
        return await self._change(rows.unset_held, kind, ids, {"held": False})

    async def hurry(self, kind: str, ids: Sequence[str]) -> list[str]:
        """Makes waiting jobs due."""
        return await self._change(rows.hurry, kind, ids, None)

    async def cancel(self, kind: str, ids: Sequence[str]) -> list[str]:
        """Forgets jobs."""

        def run(batch: Batch) -> list[str]:
            found = rows.cancelled(batch.db, kind, ids, self._clock.time())
            self._finish(batch, found)
            return [job_id for job_id, _ in found]

        return await self._do_value(run)

    async def jobs(self, kind: str, *, after: str = "", limit: int = 1000) -> list[Job]:
        """A page of jobs."""
        now = self._clock.time()
        return await self._look(lambda db: rows.select(db, kind, after, limit, now))

    async def job(self, kind: str, job_id: str) -> Job | None:
        """One job."""
        now = self._clock.time()
        return await self._look(lambda db: rows.select_one(db, kind, job_id, now))

    async def tally(self, kind: str) -> Tally:
        """How many there are."""
        now = self._clock.time()
        return await self._look(lambda db: rows.tally(db, kind, now))

    async def kinds(self) -> list[str]:
        """The kinds of jobs."""
        return await self._look(rows.kinds) if self._path.exists() else []

    async def check(self, *, repair: bool) -> QueueReport:
        """What is wrong with the rows and files, and after `repair` what still is. A database that
        is lost or damaged is made anew in any case. Temporary: the disk does not do it now. Not
        part of the contract.
        """
        if not self._folder.is_dir():
            return QueueReport()
        files, before = self._ready().files, self._clock.time() - ABANDONED_S
        is_gone = not self._path.exists() and any(files.names())
        aside = self._aside()
        try:
            report = await self._look(lambda db: check(db, files, before))
        except Temporary:  # a damaged database was set aside; now it is made anew
            report = await self._look(lambda db: check(db, files, before))
        lost = self._anew(is_gone, self._aside() - aside)
        if repair and report.findings:
            await self._do_value(lambda batch: self._ready().sweep(batch))
            await self._settle(0.0)
            report = report.with_repaired()
        return replace(report, findings=(*lost, *report.findings))

    # --- parts of transactions, in the queue's thread

    def _put(self, jobs: Sequence[NewJob], written: Written, batch: Batch) -> None:
        files = self._ready().files
        if rows.is_known(batch.db, jobs):
            batch.later.append(partial(files.remove, written.name))
            return
        sizes = (written.head_bytes, written.size_bytes)
        rows.insert(batch.db, map(SpooledJob, jobs), written.name, written.created_at, *sizes)
        if written.raw is not None:
            rows.keep_body(batch.db, written.name, self._clock.time(), written.raw)
        batch.later.append(partial(files.accept, written.name))

    def _finish_all(self, leases: Sequence[Lease], batch: Batch) -> set[_Fenced]:
        held = rows.still_held(batch.db, leases, self._owners.own())
        self._finish(batch, [(job_id, file) for (job_id, _), file in held.items()])
        return set(held)

    def _finish(self, batch: Batch, found: rows.Found) -> None:
        files = self._ready().files
        ended = set(rows.finish(batch.db, found, self._clock.time()))
        batch.chores.extend(partial(files.remove, file) for file in ended)
        for job_id, file in found:
            if file not in ended:
                self._log(file, {"id": job_id, "done": True})

    def _log(self, file: str, line: dict[str, Any]) -> None:
        self._ready().files.log(file, line)

    async def _change(
        self, change: _Change, kind: str, ids: Sequence[str], line: dict[str, Any] | None
    ) -> list[str]:
        def run(batch: Batch) -> list[str]:
            found = change(batch.db, kind, ids, self._clock.time())
            for job_id, file in found if line is not None else ():
                self._log(file, {"id": job_id, **(line or {})})
            return [job_id for job_id, _ in found]

        changed = await self._do_value(run)
        self._tell({kind})
        return changed

    async def _look_after(self) -> None:
        """Takes over from dead processes, and now and then sweeps."""
        now = self._clock.monotonic()
        if now - self._looked_at >= OWNERS_S:
            self._looked_at = now
            dead = await self._in(self._pool, self._owners.dead)
            if dead:
                await self._do_value(partial(self._take_over, dead))
        if now - self._settled_at >= SETTLE_S:
            self._settled_at = now
            await self._settle()
        if now - self._swept_at >= SWEEP_S:
            self._swept_at = now
            await self._do_value(lambda batch: self._ready().sweep(batch))

    async def _settle(self, age_s: float = SETTLE_S) -> None:
        """Makes small files durable that wait longer than most do; then their rows forget them."""
        before = self._clock.time() - age_s
        while found := await self._look(lambda db: rows.bodies(db, before, SETTLE_FILES)):
            try:
                await self._in(self._pool, self._ready().files.settle, found)
            except OSError as error:
                raise Temporary("Queued messages cannot be synced", reason=str(error)) from error
            files = [file for file, _ in found]
            await self._do_value(partial(_forget, files))

    def _take_over(self, dead: Sequence[str], batch: Batch) -> None:
        for owner in dead:
            rows.free(batch.db, owner, self._clock.time())
            batch.later.append(partial(self._owners.bury, owner))

    # --- running

    def _write(self, jobs: Sequence[NewJob], content: Content | None) -> Written:
        try:
            return self._ready().files.write(jobs, self._clock.time(), content)
        except OSError as error:
            raise Temporary("The message cannot be queued now", reason=str(error)) from error

    def _aside(self) -> set[str]:
        return {path.name for path in self._folder.glob("queue.db.unreadable-*")}

    def _anew(self, is_gone: bool, aside: set[str]) -> list[QueueFinding]:
        texts = ["queue.db was lost; it was made anew from the files"] if is_gone else []
        if aside:
            texts.append(f"queue.db was damaged; it was made anew, {min(aside)} is the old one")
        return [QueueFinding(text, repaired=True) for text in texts]

    def _ready(self) -> QueueDatabase:
        with self._making:
            if self._database is None:
                self._database = QueueDatabase(self._folder, self._clock)
            return self._database

    def _tell(self, kinds: set[str]) -> None:
        for kind in kinds:
            self._events.publish(Change(topic(kind), "queue"))

    async def _in(self, pool: ThreadPoolExecutor, work: Callable[..., T], *args: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(pool, work, *args)

    async def _look(self, query: Callable[[apsw.Connection], T]) -> T:
        return cast(T, await self._do(Operation(lambda b: query(b.db), is_looking=True)))

    async def _do_value(self, run: Callable[[Batch], T]) -> T:
        return cast(T, await self._do(Operation(run)))

    def _do(self, operation: Operation) -> asyncio.Future[Any]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._waiting.append((operation, future))
        self._wake(loop)
        return future

    def _wake(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._is_running:
            self._is_running = True
            loop.call_soon(self._next, loop)

    def _finishing_now(self, loop: asyncio.AbstractEventLoop) -> list[_Waiting]:
        """All that is to be forgotten now, as one operation."""
        lot, self._finishing = self._finishing, []
        if not lot:
            return []
        leases = [lease for lease, _ in lot]
        future: asyncio.Future[set[_Fenced]] = loop.create_future()
        future.add_done_callback(partial(_spread, lot))
        return [(Operation(partial(self._finish_all, leases)), future)]

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        taken, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
        taken += self._finishing_now(loop)
        self._is_running = bool(taken)
        if not taken:
            return

        def finished(answers: Sequence[Outcome]) -> None:
            for (_, future), answer in zip(taken, answers, strict=True):
                answer.tell(future)
            self._next(loop)

        def run() -> None:
            try:
                answers = self._ready().run([operation for operation, _ in taken])
            except BaseException as error:  # noqa: BLE001 - whoever waits must hear of it
                answers = [Outcome(error=error) for _ in taken]
            loop.call_soon_threadsafe(finished, answers)

        try:
            self._thread.submit(run)
        except RuntimeError:  # closed
            failure = Temporary("The queue is closed")
            finished([Outcome(error=failure) for _ in taken])


def _forget(files: Sequence[str], batch: Batch) -> None:
    rows.drop_bodies(batch.db, files)


def _spread(lot: Sequence[_Finishing], answer: asyncio.Future[set[_Fenced]]) -> None:
    """Tells each who waits for one operation what became of its part."""
    for lease, future in lot:
        error = answer.exception()
        if error is None and (lease.job.id, lease.fence) not in answer.result():
            error = Conflict("The lease is lost", job=lease.job.id)
        Outcome(error=error).tell(future)
