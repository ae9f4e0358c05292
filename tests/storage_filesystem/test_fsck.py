"""The check of an account: each fault is found, repaired, and then gone."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable

import apsw
import pytest

from rmail_kernel.storage.filesystem import FilesystemMailStore, schema
from rmail_kernel.storage.filesystem.fsck import Report, check
from rmail_kernel.storage.filesystem.layout import AccountPaths
from rmail_kernel.storage.ids import MailboxId, Uid
from rmail_kernel.storage.mail import Field
from tests.storage_contract.rig import ALICE, MESSAGE, Opened, item
from tests.storage_contract.test_messages import fetched
from tests.storage_filesystem.scenario import state

INBOX = MailboxId(1)
Harm = Callable[[AccountPaths], object]


def _sql(text: str) -> Harm:
    def run(paths: AccountPaths) -> None:
        with schema.connect(paths.database) as db:
            db.execute(text)
        db.close()

    return run


def _shard(paths: AccountPaths) -> str:
    return str(paths.mailboxes / "INBOX" / "0000")


def _truncate(paths: AccountPaths) -> None:
    os.truncate(f"{_shard(paths)}/00000001_.eml", 5)


FAULTS: dict[str, Harm] = {
    "has no file": lambda p: os.unlink(f"{_shard(p)}/00000001_.eml"),
    "is not in the index": lambda p: shutil.copy(
        f"{_shard(p)}/00000001_.eml", f"{_shard(p)}/x.eml"
    ),
    "is not named after its flags": lambda p: os.rename(
        f"{_shard(p)}/00000001_.eml", f"{_shard(p)}/00000001_F.eml"
    ),
    "is one of several": lambda p: shutil.copy(
        f"{_shard(p)}/00000001_.eml", f"{_shard(p)}/00000001_S.eml"
    ),
    "bytes, not": _truncate,
    "counters say": _sql("UPDATE mailbox SET unseen=unseen+7, size_bytes=3 WHERE id=1"),
    "UIDNEXT is": _sql("UPDATE mailbox SET uidnext=2 WHERE id=1"),
    "the account says": _sql("UPDATE account SET used_bytes=1"),
    "status.json is missing": lambda p: os.unlink(p.mailboxes / "INBOX/status.json"),
    "status.json cannot be read": lambda p: shutil.copy(
        f"{_shard(p)}/00000001_.eml", p.mailboxes / "INBOX/status.json"
    ),
    "belongs to another mailbox": lambda p: shutil.copy(
        p.mailboxes / "Sent/status.json", p.mailboxes / "INBOX/status.json"
    ),
    "mail.json is missing": lambda p: os.unlink(p.counters),
    "other keywords": _sql("UPDATE mailbox SET keywords='[\"x\"]' WHERE id=1"),
    "another subscription": _sql("UPDATE mailbox SET subscribed=0 WHERE id=1"),
    "does not cover the UIDs": _sql("UPDATE mailbox SET uidnext=5000 WHERE id=1"),
    "does not cover the MODSEQs": _sql("UPDATE account SET modseq=500000"),
    "does not cover the mailbox ids": _sql("UPDATE account SET next_id=500"),
    "does not cover the UIDVALIDITYs": _sql("UPDATE account SET uidvalidity=4000000000"),
}
HEALED_BY_SETTLING = {
    "mail.json is missing",
    "does not cover the mailbox ids",
    "does not cover the UIDVALIDITYs",
}


async def _check(mail: FilesystemMailStore, *, repair: bool) -> Report:
    steps: list[tuple[int, int]] = []
    report = await check(mail, ALICE, repair, lambda done, total: steps.append((done, total)))
    assert steps[-1][0] == steps[-1][1] == len(steps) - 1
    return report


@pytest.mark.parametrize("text", FAULTS)
async def test_a_fault_is_found_repaired_and_gone(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths, text: str
) -> None:
    await store.put(item(), item(MESSAGE, "\\Seen"), item(mailbox="Sent"))
    await mail.settle(ALICE)
    FAULTS[text](paths)
    found = await _check(mail, repair=False)
    assert any(text in finding.text for finding in found.findings), found.findings
    assert not found.is_clean
    repaired = await _check(mail, repair=True)
    is_met_again = any(text in finding.text for finding in repaired.findings)
    assert is_met_again == (text not in HEALED_BY_SETTLING)
    assert repaired.is_clean
    assert (await _check(mail, repair=False)).findings == []
    everything = await state(mail)
    view = await mail.view(ALICE, INBOX)
    assert len(everything["INBOX"]) == view.total + 1
    assert len(await fetched(store, list(map(int, view.uids)), Field.CONTENT)) == view.total


async def test_a_sound_account_is_clean_and_untouched(
    store: Opened, mail: FilesystemMailStore
) -> None:
    await store.put(*(item() for _ in range(30)), item(mailbox="Sent"))
    await mail.store_flags(ALICE, INBOX, [Uid(3)], "add", frozenset({"\\Deleted", "x"}))
    await mail.expunge(ALICE, INBOX, None)
    before = await mail.mailboxes(ALICE)
    for repair in (False, True):
        report = await _check(mail, repair=repair)
        assert (report.findings, report.messages) == ([], 30)
    assert await mail.mailboxes(ALICE) == before


async def test_a_damaged_page_is_reported_or_rebuilt(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths
) -> None:
    await store.put(*(item() for _ in range(200)))
    await mail.settle(ALICE)
    with apsw.Connection(str(paths.database)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    size = paths.database.stat().st_size
    with paths.database.open("r+b") as file:
        file.seek(size // 2)
        file.write(os.urandom(size // 2))
    await _check(mail, repair=True)
    assert (await _check(mail, repair=True)).is_clean
    assert (await mail.view(ALICE, INBOX)).total == 200


async def test_a_broken_index_of_the_database_is_reported_then_made_anew(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths
) -> None:
    await store.put(*(item() for _ in range(50)))
    await mail.settle(ALICE)
    _sql(
        "PRAGMA writable_schema=1; DELETE FROM sqlite_schema WHERE name='message_modseq';"
        "PRAGMA schema_version=1000"
    )(paths)
    found = await _check(mail, repair=False)
    assert any("account.db: " in one.text and not one.repaired for one in found.findings)
    assert (await _check(mail, repair=True)).is_clean
    assert (await _check(mail, repair=False)).findings == []
    assert (await mail.view(ALICE, INBOX)).total == 50


async def test_messages_that_the_full_text_index_lost_are_missed_and_found_again(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths
) -> None:
    await store.put(*(item() for _ in range(5)))
    await mail.index(ALICE)
    with apsw.Connection(str(paths.index)) as db:
        db.execute("DELETE FROM body WHERE rowid IN (SELECT id FROM body_docsize LIMIT 2)")
    db.close()
    found = await _check(mail, repair=False)
    assert [one.text for one in found.findings] == [
        "search.db lacks 2 messages that it should have"
    ]
    assert (await _check(mail, repair=True)).is_clean
    assert (await _check(mail, repair=False)).findings == []


async def test_repair_forgets_the_ids_of_threads_that_are_gone(
    store: Opened, mail: FilesystemMailStore
) -> None:
    reply = b"Message-ID: <b@x>\r\nReferences: <a@x>\r\n\r\n"
    await store.put(
        item(b"Message-ID: <a@x>\r\n\r\n"), item(reply), item(b"Message-ID: <c@x>\r\n\r\n")
    )
    before = [one.thread_id for one in await fetched(store, [2], Field.IDS)]
    await mail.expunge(ALICE, MailboxId(1), [Uid(1), Uid(3)], only_deleted=False)
    await check(mail, ALICE, repair=True, progress=lambda *_: None)
    assert await mail.transact(ALICE, lambda tx: schema.value(tx.db, _REFERENCES)) == 2
    await store.put(item(b"References: <a@x>\r\n\r\n"))
    assert [one.thread_id for one in await fetched(store, [4], Field.IDS)] == before


_REFERENCES = "SELECT count(*) FROM reference"
