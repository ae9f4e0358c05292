"""The queue's files and database: what a crash, a full disk or a lost database leaves of them."""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
import pytest

from rmail_kernel.clock import Clock
from rmail_kernel.content import Content
from rmail_kernel.errors import Conflict, Temporary
from rmail_kernel.storage.filesystem.queue import MAX_PLACES
from rmail_kernel.storage.filesystem.queue_database import ABANDONED_S
from rmail_kernel.storage.filesystem.queue_files import SpoolFiles
from rmail_kernel.storage.filesystem.queue_steadiness import GRACE_S
from rmail_kernel.storage.queue import JobState
from rmail_kernel.testing import FakeClock
from tests.storage_contract.test_queue import MESSAGE, job, opened, take

ROOT = Path(__file__).parents[2]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


def spool(root: Path) -> list[str]:
    """Names of the files in the spool, by suffix."""
    return sorted(path.suffix for path in (root / "queue/spool").iterdir())


def lose(root: Path) -> None:
    """Deletes the database."""
    for path in (root / "queue").glob("queue.db*"):
        path.unlink()


def damage(root: Path) -> None:
    """Makes the database unreadable."""
    for path in (root / "queue").glob("queue.db-*"):
        path.unlink()
    (root / "queue/queue.db").write_bytes(b"no database" * 1000)


@pytest.mark.parametrize("harm", [lose, damage])
async def test_a_database_that_is_lost_is_rebuilt_from_the_files(
    root: Path, clock: FakeClock, harm: object
) -> None:
    assert callable(harm)
    async with opened(root, clock) as queue:
        await queue.put([job("a", "x.test", to=["one", "two"]), job("b")], MESSAGE)
        await queue.put([job("c"), job("d")], MESSAGE)
        await queue.put([job("gone")], MESSAGE)
        by_id = {lease.job.id: lease for lease in await take(queue)}
        record = {"to": ["two"]}
        await queue.retry(by_id["a"], 77.0, "451 busy", record)
        await queue.done(by_id["b"])
        await queue.done(by_id["gone"])
        await queue.note(by_id["d"], {"told": True})
        await queue.hold("relay", ["c"])
    harm(root)
    async with opened(root, clock) as queue:
        found = {one.id: one for one in await queue.jobs("relay")}
        assert sorted(found) == ["a", "c", "d"]
        a = found["a"]
        assert (a.lane, a.due_at, a.error, a.record) == ("x.test", 77.0, "451 busy", record)
        assert (a.attempts, found["c"].state) == (1, JobState.HELD)
        assert found["d"].record == {"told": True}
        assert (await queue.content(a)).read() == MESSAGE.read()


class Settable(FakeClock):
    """A clock whose time of day can be set."""

    ahead_s = 0.0

    def time(self) -> float:
        """Seconds since the epoch, as somebody set them."""
        return super().time() + self.ahead_s


async def test_a_clock_that_jumps_ends_no_lease_of_the_living(root: Path) -> None:
    clock = Settable()
    async with opened(root, clock) as queue, opened(root, clock) as other:
        await queue.put([job("a")], MESSAGE)
        (lease,) = await take(queue)
        clock.ahead_s = 3600.0
        assert await take(other) == []
        assert await take(queue) == []
        await other.put([job("b")], MESSAGE)
        assert [one.job.id for one in await take(other, ttl_s=600)] == ["b"]
        renewed = await queue.renew(lease, 60)
        clock.advance(50)
        assert await take(other) == []
        clock.advance(GRACE_S)
        assert [one.job.id for one in await take(other)] == ["a"]
        with pytest.raises(Conflict):
            await queue.done(renewed)


async def test_a_clock_that_goes_back_stops_nobody(root: Path) -> None:
    clock = Settable()
    async with opened(root, clock) as queue, opened(root, clock) as other:
        await queue.put([job("a")], MESSAGE)
        (lease,) = await take(queue)
        clock.ahead_s = -3600.0
        assert await take(other) == []
        await queue.put([job("b")], MESSAGE)
        assert [one.job.id for one in await take(other)] == ["b"]
        await queue.done(lease)


async def test_a_database_that_goes_while_we_work_is_rebuilt(root: Path, clock: FakeClock) -> None:
    async with opened(root, clock) as queue:
        await queue.put([job("a")], MESSAGE)
        lose(root)
        await queue.put([job("b")], MESSAGE)
        assert [one.id for one in await queue.jobs("relay")] == ["a", "b"]


