"""Stores of earlier versions, as those versions left them, are opened without a loss."""

from __future__ import annotations

import tarfile
from collections.abc import AsyncIterator
from pathlib import Path

import apsw
import pytest

from rmail_kernel.storage.filesystem import FilesystemMailStore, schema
from rmail_kernel.storage.filesystem.layout import AccountPaths
from rmail_kernel.storage.ids import MailboxId, ModSeq, Uid
from rmail_kernel.storage.mail import Field
from rmail_kernel.storage.search import HasThreadId
from rmail_kernel.testing import FakeClock
from tests.storage_contract.rig import ALICE, Opened, item, opened
from tests.storage_contract.test_messages import fetched
from tests.storage_filesystem.damage import harm

INBOX = MailboxId(1)
STORES = Path(__file__).parent / "stores"
VERSIONS = [1, 2]
ALL = Field.IDS | Field.KEYS | Field.PREVIEW | Field.ENVELOPE | Field.STRUCTURE


@pytest.fixture(params=VERSIONS)
async def old(
    request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock
) -> AsyncIterator[Opened]:
    """A store of an earlier version, opened."""
    with tarfile.open(STORES / f"v{request.param}.tar.gz") as archive:
        archive.extractall(tmp_path / "store", filter="data")
    database = AccountPaths.of(tmp_path / "store", ALICE).database
    with apsw.Connection(str(database)) as db:
        assert schema.value(db, "PRAGMA user_version") == request.param
    db.close()
    async with opened(tmp_path / "store", clock=clock) as found:
        yield found


def test_every_earlier_version_has_a_store_to_try() -> None:
    assert [*VERSIONS, schema.VERSION] == list(range(1, schema.VERSION + 1))


async def test_uids_modseqs_flags_and_expunges_stay(old: Opened) -> None:
    changes = await old.mail.changes(ALICE, INBOX, ModSeq(1))
    assert not changes.is_truncated
    assert [(one.uid, one.flags, one.modseq) for one in changes.changed] == [
        (1, 72, 2),
        (2, 8, 8),
        (3, 4, 4),
    ]
    assert list(changes.vanished) == [4]
    assert changes.keywords == ("$Work",)
    (stored,) = await old.put(item())
    assert (stored.uid, stored.modseq) == (5, 11)


async def test_pages_get_checksums(tmp_path: Path, old: Opened) -> None:
    if not schema._HAS_CHECKSUMS:
        pytest.skip("this apsw has no cksumvfs")
    await old.mail.mailboxes(ALICE)
    paths = AccountPaths.of(tmp_path / "store", ALICE)
    db = schema.connect(paths.database)
    assert db.reserve_bytes("main") == 8
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    raw = paths.database.read_bytes()
    size = schema.value(db, "PRAGMA page_size")
    pages = [raw[at : at + size] for at in range(0, len(raw), size)]
    assert all(schema.value(db, "SELECT verify_checksum(?)", page) == 1 for page in pages)
    db.close()


async def test_what_is_new_is_made_from_the_files_when_it_is_asked_for(old: Opened) -> None:
    found = await fetched(old, [1, 2, 3], ALL)
    assert len({one.thread_id for one in found}) == 1
    assert len({one.email_id for one in found}) == 3
    assert [one.preview for one in found] == [f"Text number {n}." for n in (1, 2, 3)]
    assert [one.keys.base_subject for one in found if one.keys] == ["Hello"] * 3
    (copied,) = await fetched(old, [1], ALL, "Archive")
    assert copied.email_id == found[0].email_id


async def test_a_search_by_thread_sees_what_is_not_computed_yet(old: Opened) -> None:
    (found,) = await fetched(old, [2], Field.IDS)
    assert await old.mail.search(ALICE, INBOX, HasThreadId(found.thread_id or "")) == [1, 2, 3]


async def test_copies_of_what_is_not_computed_yet_are_computed(old: Opened) -> None:
    await old.mail.copy(ALICE, INBOX, [Uid(1), Uid(3)], "Sent")
    copies = await fetched(old, [1, 2], ALL, "Sent")
    originals = await fetched(old, [1, 3], ALL)
    assert [one.email_id for one in copies] == [one.email_id for one in originals]


async def test_in_the_background_everything_is_computed(old: Opened) -> None:
    assert isinstance(old.mail, FilesystemMailStore)
    await old.mail.complete(ALICE)
    left = await old.mail.transact(ALICE, lambda tx: schema.value(tx.db, _LEFT))
    assert left == 0
    assert len(await fetched(old, [1, 2, 3], ALL)) == 3


async def test_ids_survive_the_loss_of_the_database(store: Opened) -> None:
    reply = b"Message-ID: <b@x>\r\nReferences: <a@x>\r\n\r\nb\r\n"
    for raw in (b"Message-ID: <a@x>\r\n\r\na\r\n", reply):
        await store.put(item(raw))
    fields = Field.IDS | Field.KEYS | Field.PREVIEW
    before = [
        (one.email_id, one.thread_id, one.keys) for one in await fetched(store, [1, 2], fields)
    ]
    harm(store.root, "deleted")
    await fetched(store, [2], fields)  # in another order
    after = [
        (one.email_id, one.thread_id, one.keys) for one in await fetched(store, [1, 2], fields)
    ]
    assert after == before


async def test_a_foreign_database_of_an_old_number_is_set_aside(
    store: Opened, paths: AccountPaths
) -> None:
    await store.put(item())
    assert isinstance(store.mail, FilesystemMailStore)
    await store.mail.settle(ALICE)
    aside = paths.database.with_name("foreign")
    with apsw.Connection(str(aside)) as db:
        db.execute("CREATE TABLE message (x); PRAGMA user_version=2")
    db.close()
    aside.replace(paths.database)
    assert (await store.mail.view(ALICE, "INBOX")).total == 1


_LEFT = (
    "SELECT (SELECT count(*) FROM undigested)"
    " + (SELECT count(*) FROM message) - (SELECT count(*) FROM digest)"
)
