"""What lies on the disk: the layout that users were promised, owners, and leftovers."""

from __future__ import annotations

import asyncio
import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from rmail_kernel.content import Content
from rmail_kernel.errors import ConfigError
from rmail_kernel.storage.filesystem import FilesystemMailStore, layout, prepare_root
from rmail_kernel.storage.filesystem.disk import Owner
from rmail_kernel.storage.filesystem.layout import AccountPaths
from rmail_kernel.storage.filesystem.settling import STATUS_LAG
from rmail_kernel.storage.ids import MailboxId, Uid
from rmail_kernel.storage.mail import AppendItem
from rmail_kernel.testing import FakeClock
from tests.storage_contract.rig import ALICE, MESSAGE, Opened, item, opened

INBOX = MailboxId(1)


def names(paths: AccountPaths, mailbox: str = "INBOX") -> list[str]:
    """The message files of a mailbox, below it."""
    base = paths.mailbox(mailbox)
    return sorted(str(path.relative_to(base)) for path in base.glob("*/*.eml"))


async def test_a_message_is_a_file_named_after_uid_and_flags(
    store: Opened, paths: AccountPaths
) -> None:
    await store.put(item(), item(MESSAGE, "\\Seen"))
    await store.put(item(MESSAGE, "\\Answered", "\\Flagged", "\\Seen"))
    await store.put(item(MESSAGE, "\\Draft", "\\Deleted", "$Two"))
    await store.put(item(MESSAGE, "$Two", "$Three"))
    assert names(paths) == [
        "0000/00000001_.eml",
        "0000/00000002_S.eml",
        "0000/00000003_AFS.eml",
        "0000/00000004_DTa.eml",
        "0000/00000005_ab.eml",
    ]
    assert (paths.mailboxes / "INBOX/0000/00000001_.eml").read_bytes() == MESSAGE


async def test_a_shard_holds_a_thousand_uids(store: Opened, paths: AccountPaths) -> None:
    for _ in range(5):
        await store.put(*(item() for _ in range(201)))
    found = names(paths)
    assert "0000/00000999_.eml" in found
    assert "0001/00001000_.eml" in found
    assert len(found) == 1005


async def test_files_follow_when_one_batch_flags_and_expunges_the_same_messages(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths
) -> None:
    await store.put(*(item() for _ in range(4)))

    async def flag(uid: int, name: str) -> None:
        await mail.store_flags(ALICE, INBOX, [Uid(uid)], "add", frozenset({name}))

    with capture_logs() as lines:
        await asyncio.gather(
            flag(4, "\\Seen"),  # has a batch for itself
            flag(1, "\\Seen"),
            flag(2, "\\Deleted"),
            flag(1, "\\Flagged"),
            mail.expunge(ALICE, INBOX, None, only_deleted=True),
            flag(1, "\\Draft"),
            mail.expunge(ALICE, INBOX, [Uid(1)], only_deleted=False),
            flag(3, "\\Answered"),
        )
    assert [one["event"] for one in lines] == []
    assert names(paths) == ["0000/00000003_A.eml", "0000/00000004_S.eml"]


async def test_status_json_says_what_outlives_the_database(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths
) -> None:
    await store.put(item(MESSAGE, "$Work", mailbox="Sent"))
    await mail.settle(ALICE)
    status = await mail.status(ALICE, "Sent")
    found = json.loads((paths.mailboxes / "Sent/status.json").read_bytes())
    assert found == {
        "version": 1,
        "uid_validity": status.uidvalidity,
        "uid_next": 2,
        "uid_reserved": 1002,
        "id": status.id,
        "objectid": status.objectid,
        "special_use": "\\Sent",
        "subscribed": True,
        "keywords": ["$Work"],
    }


async def test_status_json_is_written_anew_when_it_lags(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths
) -> None:
    path = paths.mailbox("INBOX") / "status.json"
    await store.put(item())
    await mail.settle(ALICE)
    before = path.read_bytes()
    await store.put(*(item() for _ in range(STATUS_LAG - 1)))
    await mail.settle(ALICE)
    assert path.read_bytes() == before
    await store.put(item())
    await mail.settle(ALICE)
    assert json.loads(path.read_bytes())["uid_next"] == STATUS_LAG + 2


async def test_foreign_keys_of_status_json_are_kept(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths
) -> None:
    await store.put(item())
    path = paths.mailboxes / "INBOX/status.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"annotations": {"/c": "x"}}))
    await store.put(item(MESSAGE, "$A"))
    await mail.settle(ALICE)
    assert json.loads(path.read_text())["annotations"] == {"/c": "x"}


async def test_the_file_carries_the_date(store: Opened, paths: AccountPaths) -> None:
    date = datetime(2011, 1, 2, 3, 4, 5, tzinfo=UTC)
    await store.mail.append(ALICE, [AppendItem("INBOX", Content.of(MESSAGE), internal_date=date)])
    path = paths.mailboxes / "INBOX/0000/00000001_.eml"
    assert path.stat().st_mtime_ns == int(date.timestamp()) * 10**9


