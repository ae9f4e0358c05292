"""A disk that is really full: what makes the store grow is refused, and mail can be looked
at and deleted until there is room again.
"""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from rmail_kernel.clock import Clock
from rmail_kernel.errors import Temporary
from rmail_kernel.storage.filesystem import FilesystemMailStore
from rmail_kernel.storage.filesystem.disk import Owner
from rmail_kernel.storage.filesystem.reserve import Reserve
from rmail_kernel.storage.ids import MailboxId, ModSeq, Uid
from rmail_kernel.storage.mail import Field
from tests.storage_contract.rig import ALICE, MESSAGE, Opened, item, opened
from tests.storage_contract.test_messages import fetched

INBOX = MailboxId(1)
RESERVE_BYTES = 4 << 20
MESSAGES = 120
DELETED = 8


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own."""
    command = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(tmp_path)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("only root can mount a small file system")
    try:
        yield tmp_path
    finally:
        subprocess.run(["umount", "-l", tmp_path], check=True)


@asynccontextmanager
async def with_reserve(disk: Path) -> AsyncIterator[Opened]:
    """The store below `disk`, as a server has it."""
    async with opened(disk / "store", check_after=False) as store:
        reserve = Reserve(store.root / "reserve", RESERVE_BYTES, Owner.of(store.root))
        with ThreadPoolExecutor(4) as pool:
            mail = FilesystemMailStore(
                store.root, store.directory, store.events, Clock(), pool, reserve=reserve
            )
            try:
                yield replace(store, mail=mail)
            finally:
                await mail.close()


def fill(disk: Path) -> Path:
    """Somebody else takes all that is left."""
    path = disk / "filler"
    with path.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    return path


async def refused(store: Opened) -> None:
    """Nothing that grows is taken."""
    status = await store.mail.status(ALICE, "INBOX")
    for work in (
        store.put(item()),
        store.put(item(MESSAGE + b"x" * 100_000)),
        store.mail.copy(ALICE, INBOX, [Uid(1)], "Archive"),
        store.mail.create(ALICE, "New"),
    ):
        with pytest.raises(Temporary):
            await work
    assert await store.mail.status(ALICE, "INBOX") == status


async def test_mail_can_be_deleted_on_a_full_disk(disk: Path) -> None:
    async with with_reserve(disk) as store:
        await store.put(*(item(MESSAGE + b"x" * 10_000) for _ in range(MESSAGES)))
        assert (disk / "store/reserve").stat().st_size == RESERVE_BYTES
        filler = fill(disk)
        await refused(store)
        for uid in range(1, DELETED + 1):  # one by one, as a person does
            await store.mail.store_flags(ALICE, INBOX, [Uid(uid)], "add", frozenset({"\\Deleted"}))
            assert (await store.mail.status(ALICE, "INBOX")).deleted == 1
            gone, _ = await store.mail.expunge(ALICE, INBOX, None)
            assert gone == [uid]
            fill(disk)  # and somebody takes at once what gets free
        await refused(store)
        filler.unlink()
        (stored,) = await store.put(item())
        assert stored.uid == MESSAGES + 1
        assert (disk / "store/reserve").stat().st_size == RESERVE_BYTES
        assert len(await fetched(store, [MESSAGES, MESSAGES + 1], Field.CONTENT)) == 2


async def test_a_server_that_starts_on_a_full_disk_shows_mail_and_deletes_it(disk: Path) -> None:
    async with with_reserve(disk) as store:
        await store.put(*(item(MESSAGE + b"x" * 10_000) for _ in range(MESSAGES)))
    filler = fill(disk)
    async with with_reserve(disk) as store:
        await refused(store)
        view = await store.mail.view(ALICE, "INBOX")
        assert view.total == MESSAGES
        uids = [Uid(uid) for uid in view.uids[: view.total]]
        assert len(await fetched(store, list(map(int, uids)), Field.CONTENT)) == MESSAGES
        await store.mail.store_flags(ALICE, INBOX, uids[1:], "add", frozenset({"\\Deleted"}))
        gone, modseq = await store.mail.expunge(ALICE, INBOX, None)
        assert gone == uids[1:]
        changes = await store.mail.changes(ALICE, INBOX, ModSeq(modseq - 1))
        assert list(changes.vanished) == gone
        assert isinstance(store.mail, FilesystemMailStore)
        await store.mail.settle(ALICE)
        assert len(list(disk.rglob("INBOX/*/*.eml"))) == 1
        filler.unlink()
        await store.put(item())


async def test_without_a_reserve_a_full_disk_is_temporary(disk: Path) -> None:
    async with opened(disk / "store", check_after=False) as store:
        await store.put(item())
        filler = fill(disk)
        with pytest.raises(Temporary):
            await store.put(item(MESSAGE + b"x" * 100_000))
        filler.unlink()
        assert len(await store.put(item())) == 1
