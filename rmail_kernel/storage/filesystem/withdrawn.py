"""Files that recovery takes away, for no row tells of them: they stay in tmp/ for a day, under the
place that they had. Should there be a row after all that misses its file, the file is put back.

Recovery acts on what it sees; this is for the case that it did not see all. Functions block.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import structlog

from rmail_kernel.storage.filesystem import schema
from rmail_kernel.storage.filesystem.disk import temporary_name
from rmail_kernel.storage.filesystem.layout import file_name
from rmail_kernel.storage.filesystem.locate import settled
from rmail_kernel.storage.filesystem.tables import MailboxRow
from rmail_kernel.storage.filesystem.transaction import Transaction

_PREFIX: Final = "withdrawn."
_KEPT_S: Final = 86_400
_LEFTOVER_S: Final = 3600
_log = structlog.get_logger("rmail.storage")


def kept_s(name: str) -> int:
    """How long a file in tmp/ is left alone; one that somebody writes to is younger than that."""
    return _KEPT_S if name.startswith(_PREFIX) else _LEFTOVER_S


def withdraw(temporary: Path, mailbox: int, uid: int, path: Path) -> None:
    """Takes a file away; it may be gone already."""
    own = temporary_name(temporary)
    try:
        path.rename(own.with_name(f"{_PREFIX}{mailbox}.{uid}.{own.name}"))
    except FileNotFoundError:
        return


def put_back(tx: Transaction, row: MailboxRow, missed: Iterable[schema.Row]) -> set[int]:
    """Gives messages (rows of COLUMNS) their files back, where they were withdrawn; their UIDs."""
    there = _withdrawn(tx.paths.temporary, row.id)
    done: set[int] = set()
    for uid, _, named, size_bytes, _ in missed:
        path = there.get(uid)
        if path is not None and path.stat().st_size == size_bytes:
            tx.rename_in(path, tx.shard(row, uid) / file_name(uid, settled(named)))
            done.add(uid)
    if done:
        _log.warning("messages got their files back", mailbox=row.name, count=len(done))
    return done


def _withdrawn(temporary: Path, mailbox: int) -> dict[int, Path]:
    prefix = f"{_PREFIX}{mailbox}."
    found: dict[int, Path] = {}
    for name in os.listdir(temporary) if temporary.is_dir() else ():
        uid = name.removeprefix(prefix).partition(".")[0]
        if name.startswith(prefix) and uid.isdigit():
            found[int(uid)] = temporary / name
    return found
