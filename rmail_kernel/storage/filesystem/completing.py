"""Making the digests that are missing, in the background, slice by slice: after a rebuild of the
database, after a migration, and of files from outside. Nothing waits for it but who asks for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import apsw

from rmail_kernel.storage.filesystem import schema
from rmail_kernel.storage.filesystem.account import OpenAccount
from rmail_kernel.storage.filesystem.digest import Digest, complete, digest_of
from rmail_kernel.storage.filesystem.layout import AccountPaths
from rmail_kernel.storage.filesystem.locate import find_file, settled
from rmail_kernel.storage.filesystem.transaction import Transaction

SLICE: Final = 32
SLICE_BYTES: Final = 1 << 22
_LIST: Final = (
    "SELECT undigested.key, mailbox.name, uid, flags, named, message.size_bytes, internal_date"
    " FROM undigested JOIN message ON message.mailbox = undigested.key >> 32"
    " AND message.uid = undigested.key & 0xffffffff"
    " JOIN mailbox ON mailbox.id = message.mailbox LIMIT ?"
)


async def complete_some(account: OpenAccount) -> bool:
    """Makes some digests; whether there may be more to make."""
    found = await account.read(_listed)
    if not found:
        return False
    made = await account.run(_digests, account.paths, found)

    def save(tx: Transaction) -> None:
        for key, one in made.items():
            if one is None:  # its file is gone, or just renamed
                tx.db.execute("DELETE FROM undigested WHERE key=?", (key,))
            else:
                complete(tx, key >> 32, key & 0xFFFFFFFF, one)

    await account.write(save, durable=False)
    return True


def _listed(db: apsw.Connection) -> list[schema.Row]:
    return list(schema.rows(db, _LIST, SLICE))


def _digests(paths: AccountPaths, found: Sequence[schema.Row]) -> dict[int, Digest | None]:
    made: dict[int, Digest | None] = {}
    taken_bytes = 0
    for key, name, uid, flags, named, size_bytes, date in found:
        made[key] = _digest(paths.mailbox(name), uid, flags, settled(named), date)
        taken_bytes += size_bytes
        if taken_bytes > SLICE_BYTES:
            break
    return made


def _digest(mailbox: Path, uid: int, flags: int, named: int, date: int) -> Digest | None:
    path = find_file(mailbox, uid, flags, named)
    try:
        return None if path is None else digest_of(path, date)
    except FileNotFoundError:
        return None
