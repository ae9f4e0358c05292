"""Shared counters and marks."""

from __future__ import annotations

import asyncio
import errno
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NoReturn

import apsw
import pytest
import pytest_asyncio

from rmail_kernel.errors import ConfigError, Temporary
from rmail_kernel.storage.filesystem import state as module
from rmail_kernel.storage.filesystem.state import SqliteState
from rmail_kernel.testing.clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest_asyncio.fixture
async def state(tmp_path: Path, clock: FakeClock) -> AsyncIterator[SqliteState]:
    found = SqliteState(tmp_path / "state.db", clock)
    yield found
    await found.close()


async def test_windows_slide(state: SqliteState, clock: FakeClock) -> None:
    assert await state.hit("k", 60) == 1
    clock.advance(40)
    assert await state.hit("k", 60) == 2
    clock.advance(19)
    assert await state.count("k", 60) == 2
    clock.advance(1)
    assert await state.count("k", 60) == 1
    assert await state.count("k", 10) == 0
    assert await state.count("other", 60) == 0


async def test_a_flood_is_counted_in_few_rows(state: SqliteState, clock: FakeClock) -> None:
    for number in range(1, 2001):
        assert await state.hit("k", 60) == number
        clock.advance(0.01)
    rows = state._db.execute("SELECT key FROM hits").fetchall()
    assert len(rows) <= module.EXACT_ROWS + module.SLOTS + 1
    clock.advance(61)
    assert await state.count("k", 60) == 0


async def test_marks_end_by_themselves(state: SqliteState, clock: FakeClock) -> None:
    await state.mark("a:1", 10, "one")
    await state.mark("a:2", 20)
    await state.mark("b:1", 10)
    [(key, left_s, value)] = await state.marks("a:1")
    assert (key, value) == ("a:1", "one")
    assert left_s == pytest.approx(10)
    assert [row[0] for row in await state.marks("a:")] == ["a:1", "a:2"]
    clock.advance(10)
    assert await state.marked("a:1") is None
    assert [row[0] for row in await state.marks("")] == ["a:2"]
    await state.mark("a:2", 50, "again")
    left = await state.marked("a:2")
    assert left is not None
    assert left[0] == pytest.approx(50)
    assert left[1] == "again"


async def test_clear_takes_everything_below_a_prefix(state: SqliteState) -> None:
    await state.hit("a:1", 60)
    await state.hit("a:1", 60)
    await state.mark("a:1", 60)
    await state.mark("a:\U0010fffd", 60)
    await state.hit("b:1", 60)
    assert await state.clear("a:") == 2
    assert await state.clear("a:") == 0
    assert await state.count("b:1", 60) == 1
    assert await state.clear("") == 1


