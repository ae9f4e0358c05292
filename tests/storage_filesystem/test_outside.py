"""Files and mailboxes changed behind the server's back are taken in."""

from __future__ import annotations

import shutil

import pytest

from rmail_kernel.errors import Conflict
from rmail_kernel.storage.filesystem import FilesystemMailStore
from rmail_kernel.storage.filesystem.layout import AccountPaths
from rmail_kernel.storage.ids import MailboxId, Uid
from rmail_kernel.storage.mail import Field
from rmail_kernel.testing import FakeClock
from tests.storage_contract.rig import ALICE, MESSAGE, Opened, item
from tests.storage_contract.test_messages import fetched

INBOX = MailboxId(1)


async def test_an_added_file_becomes_a_message_with_a_new_uid(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths, clock: FakeClock
) -> None:
    await store.put(*(item() for _ in range(3)))
    await mail.expunge(ALICE, INBOX, [Uid(2)], only_deleted=False)
    await mail.settle(ALICE)
    shard = paths.mailboxes / "INBOX/0000"
    (shard / "00000002_F.eml").write_bytes(b"Subject: back\r\n\r\n")  # a UID that was used
    (shard / "new.eml").write_bytes(b"Subject: new\r\n\r\n")
    (shard / "00000077_S.eml").write_bytes(b"Subject: free\r\n\r\n")  # a UID nobody has seen
    (shard / ".hidden.eml").write_bytes(b"x")
    (shard / "other.txt").write_bytes(b"x")
    clock.advance(2)
    since = (await mail.changes(ALICE, INBOX, (await mail.status(ALICE, INBOX)).floor)).upto
    view = await mail.view(ALICE, "INBOX")
    assert list(view.uids) == [1, 3, 77, 78, 79]
    assert [view.flag_names(word) for word in view.flags[2:]] in (
        [["\\Seen"], ["\\Flagged"], []],
        [["\\Seen"], [], ["\\Flagged"]],
    )
    assert since == view.modseq
    assert view.uidnext == 80
    found = await fetched(store, [77, 78, 79], Field.ENVELOPE | Field.CONTENT)
    assert len(found) == 3
    assert all(one.raw_envelope for one in found)
    assert (await store.put(item()))[0].uid == 80


async def test_a_preview_that_is_asked_for_lazily_is_not_made(
    store: Opened, paths: AccountPaths, clock: FakeClock
) -> None:
    # RFC 8970 4.1
    await store.put(item(b"\r\nFirst.\r\n"))
    (paths.mailboxes / "INBOX/0000/new.eml").write_bytes(b"\r\nSecond.\r\n")
    clock.advance(2)
    await store.mail.view(ALICE, "INBOX")

    async def previews(field: Field) -> list[str | None]:
        return [one.preview for one in await fetched(store, [1, 2], field)]

    assert await previews(Field.PREVIEW_LAZY) == ["First.", None]
    assert await previews(Field.PREVIEW | Field.PREVIEW_LAZY) == ["First.", "Second."]
    assert await previews(Field.PREVIEW_LAZY) == ["First.", "Second."]


async def test_a_removed_file_is_an_expunged_message(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths, clock: FakeClock
) -> None:
    await store.put(item(), item())
    since = (await mail.view(ALICE, "INBOX")).modseq
    (paths.mailboxes / "INBOX/0000/00000001_.eml").unlink()
    clock.advance(2)
    assert list((await mail.view(ALICE, "INBOX")).uids) == [2]
    assert (await mail.changes(ALICE, INBOX, since)).vanished == [1]
    assert (await mail.quota(ALICE)).used_bytes == len(MESSAGE)


async def test_a_renamed_file_has_other_flags(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths, clock: FakeClock
) -> None:
    await store.put(item(MESSAGE, "$A"), item())
    since = (await mail.view(ALICE, "INBOX")).modseq
    shard = paths.mailboxes / "INBOX/0000"
    (shard / "00000001_a.eml").rename(shard / "00000001_FSaz.eml")
    clock.advance(2)
    view = await mail.view(ALICE, "INBOX")
    assert view.flag_names(view.flags[0]) == ["\\Flagged", "\\Seen", "$A"]
    changed = (await mail.changes(ALICE, INBOX, since)).changed
    assert [one.uid for one in changed] == [1]
    shutil.move(shard / "00000001_FSaz.eml", shard / "00000001_FSa.eml")


