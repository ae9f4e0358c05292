"""The files of the full-text index: damaged, missing, half made, used by several, kept up."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import apsw
import pytest

from rmail_kernel.storage.filesystem import (
    FilesystemMailStore,
    fulltext,
    indexing,
    schema,
)
from rmail_kernel.storage.filesystem.disk import Owner
from rmail_kernel.storage.filesystem.fsck import check
from rmail_kernel.storage.filesystem.index_check import index_faults
from rmail_kernel.storage.filesystem.indexing import Outcome, index_slice
from rmail_kernel.storage.filesystem.layout import AccountPaths
from rmail_kernel.storage.ids import MailboxId, Uid
from rmail_kernel.storage.search import (
    Body,
    Text,
)
from tests.storage_contract.rig import ALICE, Opened, item, opened

INBOX = MailboxId(1)

pytestmark = pytest.mark.usefixtures("patience")


async def test_moves_copies_and_expunges_are_followed(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths
) -> None:
    await store.put(*(item(b"Subject: n\r\n\r\nneedle %d\r\n" % n) for n in range(4)))
    await mail.index(ALICE)
    archive = (await mail.status(ALICE, "Archive")).id
    await mail.move(ALICE, INBOX, [Uid(1)], "Archive")
    await mail.copy(ALICE, INBOX, [Uid(2)], "Archive")
    await mail.expunge(ALICE, INBOX, [Uid(3)], only_deleted=False)
    for _ in range(2):
        assert await mail.search(ALICE, INBOX, Body("needle")) == [2, 4]
        assert await mail.search(ALICE, archive, Body("needle")) == [1, 2]
        await mail.index(ALICE)
    assert rows(paths) == 4
    await mail.delete(ALICE, "Archive")
    await mail.index(ALICE)
    assert rows(paths) == 2


async def test_bitmaps_go_with_the_last_message_of_their_block(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths
) -> None:
    await store.put(*(item(b"Subject: n\r\n\r\nneedle\r\n") for _ in range(3)))
    await mail.index(ALICE)
    for gone, left in (([1], [2, 3]), ([2, 3], [])):
        await mail.expunge(ALICE, INBOX, list(map(Uid, gone)), only_deleted=False)
        await mail.index(ALICE)
        assert await mail.search(ALICE, INBOX, Body("ee")) == left
        db = apsw.Connection(str(paths.index))
        assert bool(schema.first(db, "SELECT 1 FROM short")) is bool(left)
        db.close()
    await store.put(item(b"\r\nneedle\r\n"))
    await mail.index(ALICE)
    assert await mail.search(ALICE, INBOX, Body("ee")) == [4]


def rows(paths: AccountPaths) -> int:
    """How many messages the index has."""
    db = apsw.Connection(str(paths.index))
    try:
        return int(schema.value(db, "SELECT count(*) FROM body_docsize"))
    finally:
        db.close()


@pytest.mark.parametrize("damage", ["deleted", "no database", "version", "cut", "unicode"])
async def test_an_index_that_cannot_be_used_changes_no_answer_and_is_made_anew(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths, damage: str
) -> None:
    await store.put(item(b"Subject: n\r\n\r\nneedle\r\n"))
    await mail.index(ALICE)
    assert await mail.search(ALICE, INBOX, Body("needle")) == [1]
    async with opened(store.root, check_after=False) as other:  # has nothing open yet
        _damage(paths, damage)
        for one in (other.mail, mail):
            assert await one.search(ALICE, INBOX, Body("needle")) == [1]
        assert isinstance(other.mail, FilesystemMailStore)
        await other.mail.index(ALICE)
    assert rows(paths) == 1
    assert await mail.search(ALICE, INBOX, Body("needle")) == [1]


def _damage(paths: AccountPaths, damage: str) -> None:
    match damage:
        case "deleted":
            paths.index.unlink()
        case "no database":
            paths.index.unlink()
            paths.index.write_bytes(b"this is none" * 1000)
        case "cut":
            fulltext.remove(paths)
            paths.index.write_bytes(b"")
        case _:
            change = (
                "PRAGMA user_version=99" if damage == "version" else "UPDATE made SET unicode=1"
            )
            db = apsw.Connection(str(paths.index))
            db.execute(change)
            db.close()


async def test_rows_of_another_uidvalidity_are_not_used(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths
) -> None:
    await store.put(item(b"Subject: n\r\n\r\nneedle\r\n"))
    await mail.index(ALICE)
    view = await mail.view(ALICE, INBOX)
    index = fulltext.Index(paths)
    assert index.foreknow(view, [Body("needle")])[Body("needle")].yes == {1}
    assert index.foreknow(replace(view, uidvalidity=1), [Body("needle")]) == {}
    index.close()


async def test_a_message_whose_file_cannot_be_read_is_left_to_the_search(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths
) -> None:
    await store.put(item(b"Subject: n\r\n\r\nneedle\r\n"), item(b"Subject: n\r\n\r\nneedle\r\n"))
    await mail.settle(ALICE)  # until then the database has them, too
    file = paths.mailboxes / "INBOX/0000/00000001_.eml"
    away = file.rename(paths.home / "away")
    await mail.index(ALICE)
    away.rename(file)
    assert await mail.search(ALICE, INBOX, Body("needle")) == [1, 2]


async def test_a_file_that_may_have_to_be_mended_is_not_what_is_indexed(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths
) -> None:
    raw = b"Subject: n\r\n\r\nneedle\r\n"
    await store.put(item(raw))
    file = paths.mailboxes / "INBOX/0000/00000001_.eml"
    file.write_bytes(bytes(len(raw)))  # as a power loss leaves it
    await mail.index(ALICE)
    assert await mail.search(ALICE, INBOX, Body("needle")) == [1]


async def test_only_one_process_indexes_an_account(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths
) -> None:
    await store.put(item())
    owner = Owner.of(store.root)
    with fulltext.locked(paths, owner, wait=False) as is_held:
        assert is_held
        assert index_slice(paths, owner, anew=False, wait=False) is Outcome.BUSY
    assert index_slice(paths, owner, anew=False, wait=False) is Outcome.DONE


async def test_a_slice_ends_at_its_limits(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexing, "SLICE", 2)
    monkeypatch.setattr(indexing, "GONE", 2)
    await store.put(*(item() for _ in range(5)))
    owner, counts = Owner.of(store.root), []
    while index_slice(paths, owner, anew=False, wait=False) is Outcome.MORE:
        counts.append(rows(paths))
    assert [*counts, rows(paths)] == [2, 4, 5]
    await mail.expunge(ALICE, INBOX, [Uid(1)], only_deleted=False)
    await mail.expunge(ALICE, INBOX, [Uid(uid) for uid in range(2, 5)], only_deleted=False)
    await mail.index(ALICE)
    assert await mail.search(ALICE, INBOX, Text("hello")) == [5]
    monkeypatch.setattr(indexing, "SLICE_BYTES", 1)
    await store.put(item(), item())
    before = rows(paths)
    assert index_slice(paths, owner, anew=False, wait=False) is Outcome.MORE
    assert rows(paths) == before + 1
    assert index_slice(paths, owner, anew=False, wait=False) is Outcome.DONE


async def test_repair_makes_the_index_anew(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths
) -> None:
    await store.put(item(b"Subject: n\r\n\r\nneedle\r\n"))
    await mail.index(ALICE)
    db = apsw.Connection(str(paths.index))
    db.execute("DELETE FROM body WHERE rowid=?", (INBOX << 32 | 1,))
    db.close()
    assert await mail.search(ALICE, INBOX, Body("needle")) == []
    await check(mail, ALICE, repair=True, progress=lambda *_: None)
    assert await mail.search(ALICE, INBOX, Body("needle")) == [1]


async def test_a_rebuilt_account_has_no_index_of_another_time(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths
) -> None:
    await store.put(item())
    await mail.index(ALICE)
    paths.database.unlink()
    await mail.status(ALICE, INBOX)
    assert not paths.index.exists()


async def test_the_check_of_an_index_waits_for_whoever_changes_it(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths
) -> None:
    await store.put(item())
    await mail.index(ALICE)
    owner = Owner.of(store.root)
    with fulltext.locked(paths, owner, wait=True):
        db = fulltext.connect(paths.index)
        db.execute("BEGIN IMMEDIATE")
        looking = asyncio.get_running_loop().run_in_executor(None, index_faults, paths, owner)
        done, _ = await asyncio.wait({looking}, timeout=1.5)  # longer than SQLite waits
        assert not done
        db.execute("COMMIT")
        db.close()
    assert await looking == []


async def test_an_index_that_is_being_made_is_no_fault(store: Opened, paths: AccountPaths) -> None:
    owner = Owner.of(store.root)
    loop = asyncio.get_running_loop()
    with fulltext.locked(paths, owner, wait=True):
        db = apsw.Connection(str(paths.index))
        db.execute("PRAGMA journal_mode=WAL")
        db.close()
        looking = loop.run_in_executor(None, index_faults, paths, owner)
        done, _ = await asyncio.wait({looking}, timeout=0.2)
        assert not done
        fulltext.create(paths, owner)
    assert await looking == []


async def test_a_process_that_dies_while_it_makes_the_index_leaves_no_half_of_one(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path) as store:
        await store.put(item(b"\r\nneedle\r\n"))
    paths = AccountPaths.of(tmp_path, ALICE)
    fulltext.remove(paths)
    maker = (
        "import asyncio, sys; from pathlib import Path;"
        "from rmail_kernel.storage.filesystem.disk import Owner;"
        "from rmail_kernel.storage.filesystem.indexing import index_slice;"
        "from tests.storage_filesystem.damage import paths; root = Path(sys.argv[1]);"
        "index_slice(paths(root), Owner.of(root), anew=True, wait=True)"
    )
    command = [sys.executable, "-c", maker, str(tmp_path)]
    died = subprocess.run(command, env={**os.environ, "RMAIL_FAILPOINT": "index.made"}, check=False)
    assert died.returncode == 137
    assert not paths.index.exists()
    assert index_faults(paths, Owner.of(tmp_path)) == []
    async with opened(tmp_path) as store:
        assert isinstance(store.mail, FilesystemMailStore)
        await store.mail.index(ALICE)
        assert await store.mail.search(ALICE, INBOX, Text("needle")) == [1]
    assert not list(paths.home.glob("search.db.new*"))
