"""Files from outside lie where ours are about to be, or bear a UID of ours; files of ours are where
they should not be: nothing that anybody put there is overwritten, no message is taken for another.
"""

from __future__ import annotations

import shutil

import pytest

from rmail_kernel.storage.filesystem import FilesystemMailStore
from rmail_kernel.storage.filesystem.layout import AccountPaths
from rmail_kernel.storage.filesystem.unsettled import SMALL_BYTES
from rmail_kernel.storage.filesystem.withdrawn import withdraw
from rmail_kernel.storage.ids import MailboxId, Uid
from rmail_kernel.storage.mail import Field
from rmail_kernel.testing import FakeClock
from tests.storage_contract.rig import ALICE, MESSAGE, Opened, item
from tests.storage_contract.test_messages import fetched

INBOX = MailboxId(1)
OTHER = b"Subject: put there\r\n\r\n"
LARGE = MESSAGE + b"x" * SMALL_BYTES


async def _contents(store: Opened) -> dict[int, bytes]:
    view = await store.mail.view(ALICE, INBOX)
    found = await fetched(store, list(view.uids), Field.CONTENT)
    return {one.uid: await one.content.read() for one in found if one.content is not None}


@pytest.mark.parametrize("raw", [MESSAGE, LARGE], ids=["small", "large"])
async def test_a_file_in_the_place_of_a_new_message_becomes_one_of_its_own(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths, clock: FakeClock, raw: bytes
) -> None:
    await store.put(item())
    shard = paths.mailboxes / "INBOX/0000"
    (shard / "00000002_.eml").write_bytes(OTHER)
    assert [one.uid for one in await store.put(item(raw))] == [2]
    clock.advance(2)
    assert await _contents(store) == {1: MESSAGE, 2: raw, 3: OTHER}


async def test_a_file_in_the_place_of_a_copy_becomes_a_message_of_its_own(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths, clock: FakeClock
) -> None:
    await store.put(item())
    shard = paths.mailboxes / "INBOX/0000"
    (shard / "00000002_.eml").write_bytes(OTHER)
    assert (await mail.copy(ALICE, INBOX, [Uid(1)], "INBOX")).target == [2]
    clock.advance(2)
    assert await _contents(store) == {1: MESSAGE, 2: MESSAGE, 3: OTHER}


@pytest.mark.parametrize("name", ["00000001_.eml", "00000001_F.eml", "00000001_T.eml"])
async def test_of_several_files_with_one_uid_the_message_keeps_its_own(
    store: Opened, paths: AccountPaths, clock: FakeClock, name: str
) -> None:
    await store.put(item(MESSAGE, "\\Seen"))
    (paths.mailboxes / "INBOX/0000" / name).write_bytes(OTHER)
    clock.advance(2)
    assert await _contents(store) == {1: MESSAGE, 2: OTHER}


async def test_a_file_that_was_withdrawn_is_put_back_when_its_row_misses_it(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths, clock: FakeClock
) -> None:
    await store.put(item(), item(LARGE))
    await mail.settle(ALICE)
    shard = paths.mailboxes / "INBOX/0000"
    for uid in (1, 2):
        withdraw(paths.temporary, INBOX, uid, shard / f"0000000{uid}_.eml")
    (paths.temporary / f"withdrawn.{INBOX}.7.x").write_bytes(OTHER)  # of no row
    assert list(shard.iterdir()) == []
    clock.advance(2)
    assert await _contents(store) == {1: MESSAGE, 2: LARGE}


async def test_what_was_withdrawn_is_not_put_back_for_a_message_of_another_size(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths, clock: FakeClock
) -> None:
    await store.put(item())
    await mail.settle(ALICE)
    (paths.mailboxes / "INBOX/0000/00000001_.eml").unlink()
    (paths.temporary / f"withdrawn.{INBOX}.1.x").write_bytes(OTHER)
    clock.advance(2)
    assert await _contents(store) == {}


async def test_the_folder_for_temporary_files_may_be_removed_at_any_time(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths, clock: FakeClock
) -> None:
    await store.put(*(item() for _ in range(3)))
    await mail.create(ALICE, "Work")
    shutil.rmtree(paths.temporary)
    await mail.delete(ALICE, "Work")
    await mail.move(ALICE, INBOX, [Uid(1)], "Archive")
    shutil.rmtree(paths.temporary)
    (paths.mailboxes / "INBOX/0000/00000002_.eml").unlink()
    clock.advance(2)
    assert await _contents(store) == {3: MESSAGE}
    await mail.settle(ALICE)
    assert "Work" not in {status.name for status in await mail.mailboxes(ALICE)}
    assert (await store.put(item(LARGE)))[0].uid == 4
