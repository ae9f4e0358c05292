"""The log of a database is written back when whoever waited for the commit has the answer."""

from __future__ import annotations

import asyncio
import resource
from threading import Event

import pytest
from structlog.testing import capture_logs

from rmail_kernel.storage.filesystem import schema
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
