"""While there are changes, texts are read by the process that indexes, which then indexes what it
has read; whatever becomes of it, answers stay the same.
"""

from __future__ import annotations

import asyncio

import pytest

from rmail_kernel.storage.filesystem import FilesystemMailStore, ahead, following
from rmail_kernel.storage.filesystem.disk import Owner
from rmail_kernel.storage.filesystem.indexer_process import IndexerProcess, parse
from rmail_kernel.storage.filesystem.indexing import Outcome, index_slice
from rmail_kernel.storage.filesystem.layout import AccountPaths
from rmail_kernel.storage.filesystem.reading_apart import (
    MAX_KEPT_BYTES,
    Found,
    Wanted,
    parse_found,
    read,
)
from rmail_kernel.storage.filesystem.remembering import Box, Texts
from rmail_kernel.storage.filesystem.texts import MessageText
from rmail_kernel.storage.ids import MailboxId
from rmail_kernel.storage.search import Body, Text
from tests.storage_contract.rig import ALICE, Opened, item

INBOX = MailboxId(1)

pytestmark = pytest.mark.usefixtures("patience")


async def put(store: Opened, mail: FilesystemMailStore, *words: str) -> None:
    """Stores messages of one word each, in their files alone."""
    await store.put(*(item(f"Subject: s\r\n\r\n{word}\r\n".encode()) for word in words))
    await mail.settle(ALICE)


async def wanted(mail: FilesystemMailStore, paths: AccountPaths, start: int = 1) -> Wanted:
    """The messages of the mailbox from a UID on."""
    view = await mail.view(ALICE, INBOX)
    return Wanted(str(paths.home), INBOX, view.uidvalidity, start)


def wipe(paths: AccountPaths) -> None:
    """Whoever looks at a message now finds nothing."""
    for file in (paths.mailboxes / "INBOX/0000").iterdir():
        file.write_bytes(bytes(file.stat().st_size))


async def noted(mail: FilesystemMailStore) -> None:
    """Tells what reads ahead of a change, and waits until it has nothing to read."""
    async with mail._use(ALICE) as account:
        mail._ahead._looked_at = 0.0
        mail._ahead.note(account, (INBOX,))
        mail._ahead._news.set()
    await mail._ahead.idle()


async def test_many_messages_are_read_while_there_are_changes(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths, patience: pytest.MonkeyPatch
) -> None:
    patience.setattr(ahead, "FEW", 2)
    await put(store, mail, "one", "two", "three")
    await noted(mail)
    assert mail._follower._process.pid is not None
    wipe(paths)
    assert await mail.search(ALICE, INBOX, Body("t")) == [2, 3]
    assert await mail.search(ALICE, INBOX, Text("Subject: s")) == [1, 2, 3]


async def test_a_process_that_cannot_read_does_no_harm(
    store: Opened, mail: FilesystemMailStore, patience: pytest.MonkeyPatch
) -> None:
    def fail(self: IndexerProcess, wanted: Wanted) -> Found:
        raise OSError("the process that indexes has ended")

    patience.setattr(ahead, "FEW", 0)
    patience.setattr(IndexerProcess, "texts", fail)
    await put(store, mail, "one")
    await noted(mail)
    assert not mail._memory.texts._of
    assert await mail.search(ALICE, INBOX, Body("one")) == [1]


async def test_the_process_ends_when_nothing_more_is_asked(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths, patience: pytest.MonkeyPatch
) -> None:
    loop, ended, end = asyncio.get_running_loop(), asyncio.Event(), IndexerProcess.end

    def noted_end(self: IndexerProcess) -> None:
        end(self)
        loop.call_soon_threadsafe(ended.set)

    patience.setattr(IndexerProcess, "end", noted_end)
    patience.setattr(following, "LINGER_S", 0.0)
    await put(store, mail, "one")
    follower = following.Follower(Owner.of(store.root))
    found = await follower.texts(await wanted(mail, paths))
    assert list(found.texts) == [1]
    await ended.wait()
    assert follower._process.pid is None
    await follower.close()


async def test_another_process_reads_what_this_one_would(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths
) -> None:
    await put(store, mail, "one", "Ü")
    process = IndexerProcess()
    try:
        asked = await wanted(mail, paths)
        assert process.texts(asked) == read(asked, Texts())
        assert process.texts(asked).upto == 3
        assert process.texts(asked._replace(start=3)) == Found({}, 3)
        assert process.texts(asked._replace(uidvalidity=1)) == Found({}, None)
        assert process.texts(asked._replace(mailbox=99)) == Found({}, None)
        assert process.texts(asked._replace(home=str(paths.home / "none"))) == Found({}, None)
        assert process.slice(paths, Owner.of(store.root), anew=False) is Outcome.DONE
    finally:
        process.end()


async def test_what_was_read_is_indexed_without_being_read_again(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths
) -> None:
    await put(store, mail, "one", "two")
    kept = Texts()
    asked = await wanted(mail, paths)
    assert list(read(asked, kept).texts) == [1, 2]
    assert kept.has(asked.box)
    wipe(paths)
    index_slice(paths, Owner.of(store.root), anew=False, wait=True, kept=kept)
    assert await mail.search(ALICE, INBOX, Body("two")) == [2]
    assert not kept.has(asked.box)


def test_questions_and_answers_come_out_as_they_went_in() -> None:
    asked = Wanted("/odd\udcff\n", 1, 2, 3)
    assert parse(asked.dump()) == asked
    assert asked.box == Box("/odd\udcff\n", 1, 2)
    found = Found({1: MessageText("h", "Ü\n", is_sure=True), 7: MessageText()}, 8)
    size, _, raw = found.dump().partition(b"\n")
    assert int(size) == len(raw)
    assert parse_found(raw) == found


def test_the_process_keeps_a_bounded_amount() -> None:
    kept = Texts(1000)
    box = Box("home", 1, 1)
    assert not kept.add(box, {uid: MessageText("", "x" * 300) for uid in range(5)})
    assert len(kept.known(box, range(5))) == 1
    assert MAX_KEPT_BYTES <= 8 << 20


def test_a_process_that_died_before_it_was_asked_leaves_nothing_open(paths: AccountPaths) -> None:
    process = IndexerProcess()
    child = process._started()
    child.kill()
    child.wait()
    with pytest.raises(OSError, match="has ended"):
        process.texts(Wanted(str(paths.home), INBOX, 1, 1))
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stdin.closed
    assert child.stdout.closed
