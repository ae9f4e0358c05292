"""Readiness."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from rmail_kernel.config import build
from rmail_kernel.kernel import Kernel
from rmail_kernel.observe import lag
from rmail_kernel.observe.exposition import render
from rmail_kernel.observe.health import is_ready
from rmail_kernel.plugins import new_bus


@pytest_asyncio.fixture
async def kernel(tmp_path: Path) -> AsyncIterator[Kernel]:
    kernel = Kernel(build({"mail_root": str(tmp_path)}, {}, environ={}), new_bus())
    yield kernel
    await kernel.stop()


async def test_a_writable_store_is_ready(kernel: Kernel) -> None:
    assert await is_ready(kernel)
    assert list((kernel.settings.mail_root / "run").iterdir()) == []


async def test_a_draining_process_is_not_ready(kernel: Kernel) -> None:
    kernel.draining.set()
    assert not await is_ready(kernel)


async def test_a_store_that_cannot_be_written_is_not_ready(kernel: Kernel) -> None:
    (kernel.settings.mail_root / "run").write_text("in the way")
    assert not await is_ready(kernel)


async def test_the_watchdog_measures_the_loop() -> None:
    watching = asyncio.create_task(lag.watch(0.001))
    before = measurements()
    while measurements() == before:
        await asyncio.sleep(0)
    watching.cancel()


def measurements() -> float:
    lines = render().decode().splitlines()
    return float(next(x for x in lines if x.startswith("rmail_loop_lag_seconds_count")).split()[1])
