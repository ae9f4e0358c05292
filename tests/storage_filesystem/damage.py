"""What can happen to a database file behind the server's back."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from rmail_kernel.storage.filesystem.layout import AccountPaths
from tests.storage_contract.rig import ALICE

KINDS = (
    "deleted",
    "all-deleted",
    "emptied",
    "truncated",
    "overwritten",
    "older",
    "foreign",
    "header",
    "flipped",
    "log-lost",
    "log-flipped",
    "log-index-lost",
)
_PAGE_BYTES = 4096


def paths(root: Path) -> AccountPaths:
    """The files of the first account."""
    return AccountPaths.of(root, ALICE)


def _flip(path: Path, places: Iterable[int]) -> None:
    """Changes single bytes of a file in place."""
    with path.open("r+b") as file:
        for place in places:
            file.seek(place)
            old = file.read(1)
            file.seek(place)
            file.write(bytes([(old or b"x")[0] ^ 0x5A]))


def _write_log_back(database: Path) -> None:
    """Has what is in the log in the file, too, as after a while; unless it was harmed before."""
    import apsw

    db = apsw.Connection(str(database))
    with suppress(apsw.IOError, apsw.CorruptError, apsw.NotADBError):
        db.execute("PRAGMA wal_checkpoint(PASSIVE)")
    db.close()


async def next_turn() -> None:
    """What others did is seen from the next turn of the loop on: none of them is in this one."""
    await asyncio.sleep(0)


def harm(root: Path, kind: str) -> None:
    """Harms the database of the first account, if it has one."""
    database = paths(root).database
    if not database.exists():
        return
    if kind in ("deleted", "all-deleted"):
        database.unlink()
        if kind == "all-deleted":
            for suffix in ("-wal", "-shm"):
                database.with_name(f"account.db{suffix}").unlink(missing_ok=True)
    elif kind == "emptied":
        os.truncate(database, 0)
    elif kind == "truncated":
        os.truncate(database, database.stat().st_size // 2)
    elif kind == "overwritten":
        aside = database.with_name("noise")
        aside.write_bytes(b"this is no database" * 1000)
        aside.replace(database)
    elif kind == "older":
        kept = root / "older.db"
        if kept.exists():
            shutil.copyfile(kept, database.with_name("copy"))
            database.with_name("copy").replace(database)
            for suffix in ("-wal", "-shm"):
                database.with_name(f"account.db{suffix}").unlink(missing_ok=True)
    elif kind == "header":
        _flip(database, [16, 100, 500])
    elif kind == "flipped":
        _write_log_back(database)
        pages = range(1, database.stat().st_size // _PAGE_BYTES)
        _flip(database, [page * _PAGE_BYTES + place for page in pages for place in (3, 2000, 4070)])
    elif kind == "log-lost":
        database.with_name("account.db-wal").unlink(missing_ok=True)
    elif kind == "log-index-lost":
        database.with_name("account.db-shm").unlink(missing_ok=True)
    elif kind == "log-flipped":
        log = database.with_name("account.db-wal")
        if log.exists():
            _flip(log, range(2000, log.stat().st_size, 3000))
    elif kind == "foreign":
        aside = database.with_name("foreign")
        aside.unlink(missing_ok=True)
        import apsw

        with apsw.Connection(str(aside)) as db:
            db.execute("CREATE TABLE message (x); PRAGMA user_version=99")
        db.close()
        aside.replace(database)
