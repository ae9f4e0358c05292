"""Deciding conditions on text for messages that the full-text index lacks: their files are read as
indexing does, and their texts are remembered for the next search. Runs in the pool.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence, Set
from concurrent.futures import Executor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

import apsw

from rmail_kernel.casemap import casemap
from rmail_kernel.storage.filesystem import schema
from rmail_kernel.storage.filesystem.account import OpenAccount
from rmail_kernel.storage.filesystem.fulltext import is_address_text, is_safe
from rmail_kernel.storage.filesystem.remembering import Box, Texts
from rmail_kernel.storage.filesystem.tables import MailboxRow
from rmail_kernel.storage.filesystem.texts import ROWS, MessageText, stored_text
from rmail_kernel.storage.mail import MailboxView
from rmail_kernel.storage.narrowing import NOTHING, Foreknown, Split
from rmail_kernel.storage.search import Body, Header, SearchNode, Text

_FEW: Final = 50
"""Texts that are searched sooner than a thread is asked."""
_ROWS_AT_ONCE: Final = 100
_AT_ONCE_S: Final = 0.05
_ROWS_OF_PIECE: Final = 64
PIECE_S: Final = 0.025
"""How long a thread reads ahead at once; a change that comes waits for no more than that."""
_Answer = Callable[[MessageText], bool]


async def decide(
    account: OpenAccount,
    view: MailboxView,
    conditions: Sequence[SearchNode],
    known: Foreknown,
    asked: Iterable[int],
    box: Box,
    texts: Texts,
    pool: Executor,
) -> dict[SearchNode, Split]:
    """What is known of the conditions on text when the messages asked for were looked at. What
    cannot be told of a message stays open.
    """
    deciding = _deciding(view, conditions, known)
    if not deciding:
        return {}
    uids = sorted(asked)
    with_header = any(not isinstance(one, Body) for one in deciding)
    found = texts.known(box, uids, with_header=with_header)
    await _take_all(account, deciding, found, pool)
    missing = [uid for uid in uids if uid not in found]
    account.index.readers += 1
    try:
        await _read_all(account, view, deciding, missing, box, texts, with_header, pool)
    finally:
        account.index.readers -= 1
    return {one: each.split() for one, each in deciding.items()}


async def _read_all(
    account: OpenAccount,
    view: MailboxView,
    deciding: _All,
    missing: list[int],
    box: Box,
    texts: Texts,
    with_header: bool,
    pool: Executor,
) -> None:
    while missing:
        chunk = missing[:_ROWS_AT_ONCE]
        async with account.index.reading:
            found = texts.known(box, chunk, with_header=with_header)
            left = [uid for uid in chunk if uid not in found]
            rows = await account.read_large(partial(_rows, view.mailbox, left), pool)
            directory = account.paths.mailbox((await account.box(view.mailbox)).name)
            read, last = await account.run(
                _read, directory, rows, with_header, _AT_ONCE_S, pool=pool
            )
            texts.add(box, read)
        await _take_all(account, deciding, found | read, pool)
        missing = [uid for uid in missing if uid > (last or chunk[-1])]


async def recall(
    account: OpenAccount,
    view: MailboxView,
    conditions: Iterable[Header],
    known: Foreknown,
    box: Box,
    texts: Texts,
    pool: Executor,
) -> dict[SearchNode, Split]:
    """What is known of conditions on headers with the texts that are remembered."""
    deciding = _deciding(view, conditions, known)
    if not deciding or not texts.has(box):
        return {}
    uids = set[int]().union(*(each.asked for each in deciding.values()))
    await _take_all(account, deciding, texts.known(box, uids), pool)
    return {one: each.split() for one, each in deciding.items()}


async def read_next(
    account: OpenAccount, row: MailboxRow, start: int, box: Box, texts: Texts, pool: Executor
) -> int | None:
    """Remembers texts of messages from UID `start` on, as many as are read in PIECE_S; the UID
    below which that is done. None: there is no room for them.
    """
    directory = account.paths.mailbox(row.name)
    read = partial(_read_next, directory, row, start, box, texts)
    return await account.read_large(read, pool)


def _read_next(
    directory: Path, row: MailboxRow, start: int, box: Box, texts: Texts, db: apsw.Connection
) -> int | None:
    read, upto = read_rows(directory, row, start, db)
    return upto if texts.add(box, read) else None


def read_rows(
    directory: Path, row: MailboxRow, start: int, db: apsw.Connection
) -> tuple[dict[int, MessageText], int]:
    """Texts of the messages from UID `start` on, as many as are read in PIECE_S, and the UID below
    which that is done. Blocks.
    """
    rows = _next_rows(row, start, db)
    if not rows:
        return {}, row.uidnext
    read, last = _read(directory, rows, True, PIECE_S)
    return read, (last or rows[-1][0]) + 1


class _Deciding:
    """One condition on the way."""

    def __init__(self, condition: SearchNode, can_match: _Answer, known: Split) -> None:
        self._can_match = can_match
        self._is_exact = not isinstance(condition, Header)  # its text may be in another field
        self._known = known
        self._yes: set[int] = set()
        self._no: set[int] = set()

    @property
    def asked(self) -> Set[int]:
        """The messages that it is not known of."""
        return self._known.maybe

    def take(self, found: dict[int, MessageText]) -> None:
        """Looks at messages."""
        asked, can_match = self._known.maybe, self._can_match
        for uid, text in found.items():
            if uid in asked:
                if can_match(text):
                    if self._is_exact:
                        self._yes.add(uid)
                elif text.is_sure:
                    self._no.add(uid)

    def split(self) -> Split:
        """What is known now."""
        yes, maybe = self._known.yes, self._known.maybe
        return Split(yes | self._yes if self._yes else yes, maybe - self._yes - self._no)


_All = dict[SearchNode, _Deciding]


def _deciding(view: MailboxView, conditions: Iterable[SearchNode], known: Foreknown) -> _All:
    """Those conditions that texts can decide."""
    told = [(one, answer) for one in conditions if (answer := _answer(one)) is not None]
    every = NOTHING
    if any(one not in known for one, _ in told):
        every = frozenset(view.uids[: view.total])
    return {
        one: _Deciding(one, answer, known.get(one) or Split(NOTHING, every)) for one, answer in told
    }


def _take(deciding: _All, found: dict[int, MessageText]) -> None:
    for one in deciding.values():
        one.take(found)


async def _take_all(
    account: OpenAccount, deciding: _All, found: dict[int, MessageText], pool: Executor
) -> None:
    if len(found) > _FEW:
        await account.run(_take, deciding, found, pool=pool)
    else:
        _take(deciding, found)


def _rows(mailbox: int, uids: list[int], db: apsw.Connection) -> list[schema.Row]:
    among = "WHERE mailbox=? AND uid IN (SELECT value FROM json_each(?)) ORDER BY uid"
    sql = f"{ROWS} {among}"
    return list(schema.rows(db, sql, mailbox, json.dumps(uids)))


def _next_rows(row: MailboxRow, start: int, db: apsw.Connection) -> list[schema.Row]:
    sql = f"{ROWS} WHERE mailbox=? AND uid>=? AND uid<? ORDER BY uid LIMIT ?"
    return list(schema.rows(db, sql, row.id, start, row.uidnext, _ROWS_OF_PIECE))


def _read(
    directory: Path, rows: list[schema.Row], with_header: bool, at_once_s: float
) -> tuple[dict[int, MessageText], int | None]:
    """Texts of the first messages, as far as a thread comes at once; the last UID, if not all."""
    found: dict[int, MessageText] = {}
    late_at = time.thread_time() + at_once_s
    for index, row in enumerate(rows):
        with suppress(OSError, ValueError):  # the search itself looks at it
            found[row[0]] = stored_text(directory, row, with_header=with_header)
        if time.thread_time() > late_at and index < len(rows) - 1:
            return found, row[0]
    return found, None


def _answer(condition: SearchNode) -> _Answer | None:
    """Whether a message can match a condition on text; None: that cannot be told of any."""
    if not isinstance(condition, Body | Header | Text):
        return None
    needle = casemap(condition.text)
    if not needle or not is_safe(needle):
        return None
    match condition:
        case Body():
            return lambda text: needle in text.body
        case Text():
            return lambda text: needle in (text.header or "") or needle in text.body
        case Header() if is_address_text(condition):
            return None
        case Header():
            return lambda text: needle in (text.header or "")
