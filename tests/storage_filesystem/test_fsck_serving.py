"""The check runs over and over beside a server under load: it finds nothing wrong, because nothing
is, and what clients were answered stays so.
"""

from __future__ import annotations

import asyncio
import random
from functools import partial
from pathlib import Path

import pytest

from rmail_kernel.storage.filesystem import FilesystemMailStore
from rmail_kernel.storage.filesystem.fsck import Finding, Report, _check_shard, check
from rmail_kernel.storage.filesystem.unsettled import SMALL_BYTES
from rmail_kernel.storage.ids import MailboxId, Uid
from tests.storage_contract.rig import ALICE, Opened, item, opened

INBOX = MailboxId(1)
ROUNDS = 16
MANY = 150
"""More than the files that follow at once, so that some are under way when the check comes."""


@pytest.fixture(autouse=True)
def quiet() -> None:
    """This is about what happens by itself."""


async def _store(store: Opened, done: asyncio.Event) -> set[str]:
    """Stores small and large messages; the ids of those that were answered."""
    stored: set[str] = set()
    while not done.is_set():
        number = len(stored)
        size = SMALL_BYTES + 1 if number % 20 == 19 else 100
        raw = f"Subject: n{number}\r\n\r\n{'x' * size}\r\n".encode()
        await store.put(item(raw, mailbox="Archive"))
        stored.add(f"n{number}")
    return stored


async def _change(store: Opened, done: asyncio.Event) -> None:
    """Changes flags, moves and expunges many messages at a time."""
    choice = random.Random(7)
    mail = store.mail
    while not done.is_set():
        await store.put(*(item() for _ in range(MANY)))
        view = await mail.view(ALICE, INBOX)
        uids = [Uid(uid) for uid in view.uids[: view.total]]
        await mail.store_flags(ALICE, INBOX, uids, "add", frozenset({"\\Deleted", "$K"}))
        moved = choice.sample(uids, len(uids) // 3)
        await mail.move(ALICE, INBOX, sorted(moved), "Trash")
        await mail.expunge(ALICE, INBOX, None)
        trash = await mail.status(ALICE, "Trash")
        await mail.expunge(ALICE, trash.id, None, only_deleted=False)


async def _mailboxes(store: Opened, done: asyncio.Event) -> None:
    """Makes, fills, renames and deletes mailboxes."""
    while not done.is_set():
        await store.mail.create(ALICE, "New/Inner")
        await store.put(item(mailbox="New/Inner"))
        await store.mail.rename(ALICE, "New", "Old")
        await store.mail.delete(ALICE, "Old/Inner")
        await store.mail.delete(ALICE, "Old")


async def _check_often(root: Path, done: asyncio.Event) -> list[Finding]:
    """Another process's store, checking and repairing in turns."""
    found: list[Finding] = []
    async with opened(root, check_after=False) as store:
        assert isinstance(store.mail, FilesystemMailStore)
        for number in range(ROUNDS):
            repair = number % 2 == 1
            report = await check(store.mail, ALICE, repair, lambda *_: None)
            found += report.findings
    done.set()
    return found


@pytest.mark.timeout(120)
async def test_repair_beside_a_server_under_load_loses_nothing_and_alarms_nobody(
    tmp_path: Path,
) -> None:
    done = asyncio.Event()
    async with opened(tmp_path) as store:
        await store.mail.mailboxes(ALICE)
        found, stored, _, _ = await asyncio.gather(
            _check_often(tmp_path, done),
            _store(store, done),
            _change(store, done),
            _mailboxes(store, done),
        )
        assert found == []
        assert len(stored) > ROUNDS // 4
        assert (await store.mail.status(ALICE, "Archive")).total == len(stored)
        assert len(list(tmp_path.rglob("Archive/*/*.eml"))) == len(stored)


async def test_files_that_are_about_to_go_are_no_strangers(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        assert isinstance(store.mail, FilesystemMailStore)
        await store.put(*(item() for _ in range(MANY)))
        await store.mail.settle(ALICE)
        await store.mail.expunge(ALICE, INBOX, None, only_deleted=False)
        assert len(list(tmp_path.rglob("INBOX/*/*.eml"))) == MANY
        look = partial(_check_shard, 1, 0, Report(), True)
        assert await store.mail.transact(ALICE, look) == []
