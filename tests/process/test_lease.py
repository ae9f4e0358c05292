"""Leases between real processes, and the runner of singleton tasks."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from rmail_kernel.errors import ConfigError
from rmail_kernel.process import lease
from rmail_kernel.process.lease import Singletons, hold, run_until_finished
from rmail_kernel.tasks import SingletonTask

HOLDER = """
import asyncio, sys
from pathlib import Path
from rmail_kernel.process.lease import hold

async def main():
    async with hold(Path(sys.argv[1]), "queue"):
        print("held", flush=True)
        await asyncio.get_running_loop().create_future()

asyncio.run(main())
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lease "queue"."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == "held\n"
        yield process
    process.kill()
    process.wait()


def spawn(work: object, name: str) -> asyncio.Task[object]:
    return asyncio.create_task(work, name=name)  # type: ignore[arg-type]  # stands for Kernel.spawn


async def test_a_lease_moves_when_its_holder_is_killed(
    holder: subprocess.Popen[str], tmp_path: Path
) -> None:
    entered = asyncio.Event()

    async def wait_for_it() -> None:
        async with hold(tmp_path, "queue", retry_s=0.02):
            entered.set()

    waiting = asyncio.create_task(wait_for_it())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await entered.wait()
    os.kill(holder.pid, signal.SIGKILL)
    async with asyncio.timeout(5):
        await waiting


async def test_leases_of_other_names_do_not_wait(
    holder: subprocess.Popen[str], tmp_path: Path
) -> None:
    async with asyncio.timeout(5), hold(tmp_path, "../reminders"):
        assert (tmp_path / "run" / "lease" / "..%2Freminders.lock").exists()


async def test_a_task_that_finished_is_not_run_by_the_next_process(tmp_path: Path) -> None:
    runs: list[str] = []
    done = asyncio.Event()

    async def work() -> None:
        runs.append("run")
        done.set()

    one = Singletons(tmp_path, [SingletonTask("once", work)])
    two = Singletons(tmp_path, [SingletonTask("once", work)])
    one.start(spawn)
    await done.wait()
    two.start(spawn)
    assert lease.try_lock(tmp_path / "run" / "lease" / "once.lock") is None
    await two.stop()
    await one.stop()
    assert runs == ["run"]


async def test_stop_cancels_the_task_and_frees_the_lease(tmp_path: Path) -> None:
    began = asyncio.Event()
    ended: list[str] = []

    async def work() -> None:
        began.set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.append("ended")

    tasks = Singletons(tmp_path, [SingletonTask("queue", work)])
    tasks.start(spawn)
    await began.wait()
    await tasks.stop()
    assert ended == ["ended"]
    async with asyncio.timeout(5), hold(tmp_path, "queue"):
        pass


async def test_a_task_that_raises_is_logged_and_run_again_after_a_doubling_pause() -> None:
    left = [ValueError("one"), ValueError("two"), ValueError("three")]

    async def work() -> None:
        if left:
            raise left.pop(0)

    with capture_logs() as lines:
        await run_until_finished(SingletonTask("queue", work), first_pause_s=0.01)
    assert [line["pause_s"] for line in lines] == [0.01, 0.02, 0.04]


async def test_the_pause_never_exceeds_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "LONGEST_PAUSE_S", 0.02)
    left = [ValueError()] * 4

    async def work() -> None:
        if left:
            raise left.pop()

    with capture_logs() as lines:
        await run_until_finished(SingletonTask("queue", work), first_pause_s=0.01)
    assert [line["pause_s"] for line in lines] == [0.01, 0.02, 0.02, 0.02]


def test_two_tasks_of_one_name_are_refused(tmp_path: Path) -> None:
    async def work() -> None: ...

    with pytest.raises(ConfigError, match="'queue'"):
        Singletons(tmp_path, [SingletonTask("queue", work), SingletonTask("queue", work)])
