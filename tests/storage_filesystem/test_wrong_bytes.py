"""A row may have bytes that never came, from a log that was damaged while it was open: the file of
a message that is what came stays so, whatever the row says.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import apsw
import pytest

from rmail_kernel.storage.filesystem import FilesystemMailStore, unsettled
from rmail_kernel.storage.filesystem.layout import AccountPaths
from rmail_kernel.storage.ids import MailboxId, Uid
from rmail_kernel.storage.mail import Field
from tests.storage_contract.rig import ALICE, MESSAGE, Opened, item, opened
from tests.storage_contract.test_messages import fetched
from tests.storage_filesystem import damage

INBOX = MailboxId(1)
FILE = "INBOX/0000/00000001_.eml"


def spoil(paths: AccountPaths) -> None:
    """Changes the first byte of every message that is unsettled."""
    with apsw.Connection(str(paths.database)) as db:
        sql = "UPDATE incoming SET content = CAST('!' || substr(content, 2) AS BLOB)"
        db.execute(sql)
        assert db.total_changes() > 0
    db.close()


async def _content(store: Opened) -> bytes:
    (one,) = await fetched(store, [1], Field.CONTENT)
    assert one.content is not None
    return await one.content.read()


async def test_the_next_holder_leaves_the_file_as_it_is(store: Opened, tmp_path: Path) -> None:
    await store.put(item())
    shutil.copytree(store.root, tmp_path / "left")
    spoil(damage.paths(tmp_path / "left"))
    async with opened(tmp_path / "left") as other:
        await other.mail.store_flags(ALICE, INBOX, [Uid(1)], "add", frozenset({"\\Seen"}))
        assert await _content(other) == MESSAGE


async def test_a_file_that_is_not_what_came_is_restored(store: Opened, tmp_path: Path) -> None:
    await store.put(item())
    shutil.copytree(store.root, tmp_path / "left")
    path = damage.paths(tmp_path / "left").mailboxes / FILE
    path.write_bytes(bytes(len(MESSAGE)))  # as after a power loss
    async with opened(tmp_path / "left") as other:
        await other.mail.store_flags(ALICE, INBOX, [Uid(1)], "add", frozenset({"\\Seen"}))
        assert await _content(other) == MESSAGE


async def test_after_a_failed_sync_the_file_is_written_anew_as_it_was(
    store: Opened,
    mail: FilesystemMailStore,
    paths: AccountPaths,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await store.put(item())
    inode = (paths.mailboxes / FILE).stat().st_ino
    spoil(paths)

    def fail(*_: object) -> list[int]:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(unsettled, "sync", fail)
        await mail.settle(ALICE)
    assert (paths.mailboxes / FILE).stat().st_ino != inode
    assert await _content(store) == MESSAGE


async def test_a_database_that_is_made_anew_takes_no_wrong_bytes(
    store: Opened, paths: AccountPaths
) -> None:
    await store.put(item())
    spoil(paths)
    damage.harm(store.root, "deleted")
    await store.mail.store_flags(ALICE, INBOX, [Uid(1)], "add", frozenset({"\\Seen"}))
    assert await _content(store) == MESSAGE
