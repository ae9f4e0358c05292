"""Accounts that nobody has used for a while give back what they hold, and nothing is lost or
hidden by that.
"""

from __future__ import annotations

import asyncio
import gc
import os
from pathlib import Path

import apsw
import pytest

from rmail_kernel.errors import NotFound
from rmail_kernel.model import Address
from rmail_kernel.storage.accounts import Account
from rmail_kernel.storage.filesystem import FilesystemMailStore, idling, resting, tables
from rmail_kernel.storage.filesystem.layout import AccountPaths
from rmail_kernel.storage.ids import AccountId, MailboxId, ModSeq, Uid
from rmail_kernel.storage.mail import Field
from rmail_kernel.storage.search import Body
from tests.storage_contract.rig import ALICE, BOB, Opened, item, opened

INBOX = MailboxId(1)
MANY = 10
MOST_BYTES = 8 << 10
"""What SQLite may hold for an account at rest; one at work takes hundreds of kilobytes."""
LONG_AGO_S = 100
WAIT_S = 30


def connections(paths: AccountPaths) -> int:
    """How many connections to the databases of an account are open in this process, at most."""
    count = 0
    for db in apsw.connections():
        try:
            count += db.filename.startswith(str(paths.home))
        except apsw.ThreadingViolationError:
            count += 1  # it is at work, maybe for this account
        except apsw.ConnectionClosedError:
            continue
    return count


async def rest(
    mail: FilesystemMailStore, *all_paths: AccountPaths, writer_s: float = 0, left: int = 0
) -> None:
    """Has accounts rest until `left` connections are open, once what they have to do is done:
    somebody may be reading ahead.
    """
    async with asyncio.timeout(WAIT_S):
        while True:
            await mail.settle_due()
            await mail.accounts.rest(0, writer_s)
            if all(connections(paths) <= left for paths in all_paths):
                return
            await asyncio.sleep(0.01)


async def noted(mail: FilesystemMailStore, paths: AccountPaths) -> ModSeq:
    """Has an account rest whose files nobody has touched for long; the MODSEQ of its INBOX."""
    await mail.view(ALICE, INBOX)
    await rest(mail, paths)  # closing may write the log back
    at = resting.now() - LONG_AGO_S
    for path in paths.home.glob("account.db*"):
        os.utime(path, (at, at))
    modseq = (await mail.view(ALICE, INBOX)).modseq
    await rest(mail, paths)
    return modseq


async def test_an_account_at_rest_holds_no_connection_and_no_memory_of_sqlite(
    store: Opened, mail: FilesystemMailStore
) -> None:
    names = [AccountId(f"user{n}@example.com") for n in range(MANY)]
    for name in names:
        await store.directory.create(Account(name, Address.parse(name), "x"))
    gc.collect()
    before = apsw.memory_used()
    for name in names:
        await store.put(item(), account=name)
        view = await mail.view(name, INBOX)
        fetched = mail.fetch(name, INBOX, [Uid(1)], Field.ENVELOPE)
        assert len([one async for batch in fetched for one in batch]) == view.total
    assert apsw.memory_used() - before > MANY * MOST_BYTES
    await rest(mail, *(AccountPaths.of(store.root, name) for name in names))
    assert apsw.memory_used() - before < MANY * MOST_BYTES
    assert len(mail.accounts) == MANY


async def test_an_account_in_use_keeps_its_connections(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths
) -> None:
    await store.put(item())
    fetched = mail.fetch(ALICE, INBOX, [Uid(1)], Field.CONTENT)
    await mail.view(ALICE, INBOX)
    await mail.settle_due()
    _, account = await mail.accounts.ready(ALICE)
    with account.used():
        await mail.accounts.rest(0, 0)
        assert connections(paths) > 1
    assert [one.uid async for batch in fetched for one in batch] == [1]


async def test_what_is_still_to_be_settled_is_settled_first(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths
) -> None:
    await store.put(item())
    await mail.accounts.rest(0, 0)
    assert connections(paths) > 0
    await rest(mail, paths)


async def test_one_that_was_used_or_has_written_just_now_does_not_rest_yet(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths
) -> None:
    await store.put(item())
    await mail.view(ALICE, INBOX)
    await mail.settle_due()
    await mail.accounts.rest(3600, 3600)
    assert connections(paths) > 1
    await rest(mail, paths, writer_s=3600, left=1)
    assert connections(paths)  # whoever wrote may do so again
    await rest(mail, paths)


async def test_a_writer_that_has_written_nothing_rests_with_the_readers(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths
) -> None:
    await store.put(item())
    await rest(mail, paths)
    await mail.view(ALICE, INBOX)
    assert connections(paths) > 1
    await rest(mail, paths, writer_s=3600)


