"""Deciding conditions on text for messages that the full-text index lacks: their files are read as
indexing does, and their texts are remembered for the next search. Runs in the pool.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
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
from rmail_kernel.storage.filesystem.texts import ROWS, MessageText, stored_text
from rmail_kernel.storage.mail import MailboxView
from rmail_kernel.storage.narrowing import NOTHING, Foreknown, Split
from rmail_kernel.storage.search import Body, Header, SearchNode, Text

_FEW: Final = 50
"""Texts that are searched sooner than a thread is asked."""
_ROWS_AT_ONCE: Final = 100
_AT_ONCE_S: Final = 0.05
_Answer = Callable[[MessageText], bool | None]


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
    told = {one: answer for one in conditions if (answer := _answer(one)) is not None}
    if not told:
        return {}
    uids = sorted(asked)
    every = frozenset(view.uids[: view.total]) if any(one not in known for one in told) else NOTHING
    deciding = {
        one: _Deciding(answer, known.get(one) or Split(NOTHING, every))
        for one, answer in told.items()
    }
    with_header = any(not isinstance(one, Body) for one in told)
    found = texts.known(box, uids, with_header=with_header)
    if len(found) > _FEW:
        await account.run(_take, deciding, found, pool=pool)
    else:
        _take(deciding, found)
    missing = [uid for uid in uids if uid not in found]
    while missing:
        chunk = missing[:_ROWS_AT_ONCE]
        rows = await account.read_large(partial(_rows, view.mailbox, chunk), pool)
        name = (await account.box(view.mailbox)).name
        directory = account.paths.mailbox(name)
        read, last = await account.run(_read, directory, rows, with_header, deciding, pool=pool)
        texts.add(box, read)
        missing = [uid for uid in missing if uid > (last or chunk[-1])]
    return {one: each.split() for one, each in deciding.items()}


class _Deciding:
    """One condition on the way."""

    def __init__(self, answer: _Answer, known: Split) -> None:
        self._answer = answer
        self._known = known
        self._yes: set[int] = set()
        self._no: set[int] = set()

    def take(self, uid: int, text: MessageText) -> None:
        """Looks at a message."""
        if uid in self._known.maybe:
            answer = self._answer(text)
            if answer is not None:
                (self._yes if answer else self._no).add(uid)

    def split(self) -> Split:
        yes, maybe = self._known.yes, self._known.maybe
        return Split(yes | self._yes if self._yes else yes, maybe - self._yes - self._no)


_All = dict[SearchNode, _Deciding]


def _take(deciding: _All, found: dict[int, MessageText]) -> None:
    for one in deciding.values():
        for uid, text in found.items():
            one.take(uid, text)


def _rows(mailbox: int, uids: list[int], db: apsw.Connection) -> list[schema.Row]:
    among = "WHERE mailbox=? AND uid IN (SELECT value FROM json_each(?)) ORDER BY uid"
    sql = f"{ROWS} {among}"
    return list(schema.rows(db, sql, mailbox, json.dumps(uids)))


def _read(
    directory: Path, rows: list[schema.Row], with_header: bool, deciding: _All
) -> tuple[dict[int, MessageText], int | None]:
    """Texts of the first messages, as far as a thread comes at once; the last UID, if not all."""
    found: dict[int, MessageText] = {}
    late_at = time.thread_time() + _AT_ONCE_S
    last = None
    for index, row in enumerate(rows):
        with suppress(OSError, ValueError):  # the search itself looks at it
            found[row[0]] = stored_text(directory, row, with_header=with_header)
        if time.thread_time() > late_at and index < len(rows) - 1:
            last = row[0]
            break
    _take(deciding, found)
    return found, last


def _answer(condition: SearchNode) -> _Answer | None:
    """The condition on the text of a message: whether it matches, None if that cannot be told. No
    condition: it cannot be told of any message.
    """
    if not isinstance(condition, Body | Header | Text):
        return None
    needle = casemap(condition.text)
    if not needle or not is_safe(needle):
        return None
    match condition:
        case Body():
            return lambda text: needle in text.body or _no_if(text)
        case Text():
            return lambda text: needle in (text.header or "") or needle in text.body or _no_if(text)
        case Header() if is_address_text(condition):
            return None
        case Header():
            return lambda text: None if needle in (text.header or "") else _no_if(text)


def _no_if(text: MessageText) -> bool | None:
    return False if text.is_sure else None
