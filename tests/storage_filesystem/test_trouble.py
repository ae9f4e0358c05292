"""Disk full, files too large, too many open files: Temporary, nothing half-written, well again."""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from rmail_kernel.content import Content
from rmail_kernel.errors import NotFound, Temporary
from rmail_kernel.storage.filesystem import FilesystemMailStore
from rmail_kernel.storage.filesystem.expunging import expunge
from rmail_kernel.storage.filesystem.layout import AccountPaths
from rmail_kernel.storage.filesystem.transaction import Transaction
from rmail_kernel.storage.ids import MailboxId, ModSeq, Uid
from rmail_kernel.storage.mail import AppendItem, Field
from rmail_kernel.testing import FakeClock
from tests.storage_contract.rig import ALICE, BOB, MESSAGE, Opened, item, opened
from tests.storage_contract.test_messages import fetched

INBOX = MailboxId(1)


@contextmanager
def limited(kind: int, soft: int) -> Iterator[None]:
    """A resource limit of this process, for a while."""
    old, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (soft, hard))
    try:
        yield
    finally:
        resource.setrlimit(kind, (old, hard))


def left_over(paths: AccountPaths) -> list[Path]:
    """Files that belong to nothing."""
    return [*paths.temporary.iterdir(), *paths.home.rglob(".*.json.*")]


async def test_a_file_that_cannot_be_written_leaves_nothing(
    store: Opened, paths: AccountPaths
) -> None:
    await store.put(item())
    big = Content.of(b"x" * (1 << 20))
    with limited(resource.RLIMIT_FSIZE, 1 << 19), pytest.raises(Temporary) as caught:
        await store.mail.append(ALICE, [AppendItem("INBOX", big)])
    assert str(paths.home) not in caught.value.safe
    assert left_over(paths) == []
    assert [one.uid for one in await store.put(item())] == [2]


async def test_a_database_that_cannot_grow_fails_the_batch_and_nothing_else(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths
) -> None:
    await store.put(*(item() for _ in range(50)))
    before = await mail.status(ALICE, INBOX)
    everyone = [Uid(uid) for uid in range(1, 51)]
    log = paths.database.with_name("account.db-wal")
    with limited(resource.RLIMIT_FSIZE, log.stat().st_size):
        for _ in range(3):
            outcomes = await asyncio.gather(
                store.put(item()),
                mail.move(ALICE, INBOX, everyone, "Trash"),
                mail.expunge(ALICE, INBOX, None, only_deleted=False),
                mail.create(ALICE, "New"),
                return_exceptions=True,
            )
            assert {type(outcome) for outcome in outcomes} == {Temporary}
    assert await mail.status(ALICE, INBOX) == before
    assert (await mail.view(ALICE, INBOX)).total == 50
    assert len(await fetched(store, list(everyone), Field.CONTENT)) == 50
    assert not paths.mailbox("New").exists()
    await mail.move(ALICE, INBOX, everyone, "Trash")
    assert (await store.put(item()))[0].uid == 51
    assert left_over(paths) == []


async def test_too_many_open_files_is_temporary(store: Opened, paths: AccountPaths) -> None:
    await store.put(item())
    open_now = max(map(int, os.listdir("/proc/self/fd")))
    with limited(resource.RLIMIT_NOFILE, open_now):
        held = []
        try:
            while True:
                held.append(os.dup(0))
        except OSError:
            pass
        for work in (store.put(item()), fetched(store, [1], Field.CONTENT)):
            with pytest.raises(Temporary):
                await work
        for fd in held:
            os.close(fd)
    assert [one.uid for one in await store.put(item())] == [2]
    assert len(await fetched(store, [1, 2], Field.CONTENT)) == 2
    assert left_over(paths) == []


async def test_an_account_that_cannot_be_opened_takes_no_descriptors(store: Opened) -> None:
    await store.put(item())
    open_now = max(map(int, os.listdir("/proc/self/fd")))
    with limited(resource.RLIMIT_NOFILE, open_now + 10):
        held = []
        try:
            while True:
                held.append(os.dup(0))
        except OSError:
            os.close(held.pop())  # one is left, which is not enough
        for _ in range(3):
            with pytest.raises(Temporary):
                await store.put(item(), account=BOB)
        for fd in held:
            os.close(fd)
    assert _open_in(AccountPaths.of(store.root, BOB).home) == []
    assert [one.uid for one in await store.put(item(), account=BOB)] == [1]