async def test_after_a_rest_all_is_as_it_was(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths
) -> None:
    await store.put(item(), item(b"Subject: needle\r\n\r\nhay\r\n"))
    view = await mail.view(ALICE, INBOX)
    for _ in range(3):
        await rest(mail, paths)
        assert await mail.view(ALICE, INBOX) is view  # it is not read again
        await rest(mail, paths)
        assert await mail.search(ALICE, INBOX, Body("hay")) == [2]
    await rest(mail, paths)
    fetched = mail.fetch(ALICE, INBOX, [Uid(1), Uid(2)], Field.CONTENT)
    assert [one.uid async for batch in fetched for one in batch] == [1, 2]
    await rest(mail, paths)
    (third,) = await store.put(item())
    await rest(mail, paths)
    await mail.store_flags(ALICE, INBOX, [third.uid], "add", frozenset({"\\Seen"}))
    await rest(mail, paths)
    assert (await mail.status(ALICE, INBOX)).unseen == 2


async def test_many_commands_while_accounts_come_to_rest_all_succeed(
    store: Opened, mail: FilesystemMailStore
) -> None:
    is_over = asyncio.Event()

    async def restless() -> int:
        count = 0
        while not is_over.is_set():
            await mail.accounts.rest(0, 0)
            count += 1
            await asyncio.sleep(0)
        return count

    async def use() -> None:
        for _ in range(10):
            (one,) = await store.put(item())
            fetched = mail.fetch(ALICE, INBOX, [one.uid], Field.CONTENT)
            assert [found.uid async for batch in fetched for found in batch] == [one.uid]
            await mail.settle(ALICE)
            await asyncio.sleep(0)

    task = asyncio.create_task(restless())
    await asyncio.gather(*(use() for _ in range(4)))
    is_over.set()
    assert await task > 1
    assert (await mail.status(ALICE, INBOX)).total == 40


async def test_whether_an_account_at_rest_has_changed_is_told_without_waking_it(
    mail: FilesystemMailStore, paths: AccountPaths
) -> None:
    modseq = await noted(mail, paths)
    changes = await mail.changes(ALICE, INBOX, modseq)
    assert (changes.upto, changes.changed, changes.vanished) == (modseq, (), ())


async def test_that_of_an_account_with_very_many_mailboxes_is_read_in_a_thread(
    mail: FilesystemMailStore, paths: AccountPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "MANY_MAILBOXES", 1)
    modseq = await noted(mail, paths)
    assert await mail.accounts.unchanged(ALICE, INBOX, modseq) is not None


async def test_whoever_only_looks_for_news_keeps_no_account_awake(
    mail: FilesystemMailStore, paths: AccountPaths
) -> None:
    modseq = (await mail.view(ALICE, INBOX)).modseq
    await mail.settle_due()
    _, account = await mail.accounts.at_rest(ALICE)
    account.used_at = -1.0
    assert (await mail.changes(ALICE, INBOX, modseq)).upto == modseq
    mail.is_unchanged(ALICE, INBOX, modseq)
    assert account.used_at == -1.0
    await mail.status(ALICE, INBOX)
    assert account.used_at >= 0
    account.used_at = -1.0
    mail.view_at_hand(ALICE, INBOX)
    assert account.used_at >= 0


async def test_what_another_process_does_to_an_account_at_rest_is_seen(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths
) -> None:
    modseq = await noted(mail, paths)
    async with opened(store.root, check_after=False) as other:
        await other.put(item())
        changes = await mail.changes(ALICE, INBOX, modseq)
        assert [one.uid for one in changes.changed] == [1]
        await mail.accounts.rest(0, 0)
    await store.put(item())
    assert list((await mail.view(ALICE, INBOX)).uids[:2]) == [1, 2]


async def test_a_database_that_was_taken_away_is_not_let_go(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths
) -> None:
    await store.put(item())
    await mail.store_flags(ALICE, INBOX, [Uid(1)], "add", frozenset({"\\Flagged"}))
    await mail.view(ALICE, INBOX)
    await mail.settle_due()
    for path in paths.home.glob("account.db*"):
        path.unlink()
    await mail.accounts.rest(0, 0)
    view = await mail.view(ALICE, INBOX)
    assert (view.total, await mail.search(ALICE, INBOX, Body("line"))) == (1, [1])
    await rest(mail, paths)


async def test_an_account_that_was_deleted_at_rest_is_not_found(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths
) -> None:
    modseq = await noted(mail, paths)
    await store.directory.delete(ALICE)
    with pytest.raises(NotFound):
        await mail.changes(ALICE, INBOX, modseq)
    await mail.accounts.rest(0, 0)


async def test_accounts_come_to_rest_by_themselves_but_those_used_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idling, "LOOK_S", 0.01)
    monkeypatch.setattr(idling, "READER_S", 0.0)
    monkeypatch.setattr(idling, "WRITER_S", 0.0)
    monkeypatch.setattr(idling, "KEPT", 1)
    root = tmp_path / "own"
    async with opened(root) as store, asyncio.timeout(30):
        mail = store.mail
        assert isinstance(mail, FilesystemMailStore)
        await mail.view(ALICE, INBOX)
        await mail.view(BOB, INBOX)
        await mail.settle_due()
        for used, other in ((BOB, ALICE), (ALICE, BOB)):
            while connections(AccountPaths.of(root, other)):
                await mail.view(used, INBOX)
                await asyncio.sleep(0.01)
            assert connections(AccountPaths.of(root, used)) > 0
