"""A kernel with a directory and shared state, and an auth service whose bcrypt checks are
counted.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from rmail_kernel import auth, config
from rmail_kernel.auth.passwords import Passwords
from rmail_kernel.auth.service import AuthService
from rmail_kernel.clock import Clock
from rmail_kernel.kernel import Kernel
from rmail_kernel.model import SessionInfo
from rmail_kernel.plugins import new_bus
from rmail_kernel.process.events import LocalEvents
from rmail_kernel.storage.filesystem.directory import FilesystemDirectory
from rmail_kernel.storage.filesystem.state import SqliteState
from rmail_kernel.testing.clock import FakeClock

LOCAL = SessionInfo("s1", "imap", "127.0.0.1")
PASSWORD = "correct horse"


def session(peer: str, protocol: str = "imap") -> SessionInfo:
    """A session from an address."""
    return SessionInfo("s2", protocol, peer)


@dataclass(frozen=True, slots=True)
class CountedPasswords(Passwords):
    """Real hashing that keeps a record of each bcrypt check."""

    checked: list[str] = field(default_factory=list)

    def check_bcrypt(self, secret: str, stored: str) -> bool:
        self.checked.append(stored)
        return Passwords.check_bcrypt(self, secret, stored)


async def open_kernel(root: Path, clock: Clock, **sections: Any) -> Kernel:
    """A kernel with only the services that auth needs."""
    data = {"mail_root": str(root), "domains": ["example.com"], "auth": {"bcrypt_cost": 4}}
    kernel = Kernel(config.build(data | sections, {}, environ={}), new_bus(), clock=clock)
    kernel.events = LocalEvents()
    kernel.directory = FilesystemDirectory(root, clock=clock, events=kernel.events)
    kernel.state = SqliteState(root / "state.db", clock)
    return kernel


async def close_kernel(kernel: Kernel) -> None:
    await kernel.stop()
    assert isinstance(kernel.directory, FilesystemDirectory)
    assert isinstance(kernel.state, SqliteState)
    await kernel.directory.close()
    await kernel.state.close()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def sections() -> dict[str, Any]:
    """Settings in which a test differs."""
    return {}


@pytest_asyncio.fixture
async def kernel(root: Path, clock: FakeClock, sections: dict[str, Any]) -> AsyncIterator[Kernel]:
    await auth.create_user(root, "alice", "example.com", PASSWORD, bcrypt_cost=4)
    found = await open_kernel(root, clock, **sections)
    yield found
    await close_kernel(found)


@pytest.fixture
def passwords() -> CountedPasswords:
    return CountedPasswords(4)


@pytest.fixture
def slept() -> list[float]:
    """Seconds that slowed-down logins would have waited."""
    return []


@pytest.fixture
def service(kernel: Kernel, passwords: CountedPasswords, slept: list[float]) -> AuthService:
    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    return AuthService(kernel, passwords=passwords, sleep=sleep)