def _open_in(folder: Path) -> list[str]:
    """What this process has open there; other accounts are busy in the background."""
    found = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # that of the list itself
            found.append(str(descriptor.readlink()))
    return [name for name in found if name.startswith(str(folder))]


async def test_a_full_disk_is_temporary_and_the_store_goes_on_when_there_is_room(
    tmp_path: Path, clock: FakeClock
) -> None:
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", tmp_path], check=False
    )
    if mounted.returncode:
        pytest.skip("only root can mount a small file system")
    try:
        async with opened(tmp_path / "store", clock=clock) as store:
            stored = 0
            for size in (60_000, 1, 1, 1):  # also the smallest change
                try:
                    for _ in range(1000):
                        await store.put(item(MESSAGE + b"x" * size))
                        stored += 1
                except Temporary:
                    continue
                pytest.fail("the disk is not full")
            view = await store.mail.view(ALICE, INBOX)
            assert view.total == stored
            subprocess.run(["mount", "-o", "remount,size=30m", tmp_path], check=True)
            await store.put(item())
            assert (await store.mail.view(ALICE, INBOX)).total == stored + 1
            everyone = [Uid(uid) for uid in view.uids[: view.total]]
            assert len(await fetched(store, list(everyone), Field.CONTENT)) == stored
            assert left_over(AccountPaths.of(store.root, ALICE)) == []
    finally:
        subprocess.run(["umount", "-l", tmp_path], check=True)


async def test_a_file_with_too_many_links_is_copied(
    store: Opened, paths: AccountPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.put(item(MESSAGE, "\\Seen"))

    def refuse(*_: object) -> None:
        raise OSError(31, "Too many links")

    monkeypatch.setattr(os, "link", refuse)
    await store.mail.copy(ALICE, INBOX, [Uid(1)], "Sent")
    old = paths.mailboxes / "INBOX/0000/00000001_S.eml"
    new = paths.mailboxes / "Sent/0000/00000001_S.eml"
    assert new.read_bytes() == MESSAGE
    assert new.stat().st_ino != old.stat().st_ino
    assert new.stat().st_mtime_ns == old.stat().st_mtime_ns


async def test_an_operation_with_a_fault_does_not_harm_its_batch(
    store: Opened, mail: FilesystemMailStore
) -> None:
    await store.put(item())
    outcomes = await asyncio.gather(
        *(
            mail.store_flags(ALICE, INBOX, [Uid(1)], "add", frozenset({name}))
            for name in ("a", "bad name", "b", "\\Recent", "c")
        ),
        return_exceptions=True,
    )
    assert [isinstance(one, Exception) for one in outcomes] == [False, True, False, True, False]
    view = await mail.view(ALICE, INBOX)
    assert view.flag_names(view.flags[0]) == ["a", "b", "c"]
    assert (await mail.changes(ALICE, INBOX, ModSeq(0))).keywords == ("a", "b", "c")


async def test_a_fault_of_our_own_reaches_its_caller_and_the_account_goes_on(
    store: Opened, mail: FilesystemMailStore
) -> None:
    def broken(_: Transaction) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await mail.transact(ALICE, broken)
    assert [one.uid for one in await store.put(item())] == [1]


async def test_what_a_failed_operation_would_have_removed_stays(
    store: Opened, mail: FilesystemMailStore
) -> None:
    await store.put(item(), item())

    def half(tx: Transaction) -> None:
        expunge(tx, INBOX, None, only_deleted=False)
        raise NotFound("changed my mind")

    await asyncio.gather(
        mail.store_flags(ALICE, INBOX, [Uid(1)], "add", frozenset({"\\Seen"})),
        mail.transact(ALICE, half),
        store.put(item()),
        return_exceptions=True,
    )
    view = await mail.view(ALICE, INBOX)
    assert (list(view.uids), list(view.flags)) == ([1, 2, 3], [8, 0, 0])
    assert len(await fetched(store, [1, 2, 3], Field.CONTENT)) == 3
