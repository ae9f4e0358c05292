"""Searches remember texts and answers: within their room, and without another answer for it."""

from __future__ import annotations

import asyncio
from datetime import date
from typing import Any

import apsw
import pytest

from rmail_kernel.storage.filesystem import (
    FilesystemMailStore,
    remembering,
    searching,
    unindexed,
)
from rmail_kernel.storage.filesystem.layout import AccountPaths
from rmail_kernel.storage.filesystem.remembering import Answers, Box, Texts
from rmail_kernel.storage.filesystem.store import SEARCHERS
from rmail_kernel.storage.filesystem.texts import MessageText
from rmail_kernel.storage.ids import MailboxId, Uid
from rmail_kernel.storage.narrowing import Split
from rmail_kernel.storage.search import (
    And,
    Body,
    Dated,
    HasFlag,
    Header,
    Not,
    SearchNode,
    Text,
    UidIn,
)
from tests.storage_contract.rig import ALICE, Opened, item

INBOX = MailboxId(1)
ONE, TWO = Box("a", 1, 1), Box("a", 2, 1)
TEXT = MessageText("h" * 1000, "b" * 1000, is_sure=True)

pytestmark = pytest.mark.usefixtures("patience")


def words(*found: str) -> list[bytes]:
    """Messages of one word each."""
    return [f"Subject: s\r\n\r\n{word}\r\n".encode() for word in found]


def wipe(paths: AccountPaths) -> None:
    """Whoever looks at a message now finds nothing."""
    for file in (paths.mailboxes / "INBOX/0000").iterdir():
        file.write_bytes(bytes(file.stat().st_size))


async def settle(mail: FilesystemMailStore) -> None:
    """Has the files alone hold the messages."""
    await mail.settle(ALICE)


def test_texts_of_other_mailboxes_make_room() -> None:
    texts = Texts(5000)
    texts.add(ONE, {1: TEXT, 2: TEXT})
    texts.add(TWO, {1: TEXT})
    assert texts.known(ONE, [1, 2]) == {}
    texts.add(TWO, {2: TEXT, 3: TEXT})
    assert list(texts.known(TWO, [1, 2, 3, 4])) == [1, 2]
    texts.add(TWO, {2: MessageText(None, "b" * 10, is_sure=True)})
    assert list(texts.known(TWO, [1, 2])) == [1]
    assert list(texts.known(TWO, [1, 2], with_header=False)) == [1, 2]
    texts.add(TWO, {2: TEXT})
    assert list(texts.known(TWO, [1, 2])) == [1, 2]
    texts.forget(TWO, 2)
    texts.forget(ONE, 2)
    texts.add(TWO, {3: TEXT})
    assert list(texts.known(TWO, [1, 2, 3, 4])) == [2, 3]


def test_the_oldest_answers_make_room() -> None:
    answers = Answers(2000)
    for text in ("a", "b", "c", "d"):
        answers.keep(ONE, Body(text), 5, Split({1}, set()))
        answers.get(ONE, Body("a"))
    known = [text for text in ("a", "b", "c", "d") if answers.get(ONE, Body(text))]
    assert known == ["a", "c", "d"]
    answers.keep(ONE, Body("a"), 6, Split({1, 5}, {3}))
    found = answers.get(ONE, Body("a"))
    assert found is not None
    assert (found.upto, found.split()) == (6, Split(frozenset({1, 5}), frozenset({3})))
    answers.keep(ONE, Body("many"), 6, Split(set(range(10_000)), set()))
    assert answers.get(ONE, Body("many")) is None


@pytest.mark.parametrize("is_indexed", [False, True])
async def test_a_message_is_looked_at_once(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths, is_indexed: bool
) -> None:
    await store.put(*map(item, words("one two", "two")))
    await settle(mail)
    if is_indexed:
        await mail.index(ALICE)
    asked: list[tuple[SearchNode, list[int]]] = [
        (Body("one"), [1]),
        (Body("TWO"), [1, 2]),
        (Text("three"), []),
        (And((Not(Body("one")), Text("two"))), [2]),
        (Header("X-Own", "x"), []),
    ]
    for _ in range(2):
        for query, uids in asked:
            assert await mail.search(ALICE, INBOX, query) == uids
        wipe(paths)
    assert await mail.search(ALICE, INBOX, Body("wo")) == [1, 2]


