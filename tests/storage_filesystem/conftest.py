"""A store in files under a clock that the test moves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rmail_kernel.storage.filesystem import FilesystemMailStore
from rmail_kernel.storage.filesystem.layout import AccountPaths
from rmail_kernel.testing import FakeClock
from tests.storage_contract.rig import ALICE, Opened, opened
from tests.storage_filesystem.at_rest import LATE_S, TIMES


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Accounts settle, are indexed and read ahead when tests say so, and not amid a test because
    the machine is slow.
    """
    for module, name in TIMES:
        monkeypatch.setattr(module, name, LATE_S)
    return monkeypatch


@pytest.fixture
def clock() -> FakeClock:
    """Time under the test's control."""
    return FakeClock()


@pytest.fixture
async def store(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Opened]:
    """An empty store; files and index are compared at the end."""
    async with opened(tmp_path / "store", clock=clock) as found:
        yield found


@pytest.fixture
def mail(store: Opened) -> FilesystemMailStore:
    """Its mail."""
    assert isinstance(store.mail, FilesystemMailStore)
    return store.mail


@pytest.fixture
def paths(store: Opened) -> AccountPaths:
    """The files of the account."""
    return AccountPaths.of(store.root, ALICE)


@pytest.fixture
def patience(quiet: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """What tests turn those times back with."""
    return quiet
