"""Streaming messages in batches: rows, digests (made once where they are missing), contents."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from functools import lru_cache
from pathlib import Path

import apsw
import structlog

from rmail_kernel.storage.filesystem import reading, schema
from rmail_kernel.storage.filesystem.account import OpenAccount, snapshot
from rmail_kernel.storage.filesystem.digest import Digest, complete, digest_of
from rmail_kernel.storage.filesystem.locate import find_file
from rmail_kernel.storage.filesystem.moments import seconds_of
from rmail_kernel.storage.filesystem.transaction import Transaction
from rmail_kernel.storage.mail import Fetched, Field
from rmail_kernel.storage.reader import MessageReader

_log = structlog.get_logger("rmail.storage")
BATCH = 100
BATCH_WITH_CONTENT = 32
BATCH_CONTENT_BYTES = 1 << 20
"""Of small messages of one batch: whoever does not read holds so much memory, and no more."""
BATCH_OF_KEYS = 200
"""Sorting asks for very many messages, and for little of each."""
_LITTLE = Field.KEYS | Field.IDS
_LOOKS = 3


async def fetch(
    use: Callable[[], AbstractAsyncContextManager[OpenAccount]],
    pool: ThreadPoolExecutor,
    mailbox: int,
    uids: Sequence[int],
    fields: Field,
) -> AsyncIterator[list[Fetched]]:
    """See MailStore.fetch. `use` holds the account for one batch, not between batches."""
    wanted = sorted(uids)
    step = _step(fields)
    start = 0
    while start < max(len(wanted), 1):
        asked = wanted[start : start + step]
        async with use() as account:
            found, last = await _batch(account, pool, mailbox, asked, fields)
        start += len(asked) or 1
        if last is not None:
            start = bisect_right(wanted, last)
        if found:
            yield found


@lru_cache(maxsize=256)
def _step(fields: Field) -> int:
    if fields & Field.CONTENT:
        return BATCH_WITH_CONTENT
    return BATCH if fields & ~_LITTLE else BATCH_OF_KEYS


async def _batch(
    account: OpenAccount,
    pool: ThreadPoolExecutor,
    mailbox: int,
    uids: Sequence[int],
    fields: Field,
) -> tuple[list[Fetched], int | None]:
    """The messages; and the last UID looked at, if it was not that of all."""

    def rows(db: apsw.Connection) -> tuple[str, list[Fetched], dict[int, int]]:
        with snapshot(db):
            name = account.known_box(db, mailbox).name
            return name, *reading.read_rows(db, mailbox, uids, fields)

    def again(db: apsw.Connection) -> tuple[list[Fetched], dict[int, int]]:
        with snapshot(db):
            return reading.read_rows(db, mailbox, [one.uid for one in found], fields)

    name, found, named = await account.read(rows)
    directory = account.paths.mailbox(name)
    missing = reading.incomplete(found, fields)
    if missing:
        await _complete(account, mailbox, directory, missing, named)
        found, named = await account.read(again)
        gone = {one.uid for one in reading.incomplete(found, fields)}  # and so are their files
        found = [one for one in found if one.uid not in gone]
    if not named:
        return found, None
    fitting = _fitting(found)
    last = found[fitting - 1].uid if fitting < len(found) else None
    del found[fitting:]
    contents = reading.read_cached(directory, found)
    if len(contents) < len(found):
        rest = found[len(contents) :]
        contents += await account.run(_open_all, directory, rest, named, pool)
    if None in contents:
        contents = await _try_again(account, pool, mailbox, found, named, contents)
    kept = []
    for one, content in zip(found, contents, strict=True):
        if content is not None:
            one.content = content
            kept.append(one)
    return kept, last


def _fitting(found: Sequence[Fetched]) -> int:
    """How many of the first messages may be held at one time, at least one; large ones are read
    from their files bit by bit.
    """
    room = BATCH_CONTENT_BYTES
    for index, one in enumerate(found):
        room -= one.size_bytes if one.size_bytes <= reading.SMALL_BYTES else 0
        if room < 0 and index:
            return index
    return len(found)


def _open_all(
    directory: Path, found: Sequence[Fetched], named: dict[int, int], pool: ThreadPoolExecutor
) -> list[MessageReader | None]:
    opened: list[MessageReader | None] = []
    try:
        for one in found:
            opened.append(reading.open_file(directory, one, named[one.uid], pool))
    except OSError:
        for reader in opened:
            if reader is not None:
                reader.close()
        raise
    return opened


async def _try_again(
    account: OpenAccount,
    pool: ThreadPoolExecutor,
    mailbox: int,
    found: Sequence[Fetched],
    named: dict[int, int],
    contents: Sequence[MessageReader | None],
) -> list[MessageReader | None]:
    """Looks once more under the lock: the mailbox's directory may just have been renamed."""

    expunged: set[int] = set()

    def search(tx: Transaction) -> list[MessageReader | None]:
        directory = tx.paths.mailbox(tx.mailbox(mailbox).name)
        opened = [
            reader or reading.open_file(directory, one, named[one.uid], pool)
            for one, reader in zip(found, contents, strict=True)
        ]
        sql = "SELECT uid FROM message WHERE mailbox=? AND uid=?"
        for one, reader in zip(found, opened, strict=True):
            if reader is None and schema.value(tx.db, sql, mailbox, one.uid) is None:
                expunged.add(one.uid)
        return opened

    again = await account.write(search, durable=False, vital=True)
    for one, reader in zip(found, again, strict=True):
        if reader is None and one.uid not in expunged:
            account.forget_looks()
            _log.warning("message file is missing", mailbox=mailbox, uid=one.uid)
    return again


async def _complete(
    account: OpenAccount,
    mailbox: int,
    directory: Path,
    missing: Sequence[Fetched],
    named: dict[int, int],
) -> None:
    """Makes digests of messages that came from outside or lived through a rebuild."""
    made = await account.run(_digests, directory, missing, named)

    def save(tx: Transaction) -> None:
        for uid, found in made.items():
            complete(tx, mailbox, uid, found)

    if made:
        await account.write(save, durable=False)


def _digests(
    directory: Path, missing: Sequence[Fetched], named: dict[int, int]
) -> dict[int, Digest]:
    found: dict[int, Digest] = {}
    for one in missing:
        made = _digest(directory, one, named.get(one.uid, one.flags))
        if made is not None:
            found[one.uid] = made
    return found


def _digest(directory: Path, one: Fetched, named: int) -> Digest | None:
    """None: its file is not there, as after an expunge."""
    for _ in range(_LOOKS):  # it may be renamed between being found and being opened
        path = find_file(directory, one.uid, one.flags, named)
        if path is None:
            return None
        try:
            return digest_of(path, seconds_of(one.internal_date))
        except FileNotFoundError:
            continue
    return None
