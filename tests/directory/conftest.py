"""A directory on a fresh store, with one domain and one account."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from rmail_kernel.clock import Clock
from rmail_kernel.model import Address
from rmail_kernel.process.events import LocalEvents
from rmail_kernel.storage.accounts import Account
from rmail_kernel.storage.filesystem.directory import FilesystemDirectory
from rmail_kernel.storage.ids import AccountId


def new_account(name: str, domain: str = "example.com", *, quota_mb: int = 1024) -> Account:
    """An account that is not stored yet."""
    return Account(
        AccountId(f"{name}@{domain}"), Address(name, domain), "hash one", quota_mb=quota_mb
    )


@pytest.fixture
def events() -> LocalEvents:
    return LocalEvents()


@pytest_asyncio.fixture
async def directory(tmp_path: Path, events: LocalEvents) -> AsyncIterator[FilesystemDirectory]:
    found = FilesystemDirectory(tmp_path, clock=Clock(), events=events)
    await found.add_domain("example.com")
    await found.create(new_account("alice"))
    yield found
    await found.close()


@pytest.fixture
def alice_path(tmp_path: Path) -> Path:
    return tmp_path / "domains/example.com/users/alice/account.json"
