"""The stores that the contract suite runs against."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rmail_kernel.testing import FakeClock
from tests.storage_contract.rig import Opened, opened

PASSING = ["filesystem"]


@pytest.fixture
def clock() -> FakeClock:
    """Time under the test's control."""
    return FakeClock()


@pytest.fixture(params=PASSING)
def driver(request: pytest.FixtureRequest) -> str:
    """A driver that must keep the contract."""
    return str(request.param)


@pytest.fixture
async def store(tmp_path: Path, driver: str, clock: FakeClock) -> AsyncIterator[Opened]:
    """An empty store."""
    async with opened(tmp_path / "store", driver, clock) as found:
        yield found


@pytest.fixture
async def other(store: Opened, driver: str, clock: FakeClock) -> AsyncIterator[Opened]:
    """The same store, opened once more as another process has it."""
    async with opened(store.root, driver, clock) as found:
        yield found
