"""Data of every earlier version of everything on disk is opened, and nothing that was answered
under the old version is lost.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import apsw
import pytest

from rmail_kernel.clock import Clock
from rmail_kernel.storage.filesystem import (
    STORE_VERSION,
    FilesystemMailStore,
    fulltext,
    prepare_root,
    schema,
)
from rmail_kernel.storage.filesystem.layout import AccountPaths
from rmail_kernel.storage.filesystem.state import SCHEMA_VERSION, SqliteState
from rmail_kernel.storage.ids import MailboxId, Uid
from rmail_kernel.storage.mail import Field
from rmail_kernel.storage.search import Text
from rmail_kernel.testing import FakeClock
from tests.migration.original import write_store
from tests.storage_contract.rig import ALICE, Opened, item, opened
from tests.storage_filesystem.scenario import state

OLD = Path(__file__).parent / "old"
DATABASES = sorted(OLD.glob("account_db_v*.sql"))
RAW = b"Subject: %s\r\n\r\n"
INBOX = MailboxId(1)


def _old_account(root: Path, database: Path) -> AccountPaths:
    """An account whose process died under an older program, after the changes that the SQL file
    tells were answered and before the files followed.
    """
    paths = AccountPaths.of(root, ALICE)
    shard = paths.mailboxes / "INBOX/0000"
    shard.mkdir(parents=True)
    status: dict[str, object] = {
        "version": 1,
        "uid_validity": 1700000000,
        "uid_next": 2,
        "uid_reserved": 1001,
    }
    status |= {"id": 1, "objectid": "M1", "subscribed": True, "keywords": ["$K"]}
    (shard.parent / "status.json").write_text(json.dumps(status))
    counters = {"version": 1, "modseq": 1, "modseq_reserved": 10001, "next_id": 2}
    paths.counters.write_text(json.dumps(counters | {"uid_validity": 1700000000}))
    for uid, subject in ((1, b"one--"), (2, b"two--"), (3, b"three")):
        file = shard / f"{uid:08d}_.eml"
        file.write_bytes(RAW % subject)
        os.utime(file, (1_600_000_000 + uid,) * 2)
    with apsw.Connection(str(paths.database)) as db:
        db.execute(database.read_text())
    db.close()
    return paths


@pytest.mark.parametrize("database", DATABASES, ids=lambda path: path.stem)
@pytest.mark.parametrize("is_renumbered", [False, True])
async def test_an_account_database_of_another_version_gives_up_what_only_it_knows(
    tmp_path: Path, database: Path, is_renumbered: bool
) -> None:
    version = int(database.stem.rpartition("v")[2])
    async with opened(tmp_path, clock=FakeClock()):
        pass
    paths = _old_account(tmp_path, database)
    if is_renumbered:  # a version of which nothing is known but these tables
        _set_version(paths.database, 99)
    async with opened(tmp_path, clock=FakeClock()) as store:
        found = (await state(store.mail))["INBOX"][1:]
        expected = [[1, [], 1_600_000_001.0, "Subject: one--\r\n\r\n"]]
        expected += [[3, ["$K", "\\Seen"], 1_600_000_003.0, "Subject: three\r\n\r\n"]]
        if version > 1:
            expected += [[7, [], 1_600_000_007.0, "Subject: seven\r\n\r\n"]]
        assert found == expected
        status = await store.mail.status(ALICE, INBOX)
        assert status.uidvalidity == 1700000000
        assert (await store.put(item()))[0].uid >= status.uidnext > 7
    assert paths.database.with_name("account.db.damaged").exists() == is_renumbered
    with apsw.Connection(str(paths.database)) as db:
        assert schema.value(db, "PRAGMA user_version") == schema.VERSION
    db.close()


@pytest.mark.parametrize("version", [v for v in range(6) if v != schema.VERSION])
async def test_an_account_database_of_any_other_version_is_made_anew(
    tmp_path: Path, version: int
) -> None:
    async with opened(tmp_path, clock=FakeClock()) as store:
        await store.put(item(), item())
        before = await state(store.mail)
    paths = AccountPaths.of(tmp_path, ALICE)
    _set_version(paths.database, version)
    async with opened(tmp_path, clock=FakeClock()) as store:
        assert await state(store.mail) == before


def _set_version(path: Path, version: int) -> None:
    with apsw.Connection(str(path)) as db:
        db.execute(f"PRAGMA user_version={version}")
    db.close()


@pytest.mark.parametrize("version", [v for v in range(4) if v != fulltext.VERSION])
async def test_a_full_text_index_of_another_version_is_made_anew(
    tmp_path: Path, version: int
) -> None:
    async with opened(tmp_path) as store:
        await store.put(item())
        await _index(store)
    _set_version(AccountPaths.of(tmp_path, ALICE).index, version)
    async with opened(tmp_path) as store:
        assert await store.mail.search(ALICE, INBOX, Text("line")) == [Uid(1)]
        await _index(store)
    with apsw.Connection(str(AccountPaths.of(tmp_path, ALICE).index)) as db:
        assert schema.value(db, "PRAGMA user_version") == fulltext.VERSION
    db.close()


async def _index(store: Opened) -> None:
    assert isinstance(store.mail, FilesystemMailStore)
    await store.mail.index(ALICE)


@pytest.mark.parametrize("version", [v for v in range(1, 4) if v != SCHEMA_VERSION])
async def test_shared_state_of_another_version_is_begun_anew(tmp_path: Path, version: int) -> None:
    shared = SqliteState(tmp_path / "state.db", Clock())
    await shared.hit("k", 60)
    await shared.close()
    _set_version(tmp_path / "state.db", version)
    shared = SqliteState(tmp_path / "state.db", Clock())
    assert await shared.hit("k", 60)
    await shared.close()
    assert list(tmp_path.glob("state.db.unreadable-*"))


async def test_records_and_mailboxes_without_a_version_are_read(tmp_path: Path) -> None:
    write_store(tmp_path)
    async with opened(tmp_path) as store:
        assert json.loads((tmp_path / "store.json").read_bytes()) == {"version": STORE_VERSION}
        account = await store.directory.by_id(ALICE)
        assert account is not None
        assert account.password_hash.startswith("pbkdf2_sha256$")
        assert [alias.pattern for alias in await store.directory.aliases("example.com")] == [
            "sales-.*",
            ".*",
        ]
        status = await store.mail.status(ALICE, "INBOX")
        assert (status.uidvalidity, status.uidnext, status.total) == (1700000000, 1042, 5)
        assert status.is_subscribed
        async for some in store.mail.fetch(ALICE, status.id, [Uid(41)], Field.NONE):
            assert some[0].flags == 13


def test_a_store_without_store_json_gets_one(tmp_path: Path) -> None:
    prepare_root(tmp_path)
    (tmp_path / "store.json").unlink()
    prepare_root(tmp_path)
    assert json.loads((tmp_path / "store.json").read_bytes()) == {"version": STORE_VERSION}