async def test_a_database_that_is_damaged_while_we_work_is_rebuilt(
    root: Path, clock: FakeClock
) -> None:
    async with opened(root, clock) as queue:
        await queue.put([job("a")], MESSAGE)
    async with opened(root, clock) as queue:
        damage(root)
        with_trouble = 0
        for _ in range(3):
            try:
                found = await queue.jobs("relay")
            except Temporary:
                with_trouble += 1
            else:
                break
        assert [one.id for one in found] == ["a"]
        assert with_trouble <= 2


async def test_a_database_of_another_version_is_set_aside(root: Path, clock: FakeClock) -> None:
    async with opened(root, clock) as queue:
        await queue.put([job("a")], MESSAGE)
    db = apsw.Connection(str(root / "queue/queue.db"))
    db.execute("PRAGMA user_version=99")
    db.close()
    async with opened(root, clock) as queue:
        assert [one.id for one in await queue.jobs("relay")] == ["a"]
    assert list((root / "queue").glob("queue.db.unreadable-*"))


async def test_an_old_copy_of_the_database_loses_nothing(root: Path, clock: FakeClock) -> None:
    async with opened(root, clock) as queue:
        await queue.put([job("a")], MESSAGE)
    database = root / "queue/queue.db"
    old = database.read_bytes()
    async with opened(root, clock) as queue:
        await queue.put([job("b")], MESSAGE)
    database.write_bytes(old)
    async with opened(root, clock) as queue:
        assert sorted(lease.job.id for lease in await take(queue)) == ["a", "b"]


async def test_a_file_that_makes_no_sense_is_kept_aside(root: Path, clock: FakeClock) -> None:
    async with opened(root, clock) as queue:
        await queue.put([job("a")], MESSAGE)
        await queue.put([job("b")], MESSAGE)
        content_of_a = next(
            path for path in (root / "queue/spool").iterdir() if b'"a"' in path.read_bytes()
        )
    content_of_a.write_bytes(b"\0" * 100)
    lose(root)
    async with opened(root, clock) as queue:
        assert [one.id for one in await queue.jobs("relay")] == ["b"]
    assert spool(root) == [".bad", ".msg"]


async def test_a_finished_message_leaves_no_file(root: Path, clock: FakeClock) -> None:
    async with opened(root, clock) as queue:
        await queue.put([job("a"), job("b")], MESSAGE)
        for lease in await take(queue):
            await queue.done(lease)
    assert spool(root) == []


