"""Searches that flags, numbers and columns answer wait for no search that reads text."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, date, datetime
from typing import Literal

import pytest

from rmail_kernel.storage.filesystem import FilesystemMailStore
from rmail_kernel.storage.filesystem.store import SEARCHERS
from rmail_kernel.storage.ids import MailboxId, ModSeq
from rmail_kernel.storage.search import (
    All,
    And,
    Arrived,
    Dated,
    HasFlag,
    Header,
    ModifiedSince,
    Not,
    Or,
    SearchNode,
    Sized,
    Text,
    UidIn,
)
from tests.storage_contract.rig import ALICE, Opened, item

INBOX = MailboxId(1)
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


class _Turns(asyncio.Semaphore):
    """Places for searches that take long; tells when somebody waits for one."""

    def __init__(self) -> None:
        super().__init__(SEARCHERS)
        self.has_waiter = asyncio.Event()

    async def acquire(self) -> Literal[True]:
        if self.locked():
            self.has_waiter.set()
        return await super().acquire()


async def _answers(mail: FilesystemMailStore, query: SearchNode) -> bool:
    """Whether a search is answered while those that take long have all places."""
    mail.turns = turns = _Turns()
    async with AsyncExitStack() as stack:
        while not turns.locked():
            await stack.enter_async_context(turns)
        searching = asyncio.create_task(mail.search(ALICE, INBOX, query))
        waiting = asyncio.create_task(turns.has_waiter.wait())
        await asyncio.wait([searching, waiting], return_when=asyncio.FIRST_COMPLETED)
        is_answered = searching.done()
        waiting.cancel()
    assert await searching == [1, 3]
    return is_answered


@pytest.mark.parametrize(
    "query",
    [
        HasFlag("\\Seen"),
        And((All(), Not(UidIn(((2, 2),))))),
        And((HasFlag("\\Seen"), Arrived("from", LONG_AGO))),
        And(
            (
                Or((UidIn(((1, 1),)), HasFlag("\\Seen"))),
                Sized("larger", 1),
                ModifiedSince(ModSeq(1)),
            )
        ),
        And((Dated("saved", "since", date(2000, 1, 1)), HasFlag("\\Seen"))),
    ],
)
async def test_what_the_view_and_columns_answer_waits_for_nobody(
    store: Opened, mail: FilesystemMailStore, query: SearchNode
) -> None:
    await store.put(item(b"\r\nA\r\n", "\\Seen"), item(), item(b"\r\nA\r\n", "\\Seen"))
    assert await _answers(mail, query)


@pytest.mark.parametrize("query", [Text("a"), Header("From", "")])
async def test_what_reads_text_waits_for_its_turn(
    store: Opened, mail: FilesystemMailStore, query: SearchNode
) -> None:
    await store.put(item(b"From: A\r\n\r\nA\r\n", "\\Seen"), item(b"\r\nB\r\n"))
    await store.put(item(b"From: A\r\n\r\nA\r\n"))
    assert not await _answers(mail, query)
