"""The queue contract: accepted jobs are never lost, and never worked on by two at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from rmail_kernel.clock import Clock
from rmail_kernel.content import SPOOL_BYTES, Content
from rmail_kernel.errors import Conflict, NotFound
from rmail_kernel.process.events import LocalEvents
from rmail_kernel.storage.filesystem import prepare_root
from rmail_kernel.storage.filesystem.queue import FilesystemQueue
from rmail_kernel.storage.queue import JobState, Lease, NewJob, Queue, topic
from rmail_kernel.testing import FakeClock

MESSAGE = Content.of(b"Subject: x\r\n\r\nbody\r\n")


@asynccontextmanager
async def opened(
    root: Path, clock: Clock, events: LocalEvents | None = None
) -> AsyncIterator[Queue]:
    """The queue of a store, as one process has it."""
    prepare_root(root)
    with ThreadPoolExecutor(4) as pool:
        queue = FilesystemQueue(root / "queue", clock, events or LocalEvents(), pool)
        try:
            yield queue
        finally:
            await queue.close()


@pytest.fixture
async def queue(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Queue]:
    async with opened(tmp_path / "store", clock) as found:
        yield found


@pytest.fixture
async def other(queue: Queue, tmp_path: Path, clock: FakeClock) -> AsyncIterator[Queue]:
    """The same queue, as another process has it."""
    async with opened(tmp_path / "store", clock) as found:
        yield found


def job(job_id: str, lane: str = "remote.test", due_at: float = 0.0, **record: object) -> NewJob:
    return NewJob(job_id, "relay", lane, due_at, record)


async def take(queue: Queue, count: int = 100, ttl_s: float = 60.0) -> list[Lease]:
    return await queue.lease("relay", count, ttl_s, per_lane=1000, total=1000)


async def test_what_is_taken_is_what_was_put(queue: Queue, clock: FakeClock) -> None:
    await queue.put([job("a", "x.test", 5.0, to=["é"]), job("b", "y.test")], MESSAGE)
    first, second = sorted(await take(queue), key=lambda lease: lease.job.id)
    assert (first.job.lane, first.job.due_at, first.job.record) == ("x.test", 5.0, {"to": ["é"]})
    assert first.job.created_at == clock.time()
    assert first.job.state is JobState.LEASED
    for lease in (first, second):
        assert (await queue.content(lease.job)).read() == MESSAGE.read()


async def test_a_large_message_comes_back_whole(queue: Queue) -> None:
    raw = b"Subject: x\r\n\r\n" + b"y" * (2 * SPOOL_BYTES)
    await queue.put([job("a")], Content.of(raw))
    (lease,) = await take(queue)
    content = await queue.content(lease.job)
    await queue.done(lease)
    assert (content.read(), lease.job.size_bytes) == (raw, len(raw))


async def test_a_job_may_have_no_message(queue: Queue) -> None:
    await queue.put([job("a")])
    (lease,) = await take(queue)
    with pytest.raises(NotFound):
        await queue.content(lease.job)


async def test_jobs_outlive_the_process(tmp_path: Path, clock: FakeClock) -> None:
    async with opened(tmp_path / "store", clock) as before:
        await before.put([job("a")], MESSAGE)
    async with opened(tmp_path / "store", clock) as after:
        assert [lease.job.id for lease in await take(after)] == ["a"]


async def test_a_job_that_is_known_is_not_put_again(queue: Queue) -> None:
    await queue.put([job("a", to="one")], MESSAGE)
    await queue.put([job("a", to="two")], MESSAGE)
    (lease,) = await take(queue)
    assert lease.job.record == {"to": "one"}
    await queue.done(lease)
    await queue.put([job("a")], MESSAGE)
    assert await queue.jobs("relay") == []


async def test_nobody_gets_a_job_that_somebody_has(queue: Queue, other: Queue) -> None:
    await queue.put([job(str(number)) for number in range(40)], MESSAGE)
    parts = await asyncio.gather(*(take(one, 5) for _ in range(4) for one in (queue, other)))
    ids = [lease.job.id for part in parts for lease in part]
    assert len(ids) == len(set(ids)) == 40
    assert await take(other) == []


async def test_a_job_is_not_taken_before_it_is_due(queue: Queue, clock: FakeClock) -> None:
    await queue.put([job("a", due_at=clock.time() + 10)])
    assert await take(queue) == []
    assert await queue.next_due("relay") == clock.time() + 10
    clock.advance(10)
    assert len(await take(queue)) == 1
    assert await queue.next_due("other") is None


async def test_a_lease_that_ended_is_taken_over_and_its_holder_refused(
    queue: Queue, other: Queue, clock: FakeClock
) -> None:
    await queue.put([job("a", to="one")], MESSAGE)
    (stale,) = await take(queue, ttl_s=60)
    clock.advance(59)
    assert await take(other) == []
    clock.advance(1)
    (fresh,) = await take(other)
    assert fresh.fence > stale.fence
    for refused in (
        queue.done(stale),
        queue.renew(stale, 60),
        queue.note(stale, {}),
        queue.retry(stale, 0.0, "", {}),
        other.done(stale),
    ):
        with pytest.raises(Conflict):
            await refused
    await other.done(fresh)
    assert await queue.jobs("relay") == []


async def test_a_lease_that_ended_is_refused_even_in_the_same_process(
    queue: Queue, clock: FakeClock
) -> None:
    await queue.put([job("a")])
    (stale,) = await take(queue)
    clock.advance(61)
    (fresh,) = await take(queue)
    with pytest.raises(Conflict):
        await queue.done(stale)
    await queue.done(fresh)


async def test_a_renewed_lease_goes_on(queue: Queue, other: Queue, clock: FakeClock) -> None:
    await queue.put([job("a")])
    (lease,) = await take(queue, ttl_s=60)
    clock.advance(50)
    renewed = await queue.renew(lease, 60)
    clock.advance(50)
    assert await take(other) == []
    await queue.done(renewed)


async def test_the_end_of_a_holder_frees_its_jobs(
    tmp_path: Path, queue: Queue, clock: FakeClock
) -> None:
    async with opened(tmp_path / "store", clock) as dying:
        await queue.put([job("a")])
        assert len(await take(dying, ttl_s=3600)) == 1
        assert await take(queue) == []
    clock.advance(5)
    assert len(await take(queue)) == 1


async def test_a_job_given_back_comes_with_what_was_noted(queue: Queue, clock: FakeClock) -> None:
    await queue.put([job("a", done=[])])
    (lease,) = await take(queue)
    noted = await queue.note(lease, {"done": ["x"]})
    assert noted.job.record == {"done": ["x"]}
    await queue.retry(noted, clock.time() + 300, "451 later", {"done": ["x", "y"]})
    found = await queue.job("relay", "a")
    assert found is not None
    assert (found.state, found.attempts, found.error) == (JobState.WAITING, 1, "451 later")
    assert (found.record, found.due_at) == ({"done": ["x", "y"]}, clock.time() + 300)


async def test_full_lanes_do_not_stop_the_others(queue: Queue) -> None:
    await queue.put([job(f"dead{number:04}", "dead.test") for number in range(600)])
    await queue.put([job("alive", "alive.test", due_at=1.0)])
    first = await queue.lease("relay", 10, 60, per_lane=3, total=10)
    assert [lease.job.lane for lease in first] == ["dead.test"] * 3 + ["alive.test"]
    assert await queue.lease("relay", 10, 60, per_lane=3, total=10) == []


class Wanted:
    """A number of each lane."""

    def __init__(self, **lanes: int) -> None:
        self.lanes = lanes

    def left(self, lane: str) -> int:
        return self.lanes.get(lane, 0)

    def took(self, lane: str) -> None:
        self.lanes[lane] -= 1


async def test_a_holder_gets_of_each_lane_what_it_wants(queue: Queue) -> None:
    await queue.put([job(f"{lane}{number:03}", lane) for lane in "abc" for number in range(300)])
    taken = await queue.lease("relay", 100, 60, per_lane=5, total=100, room=Wanted(a=0, b=2, c=9))
    assert [lease.job.lane for lease in taken] == ["b", "b", "c", "c", "c", "c", "c"]


async def test_limits_count_the_leases_of_all_processes(queue: Queue, other: Queue) -> None:
    await queue.put([job(str(number), f"{number % 3}.test") for number in range(12)])
    assert len(await queue.lease("relay", 10, 60, per_lane=2, total=5)) == 5
    assert len(await other.lease("relay", 10, 60, per_lane=2, total=5)) == 0
    assert len(await other.lease("relay", 10, 60, per_lane=2, total=9)) == 1


async def test_a_postponed_lane_waits_and_others_do_not(queue: Queue, clock: FakeClock) -> None:
    await queue.put([job("a", "dead.test"), job("b", "dead.test"), job("c", "alive.test")])
    await queue.postpone("relay", "dead.test", clock.time() + 60)
    assert [lease.job.id for lease in await take(queue, ttl_s=900)] == ["c"]
    clock.advance(60)
    assert len(await take(queue)) == 2


async def test_held_jobs_wait_until_they_are_released(queue: Queue, other: Queue) -> None:
    await queue.put([job("a"), job("b")])
    assert await other.hold("relay", ["a", "none"]) == ["a"]
    assert [lease.job.id for lease in await take(queue)] == ["b"]
    found = await queue.job("relay", "a")
    assert found is not None
    assert found.state is JobState.HELD
    assert await other.release("relay", ["a", "b"]) == ["a"]
    assert [lease.job.id for lease in await take(queue)] == ["a"]


async def test_an_attempt_under_way_ends_although_it_is_held(
    queue: Queue, clock: FakeClock
) -> None:
    await queue.put([job("a")])
    (lease,) = await take(queue)
    await queue.hold("relay", ["a"])
    assert (await queue.tally("relay")).leased == 1
    await queue.retry(lease, clock.time(), "451", {})
    assert await take(queue) == []
    assert (await queue.tally("relay")).held == 1


async def test_waiting_jobs_can_be_hurried(queue: Queue, clock: FakeClock) -> None:
    await queue.put([job("a", due_at=clock.time() + 900), job("b")])
    (lease,) = await take(queue)
    assert await queue.hurry("relay", ["a", "b"]) == ["a"]
    assert [one.job.id for one in await take(queue)] == ["a"]
    await queue.done(lease)


async def test_jobs_are_cancelled_unless_somebody_works_on_them(queue: Queue) -> None:
    await queue.put([job("a"), job("b", due_at=1e12)], MESSAGE)
    (lease,) = await take(queue)
    assert await queue.cancel("relay", ["a", "b"]) == ["b"]
    await queue.done(lease)
    assert await queue.jobs("relay") == []


async def test_jobs_are_listed_page_by_page(queue: Queue) -> None:
    await queue.put([job(f"{number:02}") for number in range(25)])
    page = await queue.jobs("relay", limit=10)
    rest = await queue.jobs("relay", after=page[-1].id, limit=100)
    assert [one.id for one in page + rest] == [f"{number:02}" for number in range(25)]
    assert await queue.jobs("other") == []


async def test_the_tally_counts_by_state(queue: Queue, clock: FakeClock) -> None:
    assert (await queue.tally("relay")).oldest_at is None
    await queue.put([job("a"), job("b"), job("c", due_at=1e12)])
    oldest_at = clock.time()
    clock.advance(5)
    await queue.hold("relay", ["b"])
    await take(queue)
    found = await queue.tally("relay")
    assert (found.waiting, found.leased, found.held, found.oldest_at) == (1, 1, 1, oldest_at)


async def test_who_waits_for_work_is_told(tmp_path: Path, clock: FakeClock) -> None:
    events = LocalEvents()
    told: list[str] = []
    async with AsyncExitStack() as stack:
        queue = await stack.enter_async_context(opened(tmp_path / "store", clock, events))
        stack.enter_context(events.subscribe(topic("relay"), lambda c: told.append(c.kind)))
        await queue.put([job("a", due_at=1e12)])
        await queue.hurry("relay", ["a"])
    assert told == ["queue", "queue"]
