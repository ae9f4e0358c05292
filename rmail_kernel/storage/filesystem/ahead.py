"""Reading ahead: texts of messages that no index has yet, so that the first search after they came
finds them in memory. While there are changes, a process of low priority reads, otherwise this one;
never more than is remembered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

from rmail_kernel.errors import RmailError
from rmail_kernel.storage.filesystem.account import OpenAccount
from rmail_kernel.storage.filesystem.reading_apart import Found, Wanted, parse_found
from rmail_kernel.storage.filesystem.remembering import Box, Texts
from rmail_kernel.storage.filesystem.shared_texts import Place, shared
from rmail_kernel.storage.filesystem.texts import MessageText
from rmail_kernel.storage.filesystem.unindexed import read_next
from rmail_kernel.storage.mail import MailboxView

REST_S: Final = 0.05
"""This process is at rest when nothing changed for so long."""
FEW: Final = 16
"""While there are changes, more than these are read, by a process of low priority."""
LOOK_S: Final = 0.1
"""While there are changes, it is looked so often whether there is something to read."""
AGAIN_S: Final = 10.0
"""The pause before it is looked whether the index has by now what is remembered."""


@dataclass(slots=True)
class _State:
    """What is done of a mailbox: all UIDs below `upto` were read, or are indexed. `has_news`: it
    changed since it was looked at.
    """

    due_at: float
    looked_at: float = 0.0
    has_news: bool = True
    upto: int = 1
    place: Place = field(default_factory=Place)


_Key = tuple[OpenAccount, int]


class ReadAhead:
    """Owns the reading ahead for one store in this process. For the event loop.

    Args:
        texts: where the texts are remembered.
        pool: its threads read.
        apart: has another process read.
    """

    def __init__(
        self, texts: Texts, pool: Executor, apart: Callable[[Wanted], Awaitable[Found]]
    ) -> None:
        self._apart = apart
        self._texts = texts
        self._pool = pool
        self._states: dict[_Key, _State] = {}
        self._rested_at = 0.0
        self._looked_at = 0.0
        self._holders = 0
        self._news = asyncio.Event()
        self._idle = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._is_closed = False

    def note(self, account: OpenAccount, mailboxes: Collection[int]) -> None:
        """Has new messages of these mailboxes read when this process is at rest."""
        if self._is_closed or not mailboxes:
            return
        self._rested_at = asyncio.get_running_loop().time() + REST_S
        for mailbox in mailboxes:
            state = self._states.get((account, mailbox))
            if state is None:
                self._states[account, mailbox] = _State(0.0)
            elif not state.has_news:
                # Most changes are of flags: then a look, which takes a thread, finds nothing.
                state.due_at, state.has_news = state.looked_at + LOOK_S, True
            else:
                continue
            self._news.set()
            self._idle.clear()
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="storage reading ahead")

    def look(self, account: OpenAccount, view: MailboxView) -> None:
        """Has messages read that somebody now sees, whoever stored them."""
        if account.index.seen.get(view.mailbox) != view.uidnext:
            account.index.seen[view.mailbox] = view.uidnext
            self.note(account, (view.mailbox,))

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nothing more is read meanwhile: whoever calls the system for each of many files gives the
        interpreter away each time, and would wait for a thread that reads to give it back.
        """
        self._holders += 1
        try:
            yield
        finally:
            self._holders -= 1

    async def idle(self) -> None:
        """Waits until nothing is left to read."""
        if self._task is not None:
            await self._idle.wait()

    async def close(self) -> None:
        """Ends at once."""
        self._is_closed = True
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while self._states:
            key, state = min(self._states.items(), key=lambda item: item[1].due_at)
            ready_at = min(self._rested_at, self._looked_at + LOOK_S)
            pause_s = max(state.due_at, ready_at) - loop.time()
            if not any(one.has_news for one in self._states.values()):
                self._idle.set()
            if pause_s <= 0:
                await self._advance(key, state)
                continue
            self._news.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._news.wait()
        self._task = None
        self._idle.set()

    async def _advance(self, key: _Key, state: _State) -> None:
        account, mailbox = key
        self._states[key] = self._states.pop(key)  # others come first the next time
        if account.is_closed:
            del self._states[key]
            self._texts.drop(account.index)
            return
        state.looked_at = asyncio.get_running_loop().time()
        state.due_at, state.has_news = state.looked_at + AGAIN_S, False
        try:
            with account.used():
                is_needed = await self._read(account, mailbox, state)
        except RmailError:  # it is gone, or a search will meet the trouble as well
            is_needed = False
        if not is_needed and not state.has_news:
            self._states.pop(key, None)

    async def _read(self, account: OpenAccount, mailbox: int, state: _State) -> bool:
        """Reads until others want the process; whether there is something to come back for."""
        row = await account.box(mailbox)
        if not row.total:
            return False
        index = account.index
        reach = await account.run(index.reach, mailbox, row.uidvalidity, pool=self._pool)
        box = Box(index, mailbox, row.uidvalidity)
        self._texts.forget(box, reach)
        state.upto = max(state.upto, reach)
        if state.upto < row.uidnext:
            await self._take_shared(account, box, state)
        while state.upto < row.uidnext and not account.is_closed:
            self._looked_at = asyncio.get_running_loop().time()
            if index.readers or self._holders:  # searches read what they need, and only that
                self._rested_at = self._looked_at + REST_S
                state.due_at, state.has_news = 0.0, True
                break
            if self._looked_at >= self._rested_at:
                async with index.reading:
                    upto = await read_next(account, row, state.upto, box, self._texts, self._pool)
            elif row.uidnext - state.upto > FEW:
                upto = await self._read_apart(account, box, state.upto)
            else:
                state.due_at, state.has_news = 0.0, True
                break
            if upto is None:
                break
            state.upto = upto
        return self._texts.has(box)

    async def _take_shared(self, account: OpenAccount, box: Box, state: _State) -> None:
        """Takes what other processes have read."""
        where = account.paths, box.mailbox, box.uidvalidity, state.upto, state.place
        found, upto = await account.run(shared, *where, _texts_of, pool=self._pool)
        if self._texts.add(box, found):
            state.upto = upto

    async def _read_apart(self, account: OpenAccount, box: Box, start: int) -> int | None:
        """Has some read elsewhere; the UID below which that is done. None: it is not."""
        wanted = Wanted(str(account.paths.home), box.mailbox, box.uidvalidity, start)
        try:
            found, upto = await self._apart(wanted)
        except OSError:
            return None
        return upto if self._texts.add(box, found) else None


def _texts_of(raw: bytes) -> dict[int, MessageText]:
    return parse_found(raw).texts