async def test_what_ended_is_swept_and_what_is_left_is_bounded(
    state: SqliteState, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SWEEP_EVERY", 10)
    monkeypatch.setattr(module, "MAX_COUNTERS", 25)
    for number in range(20):
        await state.hit(f"short{number}", 1)
    clock.advance(2)
    for number in range(100):
        await state.hit(f"k{number}", 60 + number)
    keys = [key for (key,) in state._db.execute("SELECT key FROM hits ORDER BY ends_at")]
    assert len(keys) == 25
    assert keys[-1] == "k99"  # those that end first go first


async def test_the_journal_is_checkpointed_while_it_runs(
    state: SqliteState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHECKPOINT_PAGES", 20)
    monkeypatch.setattr(module, "MAX_JOURNAL_PAGES", 40)
    for number in range(500):
        await state.hit(f"k{number}", 60)
        if number % 10 == 0:
            await state.mark("m", 60)  # its sync stands behind a checkpoint in the thread
    assert (tmp_path / "state.db-wal").stat().st_size < 200 * 4096


@pytest.mark.parametrize(
    "raw", [b"no database at all" * 500, b"SQLite format 3\0" + b"\xff" * 9000]
)
async def test_an_unreadable_database_is_kept_aside_and_begun_anew(
    tmp_path: Path, clock: FakeClock, raw: bytes
) -> None:
    path = tmp_path / "state.db"
    path.write_bytes(raw)
    state = SqliteState(path, clock)
    assert await state.hit("k", 60) == 1
    await state.close()
    aside = list(tmp_path.glob("state.db.unreadable-*"))
    assert [path.read_bytes() for path in aside] == [raw]


async def test_a_database_of_a_newer_version_is_kept_aside(
    tmp_path: Path, clock: FakeClock
) -> None:
    path = tmp_path / "state.db"
    db = apsw.Connection(str(path))
    db.execute("PRAGMA user_version=99")
    db.close()
    state = SqliteState(path, clock)
    await state.mark("k", 60)
    assert await state.marked("k") is not None
    await state.close()
    assert len(list(tmp_path.glob("state.db.unreadable-*"))) == 1


async def test_a_database_torn_under_a_running_server_is_begun_anew(
    state: SqliteState, tmp_path: Path
) -> None:
    for number in range(300):
        await state.hit(f"k{number}", 60)
    state._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    with (tmp_path / "state.db").open("r+b") as file:
        file.write(b"\xff" * 8192)
    state._db.execute("PRAGMA shrink_memory")
    assert await state.hit("k", 60) >= 1
    assert await state.hit("k", 60) >= 2
    assert list(tmp_path.glob("state.db.unreadable-*"))


async def test_a_torn_database_that_cannot_be_begun_anew_yet_is_later(
    state: SqliteState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> NoReturn:
        raise OSError(errno.ENOSPC, "No space left on device")

    for number in range(300):
        await state.hit(f"k{number}", 60)
    state._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    with (tmp_path / "state.db").open("r+b") as file:
        file.write(b"\xff" * 8192)
    state._db.execute("PRAGMA shrink_memory")
    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", full)
        for _ in range(2):
            with pytest.raises(Temporary):
                await state.hit("k", 60)
    assert await state.hit("k", 60) == 1


async def test_a_mark_that_cannot_be_synced_is_temporary(
    state: SqliteState, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: int) -> NoReturn:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", broken)
        with pytest.raises(Temporary):
            await state.mark("k", 60)
    await state.mark("k", 60)
    assert await state.marked("k") is not None


async def test_a_database_held_by_another_is_temporary(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BUSY_MS", 20)
    state = SqliteState(tmp_path / "state.db", clock)
    db = apsw.Connection(str(tmp_path / "state.db"))
    db.execute("BEGIN IMMEDIATE")
    with pytest.raises(Temporary):
        await state.hit("k", 60)
    db.execute("ROLLBACK")
    db.close()
    assert await state.hit("k", 60) == 1
    await state.close()


def test_a_path_that_cannot_be_opened_is_a_config_error(tmp_path: Path, clock: FakeClock) -> None:
    (tmp_path / "state.db").mkdir()
    with pytest.raises(ConfigError, match="cannot be opened"):
        SqliteState(tmp_path / "state.db", clock)


PROCESS = """
import asyncio, os, sys
from pathlib import Path
from rmail_kernel.clock import Clock
from rmail_kernel.storage.filesystem.state import SqliteState

async def main():
    state = SqliteState(Path(sys.argv[1]), Clock())
    for _ in range(200):
        await state.hit("k", 600)
    await state.mark("m" + sys.argv[2], 600, "v")
    os.kill(os.getpid(), 9)

asyncio.run(main())
"""


async def test_processes_count_together_and_marks_survive_kill_9(tmp_path: Path) -> None:
    from rmail_kernel.clock import Clock

    path = tmp_path / "state.db"
    processes = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", PROCESS, str(path), str(number))
        for number in range(2)
    ]
    assert [await process.wait() for process in processes] == [-9, -9]
    state = SqliteState(path, Clock())
    assert await state.count("k", 600) == 400
    assert [row[0] for row in await state.marks("m")] == ["m0", "m1"]
    await state.close()


async def test_a_failed_call_leaves_nothing_open(state: SqliteState) -> None:
    with pytest.raises(UnicodeEncodeError):
        await state.hit("\udcff", 60)
    assert await state.hit("k", 60) == 1