@contextmanager
def small_files(limit_bytes: int) -> Iterator[None]:
    """No file may grow beyond a size, as if the disk were full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_a_full_disk_is_told_and_leaves_nothing(root: Path, clock: FakeClock) -> None:
    async with opened(root, clock) as queue:
        await queue.put([job("a")], MESSAGE)
        with small_files(100_000), pytest.raises(Temporary):
            await queue.put([job("b")], Content.of(b"x" * 200_000))
        with small_files(1), pytest.raises(Temporary):
            await queue.put([job("c")], MESSAGE)
        await queue.put([job("d")], MESSAGE)
        assert [one.id for one in await queue.jobs("relay")] == ["a", "d"]
    assert spool(root) == [".msg", ".msg"]


async def test_a_full_database_fails_all_of_a_batch(root: Path, clock: FakeClock) -> None:
    async with opened(root, clock) as queue:
        await queue.put([job("a")], MESSAGE)
        (lease,) = await take(queue)
        log_bytes = (root / "queue/queue.db-wal").stat().st_size
        with small_files(log_bytes):
            with pytest.raises(Temporary):
                await queue.put([job("b")], MESSAGE)
            with pytest.raises(Temporary):
                await queue.done(lease)
        await queue.done(lease)
        assert await queue.jobs("relay") == []
    assert spool(root) == []


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_bytes(b"\0" * 50)])
async def test_a_small_message_outlives_what_a_power_loss_does_to_its_file(
    root: Path, clock: FakeClock, harm: Callable[[Path], object]
) -> None:
    async with opened(root, clock) as queue:
        await queue.put([job("a")], MESSAGE)
        (path,) = (root / "queue/spool").iterdir()
        whole = path.read_bytes()
        harm(path)
        (lease,) = await take(queue)
        assert (await queue.content(lease.job)).read() == MESSAGE.read()
        clock.advance(10)
        await take(queue)
        assert path.read_bytes() == whole
        assert (await queue.content(lease.job)).read() == MESSAGE.read()
    lose(root)
    async with opened(root, clock) as queue:
        assert [one.id for one in await queue.jobs("relay")] == ["a"]


async def test_a_finished_message_whose_file_comes_back_torn_is_forgotten(
    root: Path, clock: FakeClock
) -> None:
    async with opened(root, clock) as queue:
        await queue.put([job("a")], MESSAGE)
        (path,) = (root / "queue/spool").iterdir()
        (lease,) = await take(queue)
        await queue.done(lease)
    path.write_bytes(b"")
    async with opened(root, clock) as queue:
        assert await take(queue) == []
    assert spool(root) == []


async def test_jobs_that_end_together_are_told_apart_by_their_leases(
    root: Path, clock: FakeClock
) -> None:
    async with opened(root, clock) as queue:
        await queue.put([job("a"), job("b"), job("c")], MESSAGE)
        stale = await take(queue)
        clock.advance(61)
        fresh = {lease.job.id: lease for lease in await take(queue)}
        ended = [queue.done(lease) for lease in (*stale, fresh["a"], fresh["b"])]
        answers = await asyncio.gather(*ended, return_exceptions=True)
        assert [type(answer) for answer in answers] == [Conflict] * 3 + [type(None)] * 2
        assert [one.id for one in await queue.jobs("relay")] == ["c"]
        lose(root)
    async with opened(root, clock) as queue:
        assert [one.id for one in await queue.jobs("relay")] == ["c"]


async def test_messages_beyond_those_that_are_remembered_are_read_when_they_are_needed(
    root: Path, clock: FakeClock
) -> None:
    async with opened(root, clock) as queue:
        await queue.put([job(f"{number:04}") for number in range(MAX_PLACES + 2)], MESSAGE)
        leases = await queue.lease(
            "relay", MAX_PLACES + 2, 60, per_lane=MAX_PLACES + 2, total=MAX_PLACES + 2
        )
        assert len(leases) == MAX_PLACES + 2
        for lease in (leases[0], leases[1], leases[-1]):
            assert (await queue.content(lease.job)).read() == MESSAGE.read()


def die_at(root: Path, failpoint: str) -> list[str]:
    """Has a writer die at a step; what it acknowledged."""
    process = subprocess.run(
        [sys.executable, "-m", "tests.storage_filesystem.queue_writer", str(root)],
        cwd=ROOT,
        env=os.environ | {"RMAIL_FAILPOINT": failpoint},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert process.returncode == 137, process.stderr
    return process.stdout.split("\n")[:-1]


STEPS = [
    *((step, count) for step in ("queue.before_commit", "queue.committed") for count in (1, 3, 7)),
    *(("queue.placed", count) for count in (1, 2, 4)),
]


@pytest.mark.parametrize("is_database_lost", [False, True])
@pytest.mark.parametrize(("step", "count"), STEPS)
async def test_a_crash_at_any_step_loses_nothing_and_repeats_nothing(
    root: Path, step: str, count: int, is_database_lost: bool
) -> None:
    said = die_at(root, f"{step}:{count}")
    done = {line.split()[1] for line in said if line.startswith("done")}
    begun = {line.split()[1] for line in said if line.startswith("begun")} - done
    acknowledged = {line for line in said if " " not in line}
    if is_database_lost:
        lose(root)
    async with opened(root, Clock()) as queue:
        found = {lease.job.id for lease in await take(queue)}
        # One more may be there, or finished, than was told.
        assert acknowledged - done - begun <= found
        assert not found & done
        assert len(found - acknowledged) in (0, 2)
        for one in await queue.jobs("relay"):
            assert (await queue.content(one)).read() == MESSAGE.read()


async def test_what_a_crash_left_over_is_cleared_away(root: Path, clock: FakeClock) -> None:
    die_at(root, "queue.placed:2")
    (root / f"queue/spool/{'0' * 32}.tmp").touch()
    for path in (root / "queue/spool").iterdir():
        os.utime(path, (0, 0))
    clock.advance(2 * ABANDONED_S)
    async with opened(root, clock) as queue:
        assert [lease.job.id for lease in await take(queue)] == ["0b"]
    assert spool(root) == [".log", ".msg"]


async def test_a_torn_line_in_a_log_is_passed_over(root: Path, clock: FakeClock) -> None:
    async with opened(root, clock) as queue:
        await queue.put([job("a"), job("b")], MESSAGE)
        (lease, *_) = await take(queue, 1)
        await queue.done(lease)
    (log,) = (root / "queue/spool").glob("*.log")
    with log.open("ab") as file:
        file.write(b'{"id": "b", "do')
    lose(root)
    async with opened(root, clock) as queue:
        assert [one.id for one in await queue.jobs("relay")] == ["b"]


def test_a_file_of_another_version_is_no_spool_file(tmp_path: Path) -> None:
    from rmail_kernel.errors import Corrupt
    from rmail_kernel.storage.filesystem.disk import Owner

    files = SpoolFiles(tmp_path / "spool", Owner.of(tmp_path))
    name = "a" * 32
    (tmp_path / f"spool/{name}.msg").write_bytes(b'{"version": 99, "jobs": []}\n')
    with pytest.raises(Corrupt):
        files.read(name)
