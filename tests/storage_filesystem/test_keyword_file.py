"""Keywords for which file names have no letters: keywords.json follows, and a rebuild reads it."""

from __future__ import annotations

import json
import shutil

import apsw
import pytest

from rmail_kernel.storage.filesystem import FilesystemMailStore
from rmail_kernel.storage.filesystem.fsck import check
from rmail_kernel.storage.filesystem.layout import AccountPaths
from rmail_kernel.storage.ids import MailboxId, Uid
from rmail_kernel.storage.mail import LETTER_KEYWORDS
from rmail_kernel.testing import FakeClock
from tests.storage_contract.rig import ALICE, MESSAGE, Opened, item
from tests.storage_filesystem.damage import harm
from tests.storage_filesystem.scenario import state

INBOX = MailboxId(1)
NAMES = [f"k{index:02}" for index in range(LETTER_KEYWORDS + 3)]
EXTRA = NAMES[LETTER_KEYWORDS:]


async def _fill(store: Opened, mail: FilesystemMailStore) -> None:
    await store.put(item(MESSAGE, *NAMES), item(MESSAGE, "\\Seen"), item(MESSAGE, *EXTRA[:2]))
    await mail.store_flags(ALICE, INBOX, [Uid(2)], "add", frozenset(EXTRA[2:]))
    await mail.store_flags(ALICE, INBOX, [Uid(3)], "remove", frozenset(EXTRA[:1]))
    await mail.copy(ALICE, INBOX, [Uid(1)], "Sent")
    await mail.settle(ALICE)


def _said(paths: AccountPaths, mailbox: str = "INBOX") -> object:
    return json.loads((paths.mailboxes / mailbox / "keywords.json").read_text())["messages"]


async def test_the_file_follows_the_rows(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths
) -> None:
    await _fill(store, mail)
    assert _said(paths) == {"1": EXTRA, "2": EXTRA[2:], "3": EXTRA[1:2]}
    await mail.store_flags(ALICE, INBOX, [Uid(1), Uid(2), Uid(3)], "remove", frozenset(NAMES))
    await mail.settle(ALICE)
    assert _said(paths) == {}


async def test_without_such_keywords_there_is_no_file(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths
) -> None:
    await store.put(item(MESSAGE, *NAMES[:LETTER_KEYWORDS]))
    await mail.store_flags(ALICE, INBOX, [Uid(1)], "remove", frozenset(NAMES[:3]))
    await mail.settle(ALICE)
    assert not (paths.mailboxes / "INBOX/keywords.json").exists()


async def test_a_rebuild_brings_them_back(store: Opened, mail: FilesystemMailStore) -> None:
    await _fill(store, mail)
    before = await state(mail)
    harm(store.root, "deleted")
    assert await state(mail) == before
    await mail.rename(ALICE, "Sent", "Gone")
    harm(store.root, "deleted")
    assert (await state(mail))["Gone"][1:] == before["Sent"][1:]


@pytest.mark.parametrize(
    "text", ["torn", "[]", "{}", '{"messages": {"x": 1, "1": "k27", "2": [1, null], "3": {}}}']
)
async def test_a_file_that_cannot_be_read_costs_no_more_than_its_keywords(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths, text: str
) -> None:
    await _fill(store, mail)
    (paths.mailboxes / "INBOX/keywords.json").write_text(text)
    harm(store.root, "deleted")
    view = await mail.view(ALICE, INBOX)
    assert view.flag_names(view.flags[0]) == NAMES[:LETTER_KEYWORDS]
    assert (await mail.status(ALICE, "INBOX")).unseen == 2
    await check(mail, ALICE, repair=True, progress=lambda *_: None)


async def test_a_rename_from_outside_leaves_them(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths, clock: FakeClock
) -> None:
    await _fill(store, mail)
    shard = paths.mailboxes / "INBOX/0000"
    (shard / "00000002_S.eml").rename(shard / "00000002_F.eml")
    clock.advance(2)
    view = await mail.view(ALICE, INBOX)
    assert view.flag_names(view.flags[1]) == ["\\Flagged", *EXTRA[2:]]
    await mail.settle(ALICE)


async def test_a_copied_mailbox_has_them_too(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths, clock: FakeClock
) -> None:
    await _fill(store, mail)
    shutil.copytree(paths.mailboxes / "INBOX", paths.mailboxes / "Copy")
    clock.advance(2)
    found = await state(mail)
    assert [row[1] for row in found["Copy"][1:]] == [row[1] for row in found["INBOX"][1:]]


async def test_fsck_finds_and_repairs_a_file_that_differs(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths
) -> None:
    await _fill(store, mail)
    path = paths.mailboxes / "INBOX/keywords.json"
    path.write_text('{"version": 1, "messages": {"1": ["k26"], "99": ["k26"]}}')
    report = await check(mail, ALICE, repair=False, progress=lambda *_: None)
    assert [one.text for one in report.findings] == ["keywords.json has other keywords of messages"]
    await check(mail, ALICE, repair=True, progress=lambda *_: None)
    assert _said(paths) == {"1": EXTRA, "2": EXTRA[2:], "3": EXTRA[1:2]}


async def test_a_database_that_is_set_aside_is_heard_first(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths
) -> None:
    await _fill(store, mail)
    before = await state(mail)
    (paths.mailboxes / "INBOX/keywords.json").unlink()  # as if it had not followed yet
    aside = paths.home / "aside"
    db = apsw.Connection(str(paths.database))
    db.execute("VACUUM INTO ?", (str(aside),))
    db.close()
    with apsw.Connection(str(aside)) as db:
        db.execute("UPDATE message SET named = ~named; PRAGMA user_version = 99")
    db.close()
    aside.replace(paths.database)
    for suffix in ("-wal", "-shm"):
        paths.database.with_name(f"account.db{suffix}").unlink(missing_ok=True)
    assert await state(mail) == before