async def test_a_header_that_was_not_asked_for_is_read_when_it_is(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths
) -> None:
    await store.put(item(b"Subject: one\r\n\r\ntwo\r\n"))
    await settle(mail)
    for _ in range(2):
        assert await mail.search(ALICE, INBOX, Body("one")) == []
        assert await mail.search(ALICE, INBOX, Text("one")) == [1]
        assert await mail.search(ALICE, INBOX, Text("ne")) == [1]
        wipe(paths)


async def test_only_what_the_search_needs_is_looked_at(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths
) -> None:
    await store.put(*map(item, words("one", "one")))
    await settle(mail)
    assert await mail.search(ALICE, INBOX, And((UidIn(((1, 1),)), Body("one")))) == [1]
    wipe(paths)
    assert await mail.search(ALICE, INBOX, Body("one")) == [1]


async def test_messages_that_came_later_are_found_and_gone_ones_are_not(
    store: Opened, mail: FilesystemMailStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remembering, "_PACKED", 3)
    monkeypatch.setattr(searching, "NEW", 2)
    monkeypatch.setattr(searching, "_INLINE", 3)
    monkeypatch.setattr(unindexed, "_FEW", 1)
    asked = (Body("one"), Text("one"), Header("Subject", "s"), Not(Body("two")))
    expected: list[int] = []
    for count in (1, 2, 3, 1, 1):
        await store.put(*map(item, words(*["one"] * count)))
        expected += range(len(expected) + 1, len(expected) + count + 1)
        for query in asked:
            assert await mail.search(ALICE, INBOX, query) == expected
        if count == 3:
            await mail.index(ALICE)
    await mail.expunge(ALICE, INBOX, [Uid(2)], only_deleted=False)
    for query in asked:
        assert await mail.search(ALICE, INBOX, query) == [1, 3, 4, 5, 6, 7, 8]


async def test_a_message_whose_file_is_away_is_looked_at_again(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths
) -> None:
    await store.put(*map(item, words("one")))
    await settle(mail)
    await mail.view(ALICE, INBOX)  # which looks for changes from outside, now and not again
    file = paths.mailboxes / "INBOX/0000/00000001_.eml"
    away = file.rename(paths.home / "away")
    assert await mail.search(ALICE, INBOX, Body("one")) == []
    away.rename(file)
    assert await mail.search(ALICE, INBOX, Body("one")) == [1]


async def test_answers_outlive_the_making_of_the_index_and_end_with_it(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths
) -> None:
    await store.put(*map(item, words("one", "two")))
    assert await mail.search(ALICE, INBOX, Body("one")) == [1]
    await mail.index(ALICE)
    db = apsw.Connection(str(paths.index))
    db.execute("DELETE FROM body")
    db.close()
    assert await mail.search(ALICE, INBOX, Body("one")) == [1]
    assert await mail.search(ALICE, INBOX, Body("two")) == []  # as the index, damaged as it is
    assert await mail.search(ALICE, INBOX, Body("one")) == [1]
    await mail.index(ALICE, anew=True)
    assert await mail.search(ALICE, INBOX, Body("two")) == [2]


async def test_searches_that_read_for_long_let_others_through(
    store: Opened, mail: FilesystemMailStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.put(*map(item, words("one")))
    read, go_on = asyncio.Semaphore(0), asyncio.Event()
    decide = unindexed.decide

    async def slowly(*arguments: Any) -> dict[SearchNode, Split]:
        read.release()
        await go_on.wait()
        return await decide(*arguments)

    monkeypatch.setattr(unindexed, "decide", slowly)
    count = SEARCHERS + 1
    searches = [asyncio.create_task(mail.search(ALICE, INBOX, Body("one"))) for _ in range(count)]
    for _ in searches:
        await read.acquire()
    assert await mail.search(ALICE, INBOX, Not(HasFlag("\\Seen"))) == [1]
    go_on.set()
    assert await asyncio.gather(*searches) == [[1]] * count


async def test_reading_in_several_turns_finds_all(
    store: Opened, mail: FilesystemMailStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unindexed, "_AT_ONCE_S", -1.0)
    monkeypatch.setattr(unindexed, "_ROWS_AT_ONCE", 2)
    await store.put(*map(item, words("one", "two", "one", "two", "one")))
    assert await mail.search(ALICE, INBOX, Body("one")) == [1, 3, 5]
    day = Dated("sent", "on", date(2026, 1, 1))
    assert await mail.search(ALICE, INBOX, day) == []
