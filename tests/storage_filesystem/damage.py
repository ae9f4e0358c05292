"""What can happen to a database file behind the server's back."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from rmail_kernel.storage.filesystem.layout import AccountPaths
from tests.storage_contract.rig import ALICE

KINDS = ("deleted", "all-deleted", "emptied", "truncated", "overwritten", "older", "foreign")


def paths(root: Path) -> AccountPaths:
    """The files of the first account."""
    return AccountPaths.of(root, ALICE)


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
    elif kind == "foreign":
        aside = database.with_name("foreign")
        aside.unlink(missing_ok=True)
        import apsw

        with apsw.Connection(str(aside)) as db:
            db.execute("CREATE TABLE message (x); PRAGMA user_version=99")
        db.close()
        aside.replace(database)
