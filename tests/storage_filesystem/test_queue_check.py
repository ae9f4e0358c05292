"""What a check of the queue finds between rows and files, and what it sets right."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rmail_kernel.content import Content
from rmail_kernel.storage.filesystem.queue import FilesystemQueue
from rmail_kernel.storage.filesystem.queue_database import ABANDONED_S
from rmail_kernel.storage.filesystem.queue_files import SMALL_BYTES
from rmail_kernel.testing import FakeClock
from tests.storage_contract.test_queue import MESSAGE, job, opened, take

LARGE = Content.of(b"Subject: x\r\n\r\n" + b"y" * SMALL_BYTES)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
async def queue(root: Path, clock: FakeClock) -> AsyncIterator[FilesystemQueue]:
    async with opened(root, clock) as found:
        assert isinstance(found, FilesystemQueue)
        yield found


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


async def found(queue: FilesystemQueue, *, repair: bool = False) -> list[tuple[str, bool, bool]]:
    report = await queue.check(repair=repair)
    return [(one.text, one.is_harmless, one.repaired) for one in report.findings]


async def test_a_queue_that_was_never_used_is_clean_and_stays_unmade(
    queue: FilesystemQueue, root: Path
) -> None:
    assert await found(queue) == []
    assert await queue.kinds() == []
    assert not (root / "queue").exists()


async def test_a_queue_at_work_is_clean(queue: FilesystemQueue) -> None:
    await queue.put([job("a"), job("b", "x.test")], MESSAGE)
    await queue.put([job("c")], LARGE)
    (first, *_) = await take(queue)
    await queue.retry(first, 5.0, "451 later", {})
    report = await queue.check(repair=True)
    assert (report.jobs, report.findings) == (3, ())
    assert await queue.kinds() == ["relay"]


@pytest.mark.parametrize("harm", ["is gone", "bytes, not", "cannot be read"])
async def test_a_message_that_is_lost_needs_a_person(
    queue: FilesystemQueue, root: Path, harm: str
) -> None:
    await queue.put([job("a")], LARGE)
    (path,) = (root / "queue/spool").glob("*.msg")
    if harm == "is gone":
        path.unlink()
    elif harm == "bytes, not":
        os.truncate(path, path.stat().st_size - 10)
    else:
        path.write_bytes(b"x" * path.stat().st_size)
    for repair in (True, False):
        ((text, is_harmless, repaired),) = await found(queue, repair=repair)
        assert harm in text
        assert (is_harmless, repaired) == (False, False)
    assert len(await queue.jobs("relay")) == 1


async def test_a_small_message_that_is_lost_is_written_anew(
    queue: FilesystemQueue, root: Path
) -> None:
    await queue.put([job("a")], MESSAGE)
    (path,) = (root / "queue/spool").glob("*.msg")
    raw = path.read_bytes()
    path.write_bytes(b"torn")
    ((text, is_harmless, repaired),) = await found(queue)
    assert "queue.db has its bytes" in text
    assert (is_harmless, repaired) == (True, False)
    assert [one[2] for one in await found(queue, repair=True)] == [True]
    assert path.read_bytes() == raw
    assert await found(queue) == []


async def test_accepted_mail_that_no_row_knows_is_taken_in(
    queue: FilesystemQueue, root: Path, tmp_path: Path, clock: FakeClock
) -> None:
    async with opened(tmp_path / "other", clock) as other:
        await other.put([job("restored")], MESSAGE)
        (path,) = (tmp_path / "other/queue/spool").glob("*.msg")
        await queue.put([job("a")], MESSAGE)
        path.rename(root / "queue/spool" / path.name)
    ((text, is_harmless, _),) = await found(queue)
    assert "was accepted and is not in queue.db" in text
    assert not is_harmless
    assert [one[2] for one in await found(queue, repair=True)] == [True]
    assert [one.id for one in await queue.jobs("relay")] == ["a", "restored"]


async def test_leftovers_go_once_they_are_old(
    queue: FilesystemQueue, root: Path, clock: FakeClock
) -> None:
    await queue.put([job("a")], MESSAGE)
    spool = root / "queue/spool"
    names = ["0" * 32 + ".new", "1" * 32 + ".tmp", "2" * 32 + ".log"]
    for name in names:
        (spool / name).write_bytes(b"")
        os.utime(spool / name, (clock.time(), clock.time()))
    (spool / f"{'3' * 32}.bad").write_bytes(b"x")
    assert [one[1] for one in await found(queue)] == [False]
    clock.advance(ABANDONED_S + 1)
    assert [one[1] for one in await found(queue)] == [True, True, True, False]
    assert [one[2] for one in await found(queue, repair=True)] == [True, True, True, False]
    assert sorted(path.suffix for path in spool.iterdir()) == [".bad", ".msg"]


@pytest.mark.parametrize("harm", ["lost", "damaged"])
async def test_a_database_that_was_made_anew_is_told(
    root: Path, clock: FakeClock, harm: str
) -> None:
    async with opened(root, clock) as queue:
        await queue.put([job("a")], MESSAGE)
    if harm == "lost":
        (root / "queue/queue.db").unlink()
    else:
        (root / "queue/queue.db").write_bytes(b"no database" * 1000)
    async with opened(root, clock) as queue:
        assert isinstance(queue, FilesystemQueue)
        ((text, is_harmless, repaired),) = await found(queue)
        assert text.startswith(f"queue.db was {harm}; it was made anew")
        assert (is_harmless, repaired) == (True, True)
        assert (await queue.check(repair=False)).findings == ()
        assert [one.id for one in await queue.jobs("relay")] == ["a"]
