"""Accounts: create, read, update, delete."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from rmail_kernel.errors import Conflict, Corrupt, Invalid, NotFound
from rmail_kernel.model import Address
from rmail_kernel.process.events import LocalEvents
from rmail_kernel.storage.accounts import Account
from rmail_kernel.storage.events import Change
from rmail_kernel.storage.filesystem import directory as module
from rmail_kernel.storage.filesystem.directory import FilesystemDirectory
from rmail_kernel.storage.ids import AccountId
from tests.directory.conftest import new_account

ALICE = Address("alice", "example.com")
ID = AccountId("alice@example.com")


async def alice(directory: FilesystemDirectory) -> Account:
    found = await directory.by_id(ID)
    assert found is not None
    return found


async def test_local_parts_compare_without_case(directory: FilesystemDirectory) -> None:
    assert await directory.get(Address("ALICE", "example.com")) == await alice(directory)


@pytest.mark.parametrize(
    "account", ["nobody@example.com", "alice@other.example", "../alice@example.com", "x", "@", "a@"]
)
async def test_an_id_that_is_no_account_is_none(
    directory: FilesystemDirectory, account: str
) -> None:
    assert await directory.by_id(AccountId(account)) is None


@pytest.mark.parametrize(
    "name", ["", "Alice", "al ice", ".alice", "alice-", "a..b", "../x", "ä", "a" * 65, "a\n", "a/b"]
)
async def test_bad_user_names_are_refused(directory: FilesystemDirectory, name: str) -> None:
    with pytest.raises(Invalid):
        await directory.create(new_account(name))


@pytest.mark.parametrize("name", ["a", "0", "a.b_c-d", "a" * 64])
async def test_good_user_names_are_taken(directory: FilesystemDirectory, name: str) -> None:
    stored = await directory.create(new_account(name))
    assert await directory.get(Address(name, "example.com")) == stored
    assert [user.address.local for user in await directory.users("EXAMPLE.com")] == sorted(
        {"alice", name}
    )


@pytest.mark.parametrize("messages", [0, -1, 1_000_000_001])
async def test_a_quota_of_messages_has_bounds(
    directory: FilesystemDirectory, messages: int
) -> None:
    with pytest.raises(Invalid):
        await directory.create(replace(new_account("bob"), quota_messages=messages))
    with pytest.raises(Invalid):
        await directory.update(await alice(directory), quota_messages=messages)
    assert (await directory.update(await alice(directory), quota_messages=1)).quota_messages == 1
    assert (
        await directory.update(await alice(directory), quota_messages=None)
    ).quota_messages is None


@pytest.mark.parametrize("quota_mb", [0, -1, 1_048_577])
async def test_quota_has_bounds(directory: FilesystemDirectory, quota_mb: int) -> None:
    with pytest.raises(Invalid):
        await directory.create(new_account("bob", quota_mb=quota_mb))
    with pytest.raises(Invalid):
        await directory.update(await alice(directory), quota_mb=quota_mb)
    assert (await alice(directory)).quota_mb == 1024


async def test_an_account_is_made_once_and_in_a_known_domain(
    directory: FilesystemDirectory,
) -> None:
    with pytest.raises(Conflict):
        await directory.create(new_account("alice"))
    with pytest.raises(NotFound):
        await directory.create(new_account("alice", "other.example"))


async def test_the_version_rises_with_password_and_enabled_only(
    directory: FilesystemDirectory,
) -> None:
    versions = [(await alice(directory)).credential_version]
    for change in (
        {"quota_mb": 5},
        {"is_admin": True},
        {"preferences": {"theme": "dark"}},
        {"password_hash": "hash one"},  # the same
        {"password_hash": "hash two"},
        {"is_enabled": False},
    ):
        versions.append(
            (await directory.update(await alice(directory), **change)).credential_version
        )
    assert versions[:5] == [versions[0]] * 5
    assert versions[4] < versions[5] < versions[6]
    now = await alice(directory)
    assert (now.quota_mb, now.is_admin, now.preferences) == (5, True, {"theme": "dark"})


async def test_a_stale_record_does_not_undo_what_others_changed(
    directory: FilesystemDirectory,
) -> None:
    stale = await alice(directory)
    await directory.update(stale, quota_mb=7)
    assert (await directory.update(stale, is_admin=True)).quota_mb == 7


async def test_a_version_given_is_a_precondition_and_is_kept(
    directory: FilesystemDirectory,
) -> None:
    before = await alice(directory)
    kept = await directory.update(
        before, password_hash="hash two", credential_version=before.credential_version
    )
    assert kept.credential_version == before.credential_version
    await directory.update(before, password_hash="hash three")
    with pytest.raises(Conflict):
        await directory.update(
            before, password_hash="hash four", credential_version=before.credential_version
        )
    assert (await alice(directory)).password_hash == "hash three"


@pytest.mark.parametrize(
    "changes",
    [
        {"address": ALICE},
        {"nonsense": 1},
        {"quota_mb": "7"},
        {"quota_mb": True},
        {"is_enabled": 1},
        {"preferences": {"x": object()}},
        {"preferences": {"x": "y" * 70_000}},
    ],
)
async def test_bad_changes_are_refused_whole(
    directory: FilesystemDirectory, changes: dict[str, object]
) -> None:
    before = await alice(directory)
    with pytest.raises(Invalid):
        await directory.update(before, **changes)
    assert await alice(directory) == before


async def test_a_deleted_account_is_gone_and_its_name_free(
    directory: FilesystemDirectory, alice_path: Path
) -> None:
    before = await alice(directory)
    (alice_path.parent / "mailboxes").mkdir()
    await directory.delete(ID)
    assert await directory.by_id(ID) is None
    assert not alice_path.parent.exists()
    with pytest.raises(NotFound):
        await directory.delete(ID)
    with pytest.raises(NotFound):
        await directory.update(before, quota_mb=1)
    again = await directory.create(new_account("alice"))
    assert again.credential_version > before.credential_version  # old tokens stay dead


async def test_every_change_is_published(
    directory: FilesystemDirectory, events: LocalEvents
) -> None:
    seen: list[Change] = []
    with events.subscribe(ID, seen.append):
        await directory.update(await alice(directory), quota_mb=5)
        await directory.delete(ID)
        await directory.create(new_account("alice"))
    assert seen == [Change(ID, "account")] * 3


async def test_unknown_fields_are_kept(directory: FilesystemDirectory, alice_path: Path) -> None:
    data = json.loads(alice_path.read_bytes())
    alice_path.write_text(json.dumps({**data, "nickname": "Al"}))
    await directory.update(await alice(directory), quota_mb=5)
    stored = json.loads(alice_path.read_bytes())
    assert (stored["nickname"], stored["quota_mb"], stored["version"]) == ("Al", 5, 1)


async def test_the_original_layout_without_a_version_is_read(
    directory: FilesystemDirectory, alice_path: Path
) -> None:
    old = {
        "username": "bob",
        "domain": "example.com",
        "password_hash": "pbkdf2_sha256$1000$salt$aGFzaA==",
        "enabled": True,
        "admin": True,
        "quota_mb": 2048,
        "created": "2025-01-15T10:30:00+00:00",
    }
    folder = alice_path.parent.with_name("bob")
    folder.mkdir()
    (folder / "account.json").write_text(json.dumps(old))
    bob = await directory.get(Address("bob", "example.com"))
    assert bob is not None
    assert (bob.is_admin, bob.quota_mb, bob.credential_version) == (True, 2048, 1)
    assert bob.created_at is not None
    assert bob.created_at.isoformat() == old["created"]
    await directory.update(bob, is_admin=False)
    stored = json.loads((folder / "account.json").read_bytes())
    assert (stored["version"], stored["created"]) == (1, old["created"])


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ('{"version": 2}', "has version 2, this rmail reads up to 1"),
        ('{"version": "x"}', "no usable version"),
        ('{"enabled": 1}', "'enabled' must be of type bool"),
        ('{"created": "yesterday"}', "ISO 8601"),
        ("{", "not valid JSON"),
        ("3", "JSON object"),
    ],
)
async def test_an_unreadable_record_names_file_and_reason(
    directory: FilesystemDirectory, alice_path: Path, raw: str, reason: str
) -> None:
    alice_path.write_text(raw)
    await directory.add_domain("new.example")  # a write: nothing is read from memory
    with pytest.raises(Corrupt, match=reason) as caught:
        await directory.by_id(ID)
    assert str(alice_path) in caught.value.safe
    await directory.delete(ID)
    assert await directory.by_id(ID) is None


async def test_the_cache_of_accounts_is_bounded(
    directory: FilesystemDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_CACHED_ACCOUNTS", 2)
    names = [f"user{number}" for number in range(4)]
    for name in names:
        await directory.create(new_account(name))
    for _ in range(2):
        found = [await directory.get(Address(name, "example.com")) for name in names]
        assert [account.address.local for account in found if account] == names
        assert len(directory._accounts) == 2
