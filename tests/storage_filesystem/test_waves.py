"""The settling pass of several accounts together."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rmail_kernel.storage.filesystem import FilesystemMailStore, unsettled, waves
from rmail_kernel.storage.filesystem.layout import AccountPaths
from rmail_kernel.storage.ids import AccountId
from tests.storage_contract.rig import ALICE, BOB, MESSAGE, Opened, item
from tests.storage_filesystem.test_power_loss import rows

EACH = unsettled.FEW // 2 + 1
FIRST = "INBOX/0000/00000001_.eml"


async def fill(store: Opened) -> None:
    """Puts so many messages in each account that both together are many."""
    for account in (ALICE, BOB):
        await store.put(*(item() for _ in range(EACH)), account=account)


def home(store: Opened, account: AccountId) -> AccountPaths:
    """The files of an account."""
    return AccountPaths.of(store.root, account)


async def test_accounts_that_are_due_together_share_one_sync(
    store: Opened, mail: FilesystemMailStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []

    def sync(fd: int) -> None:
        synced.append(fd)
        os.sync()

    monkeypatch.setattr(waves, "sync_filesystem", sync)
    await fill(store)
    await mail.settle_due()
    assert len(synced) == 1
    assert [rows(home(store, one)) for one in (ALICE, BOB)] == [0, 0]


async def test_after_a_failed_shared_sync_messages_of_all_accounts_are_written_anew(
    store: Opened, mail: FilesystemMailStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise OSError(5, "Input/output error")

    await fill(store)
    files: list[Path] = [home(store, one).mailboxes / FIRST for one in (ALICE, BOB)]
    before = [path.stat().st_ino for path in files]
    with monkeypatch.context() as patched:
        patched.setattr(waves, "sync_filesystem", fail)
        await mail.settle_due()
    assert [rows(home(store, one)) for one in (ALICE, BOB)] == [0, 0]
    assert all(path.stat().st_ino != old for path, old in zip(files, before, strict=True))
    assert {path.read_bytes() for path in files} == {MESSAGE}


async def test_what_changes_during_a_pass_is_due_again(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths
) -> None:
    await store.put(item())
    await mail.settle_due()
    await store.put(item())
    assert rows(paths) == 1
    await mail.settle_due()
    assert rows(paths) == 0


def test_passes_take_a_tenth_of_the_time_at_most_until_accounts_wait_too_long(
    quiet: pytest.MonkeyPatch,
) -> None:
    quiet.undo()
    assert waves.pause_s(0.0) == waves.SETTLE_S
    assert waves.pause_s(0.5) == 0.5 * waves.SHARE
    assert waves.pause_s(60.0) == waves.LAG_S
