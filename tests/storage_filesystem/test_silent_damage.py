"""Bytes that were changed behind the server's back, in a log that is in use, may leave a database
that SQLite reads without an error: what does not fit together has it made anew all the same.
"""

from __future__ import annotations

import apsw
import pytest

from rmail_kernel.storage.filesystem import FilesystemMailStore
from rmail_kernel.storage.filesystem.fsck import check
from rmail_kernel.storage.filesystem.layout import AccountPaths
from rmail_kernel.storage.ids import MailboxId, Uid
from tests.storage_contract.rig import ALICE, MESSAGE, Opened, item, opened
from tests.storage_filesystem.scenario import state

INBOX = MailboxId(1)
SCHEMA = "PRAGMA writable_schema=1; PRAGMA schema_version=1000; UPDATE sqlite_schema SET sql="
CHANGES = {
    "a column of the table": f"{SCHEMA}replace(sql, ' named', ' nomed') WHERE name='message'",
    "a column of nothing read": f"{SCHEMA}replace(sql, ' at ', ' zt ') WHERE name='op'",
    "messages that are gone": "DELETE FROM message WHERE uid IN (1, 3)",
    "messages too many": "INSERT INTO message SELECT mailbox, 9, 0, 1, 0, 1, 1, 1 FROM message"
    " WHERE uid=1",
    "a UID that is none": "UPDATE message SET uid=-uid WHERE uid=2",
    "a large UID": "UPDATE message SET uid=uid << 40 WHERE uid=2",
    "keywords that are none": "UPDATE mailbox SET keywords='[\"$A'",
    "flags that are none": "UPDATE message SET flags='x' WHERE uid=2",
}


def change(paths: AccountPaths, sql: str) -> None:
    """As damage does it: nobody is told."""
    with apsw.Connection(str(paths.database)) as db:
        db.execute(sql)
    db.close()


@pytest.mark.parametrize("what", CHANGES)
async def test_all_is_there_for_who_opens_the_account_then(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths, what: str
) -> None:
    await store.put(item(MESSAGE, "\\Seen"), item(), item(MESSAGE, "$A"))
    await mail.settle(ALICE)
    seen = await state(mail)
    change(paths, CHANGES[what])
    async with opened(store.root) as other:  # index and files are compared at its end
        assert isinstance(other.mail, FilesystemMailStore)
        assert await state(other.mail) == seen
        await other.mail.store_flags(ALICE, INBOX, [Uid(2)], "add", frozenset({"\\Flagged"}))
        await other.put(item(op_id="1"))
        assert (await other.mail.status(ALICE, INBOX)).total == 4


@pytest.mark.parametrize("what", CHANGES)
async def test_the_check_repairs_it(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths, what: str
) -> None:
    await store.put(item(MESSAGE, "\\Seen"), item(), item(MESSAGE, "$A"))
    await mail.settle(ALICE)
    seen = await state(mail)
    change(paths, CHANGES[what])
    repaired = await check(mail, ALICE, repair=True, progress=lambda *_: None)
    assert repaired.is_clean
    assert (await check(mail, ALICE, repair=False, progress=lambda *_: None)).findings == []
    assert await state(mail) == seen