async def test_our_own_changes_are_not_taken_for_others(
    store: Opened, mail: FilesystemMailStore, clock: FakeClock
) -> None:
    await store.put(*(item() for _ in range(3)))
    await mail.store_flags(ALICE, INBOX, [Uid(1)], "add", frozenset({"\\Seen"}))
    await mail.copy(ALICE, INBOX, [Uid(1)], "Sent")
    await mail.move(ALICE, INBOX, [Uid(2)], "Trash")
    await mail.expunge(ALICE, INBOX, [Uid(3)], only_deleted=False)
    await mail.create(ALICE, "A")
    await mail.rename(ALICE, "A", "B")
    await mail.delete(ALICE, "B")
    before = await mail.mailboxes(ALICE)
    for _ in range(2):
        await mail.settle(ALICE)
        clock.advance(5)
        assert await mail.differing(ALICE) == []
        assert await mail.mailboxes(ALICE) == before


async def test_a_change_from_outside_is_not_covered_up_by_our_own(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths, clock: FakeClock
) -> None:
    await store.put(item())
    (paths.mailboxes / "INBOX/0000/new.eml").write_bytes(MESSAGE)
    await store.put(item())
    clock.advance(2)
    assert (await mail.view(ALICE, "INBOX")).total == 3


async def test_mailboxes_added_renamed_and_removed_from_outside(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths, clock: FakeClock
) -> None:
    await mail.create(ALICE, "Old")
    await mail.create(ALICE, "Gone")
    await store.put(item(mailbox="Old"), item(mailbox="Gone"))
    await mail.settle(ALICE)
    old = await mail.status(ALICE, "Old")
    (paths.mailboxes / "Old").rename(paths.mailboxes / "Lists%2FOld")
    shutil.rmtree(paths.mailboxes / "Gone")
    (paths.mailboxes / "Put%2FHere" / "0000").mkdir(parents=True)
    (paths.mailboxes / "Put%2FHere" / "0000" / "00000009_S.eml").write_bytes(MESSAGE)
    (paths.mailboxes / "%no").mkdir()
    shutil.copytree(paths.mailboxes / "INBOX", paths.mailboxes / "Copy")
    clock.advance(2)
    found = {status.name: status for status in await mail.mailboxes(ALICE)}
    assert not {"Old", "Gone", "%no"} & found.keys()
    assert (found["Lists/Old"].id, found["Lists/Old"].total) == (old.id, 1)
    assert found["Lists/Old"].uidvalidity == old.uidvalidity
    assert (found["Put/Here"].total, found["Put/Here"].unseen) == (1, 0)
    assert found["Put/Here"].uidnext >= 10
    assert found["Copy"].uidvalidity != found["INBOX"].uidvalidity
    assert len({status.id for status in found.values()}) == len(found)
    assert (await mail.quota(ALICE)).used_messages == 2


async def test_inbox_comes_back_when_its_directory_is_removed(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths, clock: FakeClock
) -> None:
    await store.put(item())
    before = await mail.status(ALICE, "INBOX")
    shutil.rmtree(paths.mailboxes / "INBOX")
    clock.advance(2)
    await mail.mailboxes(ALICE)
    clock.advance(2)
    after = await mail.status(ALICE, "INBOX")
    assert (after.id, after.uidvalidity, after.total, after.uidnext) == (
        before.id,
        before.uidvalidity,
        0,
        2,
    )
    assert (await store.put(item()))[0].uid == 2


async def test_create_finds_a_directory_that_was_put_there(
    mail: FilesystemMailStore, paths: AccountPaths, clock: FakeClock
) -> None:
    await mail.mailboxes(ALICE)
    (paths.mailboxes / "Also").mkdir()
    (paths.mailboxes / "Here" / "0000").mkdir(parents=True)
    (paths.mailboxes / "Here" / "0000" / "x.eml").write_bytes(MESSAGE)
    with pytest.raises(Conflict):
        await mail.create(ALICE, "Here")
    with pytest.raises(Conflict):
        await mail.rename(ALICE, "Sent", "Also")
    clock.advance(2)
    assert await mail.create(ALICE, "Also/New")
    assert {"Also", "Also/New", "Here"} <= {one.name for one in await mail.mailboxes(ALICE)}


async def test_a_directory_that_was_put_there_is_found_by_its_name(
    mail: FilesystemMailStore, paths: AccountPaths, clock: FakeClock
) -> None:
    await mail.mailboxes(ALICE)
    (paths.mailboxes / "Here" / "0000").mkdir(parents=True)
    (paths.mailboxes / "Here" / "0000" / "x.eml").write_bytes(MESSAGE)
    clock.advance(2)
    assert (await mail.status(ALICE, "Here")).total == 1


async def test_a_missing_file_is_left_out_when_it_is_read(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths, clock: FakeClock
) -> None:
    await store.put(item(), item())
    await mail.view(ALICE, "INBOX")
    (paths.mailboxes / "INBOX/0000/00000001_.eml").unlink()
    assert [one.uid for one in await fetched(store, [1, 2], Field.CONTENT)] == [2]
    clock.advance(2)
    assert list((await mail.view(ALICE, "INBOX")).uids) == [2]
