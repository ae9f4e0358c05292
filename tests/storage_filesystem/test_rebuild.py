"""The database is lost or damaged: everything that users see comes back from the files."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import pytest

from rmail_kernel.storage.filesystem import FilesystemMailStore, schema
from rmail_kernel.storage.filesystem.followup import AT_ONCE
from rmail_kernel.storage.filesystem.fsck import check
from rmail_kernel.storage.filesystem.layout import AccountPaths
from rmail_kernel.storage.ids import MailboxId, ModSeq, Uid
from rmail_kernel.storage.mail import MAX_ABSENT_SUBSCRIPTIONS, Field
from rmail_kernel.testing import FakeClock
from tests.storage_contract.rig import ALICE, MESSAGE, Opened, item, opened
from tests.storage_contract.test_messages import fetched
from tests.storage_filesystem.damage import KINDS, harm, next_turn
from tests.storage_filesystem.scenario import state

INBOX = MailboxId(1)


async def _fill(store: Opened, mail: FilesystemMailStore) -> None:
    await store.put(item(MESSAGE, "\\Seen", "$A"), item(), item(MESSAGE, "$B", mailbox="Sent"))
    await mail.create(ALICE, "Work/Now")
    await mail.copy(ALICE, INBOX, [Uid(1)], "Work/Now")
    await mail.subscribe(ALICE, "Work/Now", True)
    await mail.expunge(ALICE, INBOX, [Uid(2)], only_deleted=False)
    await mail.settle(ALICE)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "older"])
async def test_all_comes_back_while_the_server_runs(
    store: Opened, mail: FilesystemMailStore, kind: str
) -> None:
    await _fill(store, mail)
    before = {status.name: status for status in await mail.mailboxes(ALICE)}
    seen = await state(mail)
    harm(store.root, kind)
    assert await state(mail) == seen
    for status in await mail.mailboxes(ALICE):
        old = before[status.name]
        assert (status.id, status.uidvalidity, status.objectid, status.special_use) == (
            old.id,
            old.uidvalidity,
            old.objectid,
            old.special_use,
        )
        assert status.uidnext >= old.uidnext
        assert status.highestmodseq >= old.highestmodseq
        assert (status.total, status.unseen, status.size_bytes) == (
            old.total,
            old.unseen,
            old.size_bytes,
        )


@pytest.mark.parametrize("kind", ["deleted", "all-deleted"])
async def test_what_no_file_says_yet_outlives_a_database_that_is_deleted(
    store: Opened, mail: FilesystemMailStore, kind: str
) -> None:
    many = 2 * AT_ONCE
    uids = [one.uid for one in await store.put(*(item() for _ in range(2 * many)))]
    await mail.store_flags(ALICE, INBOX, uids[:many], "add", frozenset({"\\Seen", "$A"}))
    await mail.expunge(ALICE, INBOX, uids[many:], only_deleted=False)
    seen = await state(mail)
    harm(store.root, kind)
    assert await state(mail) == seen
    status = await mail.status(ALICE, INBOX)
    assert (status.total, status.unseen) == (many, 0)


async def test_an_account_of_the_same_name_gets_nothing_of_the_one_before(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths
) -> None:
    await store.put(item())  # its row has the content until it is settled
    shutil.move(paths.home, store.root / "removed")
    paths.mailbox("INBOX").mkdir(parents=True)
    shutil.copy(store.root / "removed/account.json", paths.home)
    assert (await mail.status(ALICE, "INBOX")).total == 0
    assert list(paths.home.rglob("*.eml")) == []


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "older"])
async def test_two_processes_go_on_after_the_database_was_lost(
    store: Opened, mail: FilesystemMailStore, clock: FakeClock, kind: str
) -> None:
    await _fill(store, mail)
    async with opened(store.root, clock=clock, check_after=False) as other:
        await other.mail.view(ALICE, "INBOX")
        harm(store.root, kind)
        found = await asyncio.gather(
            *(one.put(item()) for one in (store, other) for _ in range(10)), return_exceptions=True
        )
        uids = [one[0].uid for one in found if not isinstance(one, BaseException)]
        assert len(uids) == len(set(uids)) == 20
        assert min(uids) > 2
        views = [await one.mail.view(ALICE, "INBOX") for one in (store, other)]
        assert list(views[0].uids) == list(views[1].uids) == [1, *sorted(uids)]


async def test_a_log_is_lost_while_somebody_reads_an_older_state(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths
) -> None:
    await store.put(item())
    reader = schema.connect(paths.database)
    reader.execute("BEGIN")
    assert schema.value(reader, "SELECT count(*) FROM message") == 1  # holds the log to here
    await store.put(item(), item())
    harm(store.root, "log-lost")
    assert (await store.put(item()))[0].uid > 3
    assert len((await mail.view(ALICE, INBOX)).uids) == 4
    reader.close()
    assert len((await mail.view(ALICE, INBOX)).uids) == 4


async def test_modseq_never_goes_back_and_clients_must_resynchronise(
    store: Opened, mail: FilesystemMailStore
) -> None:
    await _fill(store, mail)
    before = await mail.status(ALICE, "INBOX")
    harm(store.root, "deleted")
    await next_turn()
    changes = await mail.changes(ALICE, INBOX, before.highestmodseq)
    assert changes.is_truncated
    assert [one.uid for one in changes.changed] == [1]
    assert changes.upto > before.highestmodseq
    (stored,) = await store.put(item())
    assert stored.modseq > changes.upto
    assert not (await mail.changes(ALICE, INBOX, changes.upto)).is_truncated


async def test_without_any_counters_modseq_and_uidvalidity_still_rise(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths
) -> None:
    await _fill(store, mail)
    before = await mail.status(ALICE, "INBOX")
    paths.counters.unlink()
    (paths.mailboxes / "INBOX/status.json").write_text("broken")
    harm(store.root, "deleted")
    await next_turn()
    after = await mail.status(ALICE, "INBOX")
    assert after.highestmodseq > before.highestmodseq
    assert after.uidvalidity > before.uidvalidity
    assert after.total == 1


async def test_uids_of_expunged_messages_are_not_given_out_again(
    store: Opened, mail: FilesystemMailStore
) -> None:
    await store.put(*(item() for _ in range(5)))
    await mail.expunge(ALICE, INBOX, None, only_deleted=False)
    harm(store.root, "deleted")  # before anything was settled
    (stored,) = await store.put(item())
    assert stored.uid > 5


async def test_an_older_copy_of_the_database_is_noticed(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths
) -> None:
    await store.put(item())
    await mail.settle(ALICE)
    shutil.copyfile(paths.database, store.root / "older.db")
    await store.put(item(), item())
    await mail.store_flags(ALICE, INBOX, [Uid(1)], "add", frozenset({"\\Seen"}))
    before = await mail.status(ALICE, "INBOX")
    await mail.settle(ALICE)
    harm(store.root, "older")
    view = await mail.view(ALICE, "INBOX")
    assert (list(view.uids), view.flags[0]) == ([1, 2, 3], 8)
    assert view.modseq > before.highestmodseq
    assert view.uidnext >= before.uidnext


async def test_envelopes_are_computed_again_when_they_are_asked_for(
    store: Opened, mail: FilesystemMailStore
) -> None:
    await store.put(item(), item(b""))
    fields = Field.ENVELOPE | Field.BODYSTRUCTURE | Field.HEADERS | Field.STRUCTURE | Field.BODY
    before = await fetched(store, [1, 2], fields)
    modseq = (await mail.status(ALICE, "INBOX")).highestmodseq
    harm(store.root, "deleted")
    await next_turn()
    for _ in range(2):
        after = await fetched(store, [1, 2], fields)
        for old, new in zip(before, after, strict=True):
            new.modseq, new.save_date = old.modseq, old.save_date
            assert new == old
    assert (await mail.status(ALICE, "INBOX")).highestmodseq > modseq


async def test_a_damaged_database_is_kept_aside(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths
) -> None:
    await store.put(item())
    harm(store.root, "overwritten")
    await mail.view(ALICE, "INBOX")
    assert paths.database.with_name("account.db.damaged").read_bytes().startswith(b"this is no")


async def test_a_store_of_the_first_layout_is_taken_over(
    store: Opened, paths: AccountPaths
) -> None:
    paths.home.mkdir(exist_ok=True)
    for name, validity in (("INBOX", 1700000000), ("Sent", 1700000001)):
        shard = paths.mailboxes / name / "0000"
        shard.mkdir(parents=True)
        (shard.parent / "status.json").write_text(
            json.dumps({"uid_validity": validity, "uid_next": 42})
        )
        (shard / "00000001_.eml").write_bytes(MESSAGE)
        (shard / "00000041_AFS.eml").write_bytes(MESSAGE)
    status = await store.mail.status(ALICE, "INBOX")
    assert (status.uidvalidity, status.uidnext, status.total) == (1700000000, 42, 2)
    view = await store.mail.view(ALICE, "INBOX")
    assert view.flag_names(view.flags[1]) == ["\\Answered", "\\Flagged", "\\Seen"]
    assert (await store.mail.status(ALICE, "Sent")).special_use == "\\Sent"
    assert (await store.mail.create(ALICE, "New")).uidvalidity > 1700000001


async def test_two_files_of_one_uid_become_two_messages(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths
) -> None:
    await store.put(item(), item())
    await mail.settle(ALICE)
    shard = paths.mailboxes / "INBOX/0000"
    shutil.copyfile(shard / "00000001_.eml", shard / "00000001_F.eml")
    (shard / "stray.eml").write_bytes(b"Subject: stray\r\n\r\n")
    (shard / "00005000_.eml").write_bytes(b"Subject: astray\r\n\r\n")
    harm(store.root, "deleted")
    view = await mail.view(ALICE, "INBOX")
    assert view.total == 5
    assert list(view.uids[:2]) == [1, 2]
    assert len(list(paths.mailboxes.glob("INBOX/*/*.eml"))) == 5


async def test_a_process_that_was_killed_leaves_a_log_that_counts(tmp_path: Path) -> None:
    async with opened(tmp_path / "one", clock=FakeClock()) as store:
        await store.put(item())
        shutil.copytree(tmp_path / "one", tmp_path / "two")  # with its -wal, as after kill -9
    async with opened(tmp_path / "two", clock=FakeClock()) as store:
        found = await store.mail.changes(ALICE, INBOX, ModSeq(0))
        assert [one.uid for one in found.changed] == [1]
        assert not found.is_truncated


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "older"])
async def test_what_a_killed_process_left_is_noticed_when_it_is_not_whole(
    tmp_path: Path, kind: str
) -> None:
    async with opened(tmp_path / "one", clock=FakeClock()) as store:
        await store.put(item(), item())
    async with opened(tmp_path / "one", clock=FakeClock()) as store:
        await store.put(item(), item())
        await store.mail.expunge(ALICE, INBOX, [Uid(4)], only_deleted=False)
        before = await store.mail.view(ALICE, INBOX)
        shutil.copytree(tmp_path / "one", tmp_path / "two")  # with its -wal, as after kill -9
    harm(tmp_path / "two", kind)
    async with opened(tmp_path / "two", clock=FakeClock()) as store:
        stored = await store.put(item())
        after = await store.mail.view(ALICE, INBOX)
        assert stored[0].uid > 4
        assert list(after.uids) == [1, 2, 3, stored[0].uid]
        assert after.uidvalidity == before.uidvalidity
        assert after.modseq > before.modseq
        changes = await store.mail.changes(ALICE, INBOX, before.modseq)
        assert changes.is_truncated or kind == "log-index-lost"  # which loses nothing


async def test_without_the_counters_modseq_rises_above_what_the_lock_says(tmp_path: Path) -> None:
    async with opened(tmp_path / "store", clock=FakeClock()) as store:
        await store.put(item())
    paths = AccountPaths.of(tmp_path / "store", ALICE)
    high = 1 << 50  # above all that the clock tells
    paths.lock.write_text(f"modseq {high:020d}\n")
    paths.counters.unlink()
    async with opened(tmp_path / "store", clock=FakeClock()) as store:
        assert (await store.mail.view(ALICE, INBOX)).modseq > high


@pytest.mark.parametrize("text", ["modseq 99999999999999999999\n", "modse", "\0" * 28, "\0" * 99])
async def test_nonsense_in_the_lock_is_not_believed(tmp_path: Path, text: str) -> None:
    async with opened(tmp_path / "store", clock=FakeClock()) as store:
        await store.put(item())
        before = await store.mail.view(ALICE, INBOX)
    AccountPaths.of(tmp_path / "store", ALICE).lock.write_text(text)
    async with opened(tmp_path / "store", clock=FakeClock()) as store:
        after = await store.mail.view(ALICE, INBOX)
        assert (list(after.uids), after.modseq) == (list(before.uids), before.modseq)
        assert (await store.put(item()))[0].uid == 2


async def test_annotations_live_without_the_database_and_through_a_torn_file(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths
) -> None:
    await mail.annotate(ALICE, "INBOX", {"/private/a": b"x", "/shared/b": b"\xff"})
    await mail.annotate(ALICE, None, {"/private/c": b"y"})
    harm(store.root, "deleted")
    assert await mail.annotations(ALICE, "INBOX") == {"/private/a": b"x", "/shared/b": b"\xff"}
    assert await mail.annotations(ALICE, None) == {"/private/c": b"y"}
    (paths.home / "annotations.json").write_text("{torn")
    assert await mail.annotations(ALICE, None) == {}
    found = json.loads((paths.mailboxes / "INBOX/status.json").read_text())
    found["annotations"] |= {"/private/d": 1, "/private/e": {"base64": "*"}, "/private/f": None}
    (paths.mailboxes / "INBOX/status.json").write_text(json.dumps(found))
    assert sorted(await mail.annotations(ALICE, "INBOX")) == ["/private/a", "/shared/b"]
    await mail.annotate(ALICE, None, {"/private/c": b"z"})
    assert await mail.annotations(ALICE, None) == {"/private/c": b"z"}


async def test_the_special_use_is_what_the_row_says(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths
) -> None:
    """Older versions let clients keep anything as /private/specialuse."""
    use, comment = "/private/specialuse", "/private/comment"
    await mail.create(ALICE, "Work")
    await mail.annotate(ALICE, "Work", {comment: b"a"})
    path = paths.mailboxes / "Work/status.json"
    found = json.loads(path.read_text())
    found["annotations"][use] = "\\Old"
    path.write_text(json.dumps(found))
    assert await mail.annotations(ALICE, "Work") == {comment: b"a"}
    await mail.annotate(ALICE, "Work", {use: b"\\Flagged"})
    assert json.loads(path.read_text())["annotations"] == {comment: "a"}
    harm(store.root, "deleted")
    assert await mail.annotations(ALICE, "Work") == {comment: b"a", use: b"\\Flagged"}
    assert (await mail.status(ALICE, "Work")).special_use == "\\Flagged"


async def test_subscriptions_without_mailbox_live_without_the_database_and_have_a_limit(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths
) -> None:
    path = paths.home / "subscriptions.json"
    await mail.create(ALICE, "New")
    await mail.subscribe(ALICE, "New", True)
    await mail.delete(ALICE, "New")
    assert json.loads(path.read_text()) == {"version": 1, "names": ["New"]}
    harm(store.root, "deleted")
    assert "New" in await mail.subscriptions(ALICE)
    path.write_text("{torn")
    assert "New" not in await mail.subscriptions(ALICE)
    names = [f"Old {number}" for number in range(MAX_ABSENT_SUBSCRIPTIONS)]
    path.write_text(json.dumps({"version": 1, "names": names}))
    await mail.create(ALICE, "Last")
    await mail.subscribe(ALICE, "Last", True)
    await mail.delete(ALICE, "Last")
    assert json.loads(path.read_text())["names"] == [*names[1:], "Last"]


async def test_a_changed_byte_in_any_page_is_noticed_and_never_believed(tmp_path: Path) -> None:
    async with opened(tmp_path / "store", clock=FakeClock()) as store:
        assert isinstance(store.mail, FilesystemMailStore)
        await _fill(store, store.mail)
        await store.put(*(item(MESSAGE, "\\Flagged") for _ in range(200)))
        await store.mail.settle(ALICE)
        seen = await state(store.mail)
    database = AccountPaths.of(tmp_path / "store", ALICE).database
    noticed: list[bool] = []
    for page in range(1, database.stat().st_size // 4096, 6):
        shutil.rmtree(tmp_path / "copy", ignore_errors=True)
        shutil.copytree(tmp_path / "store", tmp_path / "copy")
        copy = AccountPaths.of(tmp_path / "copy", ALICE).database
        with copy.open("r+b") as file:
            file.seek(page * 4096 + 3000)
            byte = file.read(1)
            file.seek(page * 4096 + 3000)
            file.write(bytes([byte[0] ^ 1]))
        async with opened(tmp_path / "copy", clock=FakeClock(), check_after=False) as store:
            assert await state(store.mail) == seen
            assert isinstance(store.mail, FilesystemMailStore)
            # What `state` has not looked at is looked at by the check, which makes it anew.
            report = await check(store.mail, ALICE, repair=True, progress=lambda *_: None)
            assert report.is_clean
        noticed.append(copy.with_name("account.db.damaged").exists())
    assert sum(noticed) > len(noticed) // 2  # the others are pages that nothing is in


def test_a_database_that_is_larger_than_the_cache_can_be_made_and_read(tmp_path: Path) -> None:
    path = tmp_path / "account.db"
    db = schema.create(path)
    uids = range(1, 80_000)
    row = "INSERT INTO message VALUES (1, ?, 0, 1, 0, 100, 1, NULL)"
    db.executemany(row, ((uid,) for uid in uids))
    schema.finish(db)
    made = schema.connect(path)
    assert schema.faults(made, "integrity_check(1)") == []
    assert schema.value(made, "SELECT count(*) FROM message") == len(uids)
    made.close()