async def test_names_follow_the_flags_at_once_or_at_settling(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths
) -> None:
    await store.put(*(item() for _ in range(101)))
    seen = frozenset({"\\Seen"})
    await mail.store_flags(ALICE, INBOX, [Uid(uid) for uid in range(1, 101)], "add", seen)
    assert names(paths)[:2] == ["0000/00000001_S.eml", "0000/00000002_S.eml"]
    everyone = [Uid(uid) for uid in range(1, 102)]
    await mail.store_flags(ALICE, INBOX, everyone, "set", frozenset({"\\Flagged"}))
    await mail.settle(ALICE)
    assert names(paths) == [f"0000/{uid:08d}_F.eml" for uid in everyone]


async def test_a_flag_set_and_taken_back_leaves_the_first_name(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths
) -> None:
    await store.put(item())
    for op in ("add", "remove", "add", "remove"):
        await mail.store_flags(ALICE, INBOX, [Uid(1)], op, frozenset({"\\Seen"}))
    await mail.settle(ALICE)
    assert names(paths) == ["0000/00000001_.eml"]


async def test_copy_links_and_move_renames(store: Opened, paths: AccountPaths) -> None:
    await store.put(item())
    inode = (paths.mailboxes / "INBOX/0000/00000001_.eml").stat().st_ino
    await store.mail.copy(ALICE, INBOX, [Uid(1)], "Sent")
    await store.mail.move(ALICE, INBOX, [Uid(1)], "Trash")
    assert names(paths) == []
    for mailbox in ("Sent", "Trash"):
        assert (paths.mailboxes / mailbox / "0000/00000001_.eml").stat().st_ino == inode


async def test_expunged_files_go_also_when_they_are_many(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths
) -> None:
    await store.put(*(item() for _ in range(120)))
    await mail.expunge(ALICE, INBOX, [Uid(1)], only_deleted=False)
    assert len(names(paths)) == 119
    await mail.expunge(ALICE, INBOX, None, only_deleted=False)
    await mail.settle(ALICE)
    assert names(paths) == []


@pytest.mark.parametrize(
    ("name", "directory"),
    [
        ("INBOX", "INBOX"),
        ("A/B", "A%2FB"),
        ("100%", "100%25"),
        (".hidden", "%2Ehidden"),
        ("a.b", "a.b"),
        ("tab\t", "tab%09"),
        ("Entwürfe", "Entwürfe"),
        ("\x85", "%C2%85"),
    ],
)
def test_mailbox_names_and_directories_map_both_ways(name: str, directory: str) -> None:
    assert layout.directory_name(name) == directory
    assert layout.mailbox_name(directory) == name


@pytest.mark.parametrize("directory", ["inbox", "%2f", "%zz", "a%00b", ".x", "a%2F", "\udcff", ""])
def test_other_directories_are_no_mailboxes(directory: str) -> None:
    assert layout.mailbox_name(directory) in (None, "a\x00b")


async def test_nothing_is_left_over_and_old_leftovers_go(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths
) -> None:
    await store.put(*(item() for _ in range(10)), item(mailbox="Sent"))
    await mail.create(ALICE, "Temp")
    await mail.delete(ALICE, "Temp")
    await mail.settle(ALICE)
    assert list(paths.temporary.iterdir()) == []


async def test_everything_belongs_to_the_owner_of_the_store(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    root = tmp_path / "store"
    root.mkdir()
    os.chown(root, 12345, 12345)
    async with opened(root) as store:
        await store.put(item(), item(mailbox="Lists/New", create=True))
        await store.mail.copy(ALICE, INBOX, [Uid(1)], "Sent")
        home = AccountPaths.of(root, ALICE).home
        found = {path: path.stat().st_uid for path in (home, *home.rglob("*"))}
    assert {path for path, uid in found.items() if uid != 12345} == set()
    assert Owner.of(root).is_needed


def test_a_store_of_a_newer_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    prepare_root(tmp_path / "store")
    path = tmp_path / "store" / "store.json"
    assert json.loads(path.read_text()) == {"version": 1}
    for text in ('{"version": 2}', "{}", "broken", "[]"):
        path.write_text(text)
        with pytest.raises(ConfigError) as caught:
            prepare_root(tmp_path / "store")
        assert "\n" not in caught.value.safe
        assert path.read_text() == text


def test_a_root_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError):
        prepare_root(tmp_path / "file")


async def test_the_least_recently_used_accounts_are_closed(
    tmp_path: Path, clock: FakeClock
) -> None:
    from rmail_kernel.model import Address
    from rmail_kernel.storage.accounts import Account
    from rmail_kernel.storage.ids import AccountId

    async with opened(tmp_path / "store", clock=clock) as first:
        ids = [AccountId(f"user{n}@example.com") for n in range(4)]
        for name in ids:
            await first.directory.create(Account(name, Address.parse(name), "x"))
        assert isinstance(first.mail, FilesystemMailStore)
        first.mail.accounts.max_open = 2
        for _ in range(2):
            for name in ids:
                await first.put(item(), account=name)
                assert len(first.mail.accounts) <= 2
        for name in ids:
            assert (await first.mail.status(name, "INBOX")).total == 2
