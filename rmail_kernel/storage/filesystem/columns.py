"""Some values of many messages, for sorting and threading: column by column, no object a message.
It runs in a thread, in pieces of which none keeps the event loop from running.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, Final

import apsw
import orjson

from rmail_kernel.casemap import casemap
from rmail_kernel.mime import keys_reader
from rmail_kernel.storage.filesystem import schema
from rmail_kernel.storage.filesystem.account import OpenAccount
from rmail_kernel.storage.filesystem.moments import clamped
from rmail_kernel.storage.ids import MailboxId, Uid
from rmail_kernel.storage.mail import Column, Columns, Field

_BLOCK: Final = 2000
_OF_ROWS: Final = frozenset({Column.MODSEQ, Column.SIZE, Column.ARRIVAL})
_TEXTS: Final = frozenset(
    {Column.SUBJECT, Column.FROM, Column.TO, Column.CC, Column.FROM_NAME, Column.TO_NAME}
)
_Values = list[list[Any]]
_Known = defaultdict[Column, dict[str, str]]


async def gather(
    use: Callable[[], AbstractAsyncContextManager[OpenAccount]],
    pool: ThreadPoolExecutor,
    mailbox: MailboxId,
    uids: Sequence[int],
    wanted: Sequence[Column],
    fetch: Callable[[list[Uid], Field], AsyncIterator[object]],
) -> Columns:
    """See MailStore.columns. `fetch` of messages makes what they miss."""
    ask = partial(read, mailbox=mailbox, uids=uids, wanted=wanted)
    async with use() as account:
        found, missing = await account.read_large(ask, pool)
    if missing:
        async for _ in fetch([*map(Uid, missing)], Field.KEYS):
            pass
        async with use() as account:
            found, _ = await account.read_large(ask, pool)
    return found


def read(
    db: apsw.Connection, mailbox: int, uids: Sequence[int], wanted: Sequence[Column]
) -> tuple[Columns, list[int]]:
    """The columns, and the messages that are left out as their digest is yet to be made."""
    of_rows = [one for one in wanted if one in _OF_ROWS]
    of_keys = [one for one in wanted if one not in _OF_ROWS]
    found: list[Any] = []
    values: dict[Column, list[Any]] = {one: [] for one in wanted}
    known: _Known = defaultdict(dict)
    for start in range(0, len(uids), _BLOCK):
        there: Sequence[int] = uids[start : start + _BLOCK]
        parts: _Values = []
        if of_rows or not of_keys:
            there, parts = _of_rows(db, mailbox, there, of_rows)
        if of_keys and there:
            told, keys = _of_keys(db, mailbox, there, of_keys, known)
            if len(told) < len(there):
                parts = _only(set(told), there, parts)
            there, parts = told, parts + keys
        found += there
        for column, part in zip([*of_rows, *of_keys], parts, strict=bool(there)):
            values[column] += part
    missing = _undigested(db, mailbox, uids) if of_keys else []
    return Columns(found, [values[one] for one in wanted]), missing


def _only(told: set[int], uids: Sequence[int], parts: _Values) -> _Values:
    places = [place for place, uid in enumerate(uids) if uid in told]
    return [[part[place] for place in places] for part in parts]


def _undigested(db: apsw.Connection, mailbox: int, uids: Sequence[int]) -> list[int]:
    low = schema.summary_key(mailbox, 0)
    sql = "SELECT key FROM undigested WHERE key BETWEEN ? AND ?"
    found = [key - low for (key,) in schema.rows(db, sql, low, low + 0xFFFFFFFF)]
    return sorted(set(found).intersection(uids)) if found else []


def _of_rows(
    db: apsw.Connection, mailbox: int, uids: Sequence[int], wanted: Sequence[Column]
) -> tuple[list[int], _Values]:
    """Which of the messages exist, and their values. JSON arrays are read at half the cost of rows,
    and mostly without holding up other threads.
    """
    names = ("uid", *(column.value for column in wanted))
    gathered = ", ".join(f"json_group_array({name})" for name in names)
    inner = f"SELECT {', '.join(names)} FROM message WHERE mailbox=? AND uid"  # noqa: S608 - our names
    if uids[-1] - uids[0] + 1 == len(uids):
        among: tuple[Any, ...] = (uids[0], uids[-1])
        inner += " BETWEEN ? AND ? ORDER BY uid"
    else:
        among = (orjson.dumps(list(uids)).decode(),)
        inner += " IN (SELECT value FROM json_each(?)) ORDER BY uid"
    row = schema.first(db, f"SELECT {gathered} FROM ({inner})", mailbox, *among)  # noqa: S608 - the same
    there, *columns = [orjson.loads(raw) for raw in row or ("[]",) * len(names)]
    for place, column in enumerate(wanted):
        if column is Column.ARRIVAL:
            columns[place] = [clamped(at) for at in columns[place]]
    return there, columns


def _of_keys(
    db: apsw.Connection,
    mailbox: int,
    uids: Sequence[int],
    wanted: Sequence[Column],
    known: _Known,
) -> tuple[list[int], _Values]:
    """Which of the messages have keys, and what of these is wanted."""
    low = schema.summary_key(mailbox, 0)
    sql = "SELECT key, keys FROM digest WHERE key BETWEEN ? AND ? ORDER BY key"
    among: tuple[Any, ...] = (low + uids[0], low + uids[-1])
    if uids[-1] - uids[0] + 1 != len(uids):
        among = (orjson.dumps([low + uid for uid in uids]).decode(),)
        sql = (
            "SELECT key, keys FROM digest WHERE key IN (SELECT value FROM json_each(?))"
            " ORDER BY key"
        )
    rows = list(schema.rows(db, sql, *among))
    parts = keys_reader(tuple(one.value for one in wanted))([raw for _, raw in rows])
    columns = [_compared(one, part, known[one]) for one, part in zip(wanted, parts, strict=True)]
    return [key - low for key, _ in rows], columns


def _compared(column: Column, values: list[Any], known: dict[str, str]) -> list[Any]:
    """The values as they compare. Of many equal texts there is one in memory."""
    if column in _TEXTS:
        for text in values:
            if text not in known:
                known[text] = casemap(text)
        return [known[text] for text in values]
    if column is Column.SENT:
        return [int(at.timestamp()) for at in values]
    if column is Column.REFERENCES:
        # No tuple of each message: they would keep the garbage collector busy.
        return ["<".join(ids) for ids in values]
    return values
