"""Accounts beyond the limit are closed when nobody uses them, and what they were like answers who
asks whether anything has changed since.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from contextlib import AsyncExitStack
from itertools import cycle
from threading import Event

import apsw
import pytest

from rmail_kernel.errors import NotFound
from rmail_kernel.model import Address
from rmail_kernel.storage.accounts import Account
from rmail_kernel.storage.filesystem import FilesystemMailStore, resting, schema
from rmail_kernel.storage.filesystem.layout import AccountPaths
from rmail_kernel.storage.ids import AccountId, MailboxId, ModSeq, Uid
from rmail_kernel.storage.mail import Field
from rmail_kernel.storage.search import Body
from tests.storage_contract.rig import ALICE, BOB, Opened, item, opened

INBOX = MailboxId(1)
ROOM = AccountId("room@example.com")
MANY = 12
LONG_AGO_S = 100


@pytest.fixture
async def mail(store: Opened) -> FilesystemMailStore:
    """A store that keeps one account open."""
    assert isinstance(store.mail, FilesystemMailStore)
    store.mail.accounts.max_open = 1
    await store.directory.create(Account(ROOM, Address.parse(ROOM), "x"))
    return store.mail


def age(paths: AccountPaths, by_s: float = LONG_AGO_S) -> None:
    """Nobody has touched the account for so long."""
    at = resting.now() - by_s
    for path in paths.home.glob("account.db*"):
        os.utime(path, (at, at))


async def closed(mail: FilesystemMailStore, names: Sequence[AccountId]) -> None:
    """Opens one after the other until no more than one is open: the store itself may be busy with
    some for a while.
    """
    for name in cycle(names):
        await mail.view(name, INBOX)
        if len(mail.accounts) == 1:
            return


async def leave(
    mail: FilesystemMailStore,
    paths: AccountPaths,
    name: AccountId = ALICE,
    after: AccountId = BOB,
    *,
    aged_s: float,
) -> None:
    """Has an account closed as others are opened; not while the store itself is busy with it."""
    await mail.settle_due()
    for other in cycle((after, ROOM)):
        age(paths, aged_s)
        await mail.view(other, INBOX)
        if name not in mail.accounts:
            return


async def rested(
    mail: FilesystemMailStore, paths: AccountPaths, name: AccountId = ALICE, after: AccountId = BOB
) -> ModSeq:
    """Has an account closed after a long rest, as another is opened; the MODSEQ of its INBOX."""
    modseq = (await mail.view(name, INBOX)).modseq
    await leave(mail, paths, name, after, aged_s=LONG_AGO_S)
    return modseq


async def test_accounts_of_many_that_come_at_once_are_used_until_they_are_closed(
    store: Opened, mail: FilesystemMailStore
) -> None:
    ids = [AccountId(f"user{n}@example.com") for n in range(MANY)]
    for name in ids:
        await store.directory.create(Account(name, Address.parse(name), "x"))

    async def use(name: AccountId) -> None:
        for _ in range(3):
            await store.put(item(), account=name)
            fetched = mail.fetch(name, INBOX, [Uid(1)], Field.CONTENT)
            assert [one.uid async for batch in fetched for one in batch] == [1]

    for _ in range(3):
        await asyncio.gather(*map(use, ids))
    assert [(await mail.status(name, INBOX)).total for name in ids] == [9] * MANY
    await closed(mail, ids)


async def test_whether_a_rested_account_has_changed_is_told_without_opening_it(
    mail: FilesystemMailStore, paths: AccountPaths
) -> None:
    modseq = await rested(mail, paths)
    changes = await mail.changes(ALICE, INBOX, modseq)
    assert (changes.upto, changes.changed, changes.vanished) == (modseq, (), ())
    assert ALICE not in mail.accounts


async def test_another_process_that_only_reads_changes_nothing(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths
) -> None:
    modseq = await rested(mail, paths)
    async with opened(store.root, check_after=False) as other:
        assert (await other.mail.view(ALICE, INBOX)).modseq == modseq
        assert await mail.accounts.unchanged(ALICE, INBOX, modseq) is not None
    assert await mail.accounts.unchanged(ALICE, INBOX, modseq) is not None


@pytest.mark.parametrize("is_over", [False, True])
async def test_what_another_process_does_to_a_rested_account_is_seen(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths, is_over: bool
) -> None:
    modseq = await rested(mail, paths)
    async with AsyncExitStack() as stack:
        other = await stack.enter_async_context(opened(store.root, check_after=False))
        await other.put(item())
        if is_over:
            await stack.aclose()
        changes = await mail.changes(ALICE, INBOX, modseq)
    assert [one.uid for one in changes.changed] == [1]


async def test_a_rested_account_is_opened_for_what_is_older_or_not_there(
    mail: FilesystemMailStore, paths: AccountPaths
) -> None:
    modseq = await rested(mail, paths)
    with pytest.raises(NotFound):
        await mail.changes(ALICE, MailboxId(99), modseq)
    modseq = await rested(mail, paths)
    await mail.changes(ALICE, INBOX, ModSeq(modseq - 1))
    assert ALICE in mail.accounts


async def test_files_that_were_just_changed_are_not_believed(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths
) -> None:
    await store.put(item())
    modseq = (await mail.view(ALICE, INBOX)).modseq
    await leave(mail, paths, aged_s=-LONG_AGO_S)
    assert (await mail.changes(ALICE, INBOX, modseq)).upto == modseq
    assert ALICE in mail.accounts


async def test_a_rested_account_that_is_deleted_is_not_found(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths
) -> None:
    modseq = await rested(mail, paths)
    await store.directory.delete(ALICE)
    with pytest.raises(NotFound):
        await mail.changes(ALICE, INBOX, modseq)


async def test_as_many_accounts_are_remembered_as_the_limit_says(
    store: Opened,
    mail: FilesystemMailStore,
    paths: AccountPaths,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    carol = AccountId("carol@example.com")
    await store.directory.create(Account(carol, Address.parse(carol), "x"))
    monkeypatch.setattr(resting, "MAX_RESTING", 1)
    modseq = await rested(mail, paths)
    assert await mail.accounts.unchanged(ALICE, INBOX, modseq) is not None
    bob = await rested(mail, AccountPaths.of(store.root, BOB), BOB, carol)
    assert await mail.accounts.unchanged(BOB, INBOX, bob) is not None
    assert await mail.accounts.unchanged(ALICE, INBOX, modseq) is None


async def test_a_query_whose_caller_has_gone_ends_before_its_account_is_closed(
    store: Opened, mail: FilesystemMailStore
) -> None:
    await store.put(item())
    _, account = await mail.accounts.ready(ALICE)
    begun, may_end = Event(), Event()
    found = list[int]()

    def query(db: apsw.Connection) -> None:
        begun.set()
        assert may_end.wait(20)
        found.append(schema.value(db, "SELECT count(*) FROM message"))

    caller = asyncio.ensure_future(account.read_large(query))
    assert await asyncio.to_thread(begun.wait, 20)
    caller.cancel()
    closed = asyncio.ensure_future(mail.accounts.close())
    await store.put(item(), account=BOB)
    may_end.set()
    await closed
    assert found == [1]


async def test_nothing_is_kept_of_mailboxes_that_are_gone(
    store: Opened, mail: FilesystemMailStore
) -> None:
    for number in range(3):
        name = f"box{number}"
        await mail.create(ALICE, name)
        await store.put(item(mailbox=name))
        view = await mail.view(ALICE, name)
        await mail.search(ALICE, view.mailbox, Body("hello"))
        await mail.delete(ALICE, name)
    there = {one.id for one in await mail.mailboxes(ALICE)} | {0}
    async with mail._use(ALICE) as account, asyncio.timeout(30):
        for kept in (account._views, account.looked_at, account.index.reaches, account.index.seen):
            while not kept.keys() <= there:  # until what reads ahead has looked at them
                await asyncio.sleep(0)
