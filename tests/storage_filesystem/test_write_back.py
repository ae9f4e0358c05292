"""The log of a database is written back when whoever waited for the commit has the answer."""

from __future__ import annotations

import asyncio
import fcntl
import resource
from threading import Event

import pytest
from structlog.testing import capture_logs

from rmail_kernel import failpoints
from rmail_kernel.storage.filesystem import FilesystemMailStore, schema
from rmail_kernel.storage.filesystem.batch import Batches
from rmail_kernel.storage.filesystem.layout import AccountPaths
from rmail_kernel.storage.ids import MailboxId, Uid
from tests.storage_contract.rig import ALICE, Opened, item
from tests.storage_filesystem.test_trouble import limited

INBOX = MailboxId(1)
PAGE_BYTES = 4096


async def test_an_answer_does_not_wait_for_the_log_but_the_next_batch_does(
    store: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.put(item())
    assert (await store.mail.quota(ALICE)).used_messages == 1
    monkeypatch.setattr(schema, "CHECKPOINT_PAGES", 1)
    begun, may_end = Event(), Event()
    write_back = Batches.write_back

    def held(batches: Batches) -> None:
        begun.set()
        assert may_end.wait(20)
        write_back(batches)

    monkeypatch.setattr(Batches, "write_back", held)
    assert [one.uid for one in await store.put(item())] == [2]
    assert await asyncio.to_thread(begun.wait, 20)
    after = asyncio.ensure_future(store.put(item()))
    assert (await store.mail.quota(ALICE)).used_messages == 2
    assert not after.done()
    may_end.set()
    assert [one.uid for one in await after] == [3]


async def test_the_log_stays_short_however_much_is_written(
    store: Opened, paths: AccountPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "CHECKPOINT_PAGES", 40)
    for _ in range(100):
        await store.put(item(b"x" * 10_000))
    log = paths.database.with_name("account.db-wal")
    assert log.stat().st_size < 100 * PAGE_BYTES


@pytest.mark.parametrize("is_alone", [False, True])
async def test_nobody_commits_while_a_log_that_is_far_too_long_is_written_back(
    store: Opened,
    mail: FilesystemMailStore,
    paths: AccountPaths,
    monkeypatch: pytest.MonkeyPatch,
    *,
    is_alone: bool,
) -> None:
    found, reach = list[bool](), failpoints.reach

    def look(name: str) -> None:
        if name == "log.before":
            with paths.lock.open() as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    found.append(False)
                except BlockingIOError:
                    found.append(True)
        reach(name)

    await store.put(*(item() for _ in range(60)))
    await mail.settle(ALICE)
    pages = paths.database.with_name("account.db-wal").stat().st_size // PAGE_BYTES
    monkeypatch.setattr(failpoints, "reach", look)
    monkeypatch.setattr(schema, "CHECKPOINT_PAGES", pages // 3 if is_alone else pages)
    while not found:
        await store.put(item())
        await mail.settle(ALICE)
    assert found[0] is is_alone


async def test_a_log_that_cannot_be_written_back_is_written_back_later(
    store: Opened, paths: AccountPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = b"X-Pad: %s\r\n" % (b"x" * 900) * 16
    await store.put(*(item(raw) for _ in range(60)))
    monkeypatch.setattr(schema, "CHECKPOINT_PAGES", 1)
    await store.put(item())
    await store.put(item())  # the log begins at its start again
    size_bytes = paths.database.stat().st_size
    with limited(resource.RLIMIT_FSIZE, size_bytes // 2), capture_logs() as told:
        await store.mail.expunge(ALICE, INBOX, list(map(Uid, range(2, 60, 2))), only_deleted=False)
        await store.put(item())
    assert "the log of the database grows" in [entry["event"] for entry in told]
    assert (await store.mail.view(ALICE, INBOX)).total == 34
    with capture_logs() as told:
        await store.put(item())
        await store.put(item())  # begins when the log was written back after the one before
    assert told == []
