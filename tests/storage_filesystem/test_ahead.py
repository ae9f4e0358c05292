"""Texts are read ahead of searches: when nothing changes, as many as there is room for, and not
for longer than the index lacks them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from rmail_kernel.storage.filesystem import (
    FilesystemMailStore,
    ahead,
    unindexed,
)
from rmail_kernel.storage.filesystem.account import OpenAccount
from rmail_kernel.storage.filesystem.ahead import ReadAhead
from rmail_kernel.storage.filesystem.layout import AccountPaths
from rmail_kernel.storage.filesystem.remembering import Box, Texts
from rmail_kernel.storage.ids import MailboxId, Uid
from rmail_kernel.storage.search import Body, Header, Text
from tests.storage_contract.rig import ALICE, Opened, item, opened

INBOX = MailboxId(1)

pytestmark = pytest.mark.usefixtures("patience")


async def put(store: Opened, *words: str) -> None:
    """Stores messages of one word each, in their files alone."""
    await store.put(*(item(f"Subject: s\r\n\r\n{word}\r\n".encode()) for word in words))
    assert isinstance(store.mail, FilesystemMailStore)
    await store.mail.settle(ALICE)


def reading(mail: FilesystemMailStore) -> ReadAhead:
    """What reads ahead for a store."""
    return mail._ahead


def wake(mail: FilesystemMailStore, account: OpenAccount) -> None:
    """Has what waits look at the clock again, which tests turn back."""
    reading(mail).note(account, (INBOX,))
    reading(mail)._news.set()


async def read(mail: FilesystemMailStore, patience: pytest.MonkeyPatch) -> Texts:
    """Has it read at once; what is remembered then."""
    patience.setattr(ahead, "REST_S", 0.0)
    async with mail._use(ALICE) as account:
        wake(mail, account)
    await reading(mail).idle()
    patience.setattr(ahead, "REST_S", 1000.0)
    return mail._memory.texts


async def box(mail: FilesystemMailStore) -> Box:
    """The mailbox as texts have it."""
    view = await mail.view(ALICE, INBOX)
    async with mail._use(ALICE) as account:
        return Box(account.index, INBOX, view.uidvalidity)


def wipe(paths: AccountPaths) -> None:
    """Whoever looks at a message now finds nothing."""
    for file in (paths.mailboxes / "INBOX/0000").iterdir():
        file.write_bytes(bytes(file.stat().st_size))


async def test_a_first_search_finds_texts_in_memory(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths, patience: pytest.MonkeyPatch
) -> None:
    await put(store, "one", "two")
    await read(mail, patience)
    wipe(paths)
    assert await mail.search(ALICE, INBOX, Body("one")) == [1]
    assert await mail.search(ALICE, INBOX, Text("subject: s")) == [1, 2]
    assert await mail.search(ALICE, INBOX, Header("Subject", "S")) == [1, 2]
    assert await mail.search(ALICE, INBOX, Header("Subject", "one")) == []


async def test_messages_that_come_later_are_read_as_well(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths, patience: pytest.MonkeyPatch
) -> None:
    patience.setattr(unindexed, "_ROWS_OF_PIECE", 2)
    for count in (1, 3):
        await put(store, *["one"] * count)
        await read(mail, patience)
    wipe(paths)
    assert await mail.search(ALICE, INBOX, Body("one")) == [1, 2, 3, 4]


async def test_reading_waits_while_there_are_changes(
    store: Opened, mail: FilesystemMailStore, patience: pytest.MonkeyPatch
) -> None:
    patience.setattr(unindexed, "_ROWS_OF_PIECE", 1)
    await put(store, "one", "two", "three")
    going, read_next = asyncio.Event(), unindexed.read_next

    async def noted(*arguments: object) -> int | None:
        patience.setattr(ahead, "REST_S", 1000.0)
        await mail.store_flags(ALICE, INBOX, [Uid(1)], "add", frozenset({"\\Seen"}))
        going.set()
        return await read_next(*arguments)  # type: ignore[arg-type] # passed on as they are

    patience.setattr(ahead, "read_next", noted)
    patience.setattr(ahead, "REST_S", 0.0)
    async with mail._use(ALICE) as account:
        wake(mail, account)
    await going.wait()
    patience.setattr(ahead, "read_next", read_next)
    where = await box(mail)
    assert len(mail._memory.texts.known(where, [1, 2, 3])) <= 1
    texts = await read(mail, patience)
    assert sorted(texts.known(where, [1, 2, 3])) == [1, 2, 3]


async def test_no_more_is_read_than_there_is_room_for(
    store: Opened, mail: FilesystemMailStore, patience: pytest.MonkeyPatch
) -> None:
    patience.setattr(unindexed, "_ROWS_OF_PIECE", 1)
    texts = Texts(2000)
    patience.setattr(mail._memory, "texts", texts)
    patience.setattr(reading(mail), "_texts", texts)
    words = [f"{n} {'x' * 500}" for n in range(5)]
    await put(store, *words)
    where = await box(mail)
    await read(mail, patience)
    assert sorted(texts.known(where, range(1, 6))) == [1, 2]
    assert await mail.search(ALICE, INBOX, Body("x")) == [1, 2, 3, 4, 5]


async def test_what_the_index_has_is_neither_read_nor_kept(
    store: Opened, mail: FilesystemMailStore, patience: pytest.MonkeyPatch
) -> None:
    patience.setattr(ahead, "AGAIN_S", 0.05)
    await put(store, "one")
    texts = await read(mail, patience)
    where = await box(mail)
    assert texts.has(where)
    task = reading(mail)._task
    assert task is not None
    patience.setattr(ahead, "REST_S", 0.0)
    await mail.index(ALICE)
    async with mail._use(ALICE) as account:
        wake(mail, account)
    await asyncio.wait([task])
    assert not texts.has(where)
    await put(store, "two")
    await read(mail, patience)
    assert list(texts.known(where, [1, 2])) == [2]


async def test_messages_that_another_process_stored_are_read_once_they_are_seen(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths, patience: pytest.MonkeyPatch
) -> None:
    async with opened(store.root, check_after=False) as other:
        assert isinstance(other.mail, FilesystemMailStore)
        await other.mail.view(ALICE, INBOX)
        await put(store, "one")
        patience.setattr(ahead, "REST_S", 0.0)
        await other.mail.view(ALICE, INBOX)
        reading(other.mail)._news.set()
        await reading(other.mail).idle()
        wipe(paths)
        assert await other.mail.search(ALICE, INBOX, Body("one")) == [1]


async def test_an_account_that_is_closed_is_forgotten(
    store: Opened, mail: FilesystemMailStore, patience: pytest.MonkeyPatch
) -> None:
    patience.setattr(ahead, "AGAIN_S", 1000.0)  # whoever looks again keeps it open
    await put(store, "one")
    where = await box(mail)
    texts = await read(mail, patience)
    assert texts.has(where)
    task = reading(mail)._task
    assert task is not None
    mail.accounts.max_open = 0
    await mail.accounts._close_idle()
    assert len(mail.accounts) == 0
    for state in reading(mail)._states.values():
        state.due_at = 0.0
    reading(mail)._news.set()
    await asyncio.wait([task])
    assert not texts.has(where)


async def test_a_mailbox_that_is_gone_does_no_harm(
    store: Opened, mail: FilesystemMailStore, patience: pytest.MonkeyPatch
) -> None:
    gone = await mail.create(ALICE, "gone")
    await put(store, "one")
    async with mail._use(ALICE) as account:
        reading(mail).note(account, (gone.id,))
    await mail.delete(ALICE, "gone")
    await read(mail, patience)
    assert await mail.search(ALICE, INBOX, Body("one")) == [1]


async def test_nothing_is_read_once_it_is_closed(
    store: Opened, mail: FilesystemMailStore, patience: pytest.MonkeyPatch
) -> None:
    await put(store, "one")
    where = await box(mail)
    await reading(mail).close()
    texts = await read(mail, patience)
    assert not texts.has(where)


async def test_an_index_that_is_damaged_reaches_nothing(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths, patience: pytest.MonkeyPatch
) -> None:
    await put(store, "one")
    paths.index.write_bytes(b"this is none")
    texts = await read(mail, patience)
    assert texts.has(await box(mail))
    Path(paths.index).unlink()


@contextmanager
def searching(account: OpenAccount) -> Iterator[None]:
    """A search reads."""
    account.index.readers += 1
    yield
    account.index.readers -= 1


@pytest.mark.parametrize("is_search", [True, False])
async def test_reading_waits_while_a_search_reads_or_many_files_are_changed(
    store: Opened, mail: FilesystemMailStore, patience: pytest.MonkeyPatch, is_search: bool
) -> None:
    await put(store, "one")
    where = await box(mail)
    patience.setattr(ahead, "REST_S", 0.0)
    looked = asyncio.Event()
    async with mail._use(ALICE) as account:
        reach = account.index.reach

        def noted(mailbox: int, uidvalidity: int) -> int:
            patience.setattr(ahead, "REST_S", 1000.0)
            loop.call_soon_threadsafe(looked.set)
            return reach(mailbox, uidvalidity)

        loop = asyncio.get_running_loop()
        patience.setattr(account.index, "reach", noted)
        with searching(account) if is_search else reading(mail).held():
            wake(mail, account)
            await looked.wait()
            while reading(mail)._rested_at < loop.time() + 500:
                await asyncio.sleep(0)
            assert not mail._memory.texts.has(where)
    texts = await read(mail, patience)
    assert texts.has(where)


async def test_copy_move_and_expunge_hold_the_reading(
    store: Opened, mail: FilesystemMailStore
) -> None:
    await put(store, "one", "two", "three")
    calls: tuple[Coroutine[Any, Any, object], ...] = (
        mail.copy(ALICE, INBOX, [Uid(1)], "Trash"),
        mail.move(ALICE, INBOX, [Uid(2)], "Trash"),
        mail.expunge(ALICE, INBOX, None, only_deleted=False),
    )
    for call in calls:
        task = asyncio.ensure_future(call)
        while not reading(mail)._holders:
            assert not task.done()
            await asyncio.sleep(0)
        await task
        assert reading(mail)._holders == 0


async def test_changes_in_a_row_have_it_look_once(
    store: Opened, mail: FilesystemMailStore, patience: pytest.MonkeyPatch
) -> None:
    await put(store, "one")
    await read(mail, patience)
    patience.setattr(ahead, "LOOK_S", 500.0)  # not before: news may come while it looks
    (state,) = reading(mail)._states.values()
    looked_at = state.looked_at
    for op in ("add", "remove"):
        await mail.store_flags(ALICE, INBOX, [Uid(1)], op, frozenset({"\\Seen"}))
        assert state.has_news
        assert (state.looked_at, state.due_at) == (looked_at, looked_at + 500.0)
