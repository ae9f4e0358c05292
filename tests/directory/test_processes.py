"""Several processes on one store, crashes and foreign owners."""

from __future__ import annotations

import asyncio
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rmail_kernel.clock import Clock
from rmail_kernel.errors import ConfigError, Temporary
from rmail_kernel.model import Address
from rmail_kernel.process.events import LocalEvents
from rmail_kernel.storage.accounts import Alias
from rmail_kernel.storage.filesystem.directory import MAX_CACHE_AGE_S, FilesystemDirectory
from rmail_kernel.storage.filesystem.record_files import RecordFiles
from rmail_kernel.storage.ids import AccountId
from rmail_kernel.testing.clock import FakeClock
from tests.directory.conftest import new_account

ID = AccountId("alice@example.com")
PRELUDE = """
import asyncio, sys
from pathlib import Path
from rmail_kernel.clock import Clock
from rmail_kernel.model import Address
from rmail_kernel.process.events import LocalEvents
from rmail_kernel.storage.accounts import Account, Alias
from rmail_kernel.storage.filesystem.directory import FilesystemDirectory

def account(name):
    return Account(f"{name}@example.com", Address(name, "example.com"), "hash")

async def main():
    directory = FilesystemDirectory(Path(sys.argv[1]), clock=Clock(), events=LocalEvents())
"""


async def elsewhere(root: Path, body: str, **environ: str) -> int:
    """Runs `body` with a directory of its own in another process; its exit status."""
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        f"{PRELUDE}{lines}    await directory.close()\nasyncio.run(main())",
        str(root),
        env={**os.environ, **environ},
    )
    return await process.wait()


async def test_every_change_of_another_process_is_seen_at_the_next_call(
    directory: FilesystemDirectory, tmp_path: Path
) -> None:
    before = await directory.by_id(ID)
    assert before is not None
    body = "await directory.update(account('alice'), password_hash='new')"
    assert await elsewhere(tmp_path, body) == 0
    after = await directory.by_id(ID)
    assert after is not None
    assert after.password_hash == "new"
    assert after.credential_version > before.credential_version
    assert await elsewhere(tmp_path, "await directory.add_domain('new.example')") == 0
    assert await directory.has_domain("new.example")
    assert await directory.aliases("example.com") == ()
    body = "await directory.add_alias('example.com', Alias('x', 'alice'))"
    assert await elsewhere(tmp_path, body) == 0
    assert await directory.aliases("example.com") == (Alias("x", "alice"),)
    assert await elsewhere(tmp_path, "await directory.delete('alice@example.com')") == 0
    assert await directory.by_id(ID) is None


async def test_processes_that_create_at_once_lose_nothing_and_share_no_version(
    directory: FilesystemDirectory, tmp_path: Path
) -> None:
    body = "for number in range(20): await directory.create(account(f'{letter}{number}'))"
    made = await asyncio.gather(
        *(elsewhere(tmp_path, f"letter = {letter!r}\n{body}") for letter in "ab")
    )
    assert made == [0, 0]
    users = await directory.users("example.com")
    assert len(users) == 41
    assert len({user.credential_version for user in users}) == 41


async def test_two_processes_cannot_both_make_one_account(
    directory: FilesystemDirectory, tmp_path: Path
) -> None:
    body = """from rmail_kernel.errors import Conflict
try:
    await directory.create(account('bob'))
except Conflict:
    sys.exit(3)"""
    made = await asyncio.gather(*(elsewhere(tmp_path, body) for _ in range(2)))
    assert sorted(made) == [0, 3]


async def test_a_crash_during_delete_leaves_no_part_of_the_account(
    directory: FilesystemDirectory, tmp_path: Path
) -> None:
    body = "await directory.delete('alice@example.com')"
    assert await elsewhere(tmp_path, body, RMAIL_FAILPOINT="directory.remove:1") == 137
    assert await directory.by_id(ID) is None
    assert await directory.users("example.com") == []
    staging = tmp_path / "domains/.staging"
    assert [path.name.split("-")[0] for path in staging.iterdir()] == ["deleted"]
    await FilesystemDirectory(tmp_path, clock=Clock(), events=LocalEvents()).close()
    assert list(staging.iterdir()) == []


async def test_a_crash_during_create_leaves_no_half_account(
    directory: FilesystemDirectory, tmp_path: Path
) -> None:
    body = "await directory.create(account('bob'))"
    assert await elsewhere(tmp_path, body, RMAIL_FAILPOINT="directory.publish:1") == 137
    assert await directory.get(Address("bob", "example.com")) is None
    await FilesystemDirectory(tmp_path, clock=Clock(), events=LocalEvents()).close()
    assert list((tmp_path / "domains/.staging").iterdir()) == []
    await directory.create(new_account("bob"))


async def test_what_bypassed_the_generation_is_seen_after_a_while(
    directory: FilesystemDirectory, tmp_path: Path, alice_path: Path
) -> None:
    clock = FakeClock()
    reader = FilesystemDirectory(tmp_path, clock=clock, events=LocalEvents())
    assert await reader.by_id(ID) is not None
    alice_path.unlink()
    clock.advance(MAX_CACHE_AGE_S)
    assert await reader.by_id(ID) is None
    await reader.close()


async def test_a_lost_generation_file_costs_only_the_cache(
    directory: FilesystemDirectory, tmp_path: Path
) -> None:
    (tmp_path / "domains/.generation").unlink()
    account = await directory.by_id(ID)
    assert account is not None
    await directory.update(account, quota_mb=5)
    changed = await directory.by_id(ID)
    assert changed is not None
    assert changed.quota_mb == 5


def test_a_writer_that_never_lets_go_makes_others_give_up(tmp_path: Path) -> None:
    files = RecordFiles(tmp_path, lock_wait_s=0.02)
    files.open()
    with (tmp_path / "domains/.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(Temporary), files.writing():
            pytest.fail("got the lock")


def test_a_full_or_broken_disk_is_temporary(tmp_path: Path) -> None:
    files = RecordFiles(tmp_path)
    files.open()
    with pytest.raises(Temporary), files.writing():
        files.write(tmp_path / "domains/absent/x.json", b"{}")


def test_a_store_that_cannot_be_used_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be used"):
        RecordFiles(tmp_path / "file").open()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
async def test_what_root_writes_belongs_to_the_owner_of_the_store(tmp_path: Path) -> None:
    root = tmp_path / "store"
    root.mkdir()
    os.chown(root, 1234, 1235)
    directory = FilesystemDirectory(root, clock=Clock(), events=LocalEvents())
    await directory.add_domain("example.com")
    stored = await directory.create(new_account("alice"))
    await directory.update(stored, quota_mb=5)
    await directory.add_alias("example.com", Alias("x", "alice"))
    await directory.close()
    found = [path.stat() for path in root.rglob("*")]
    assert len(found) >= 9
    assert {(stat.st_uid, stat.st_gid) for stat in found} == {(1234, 1235)}
    assert {stat.st_mode & 0o077 for stat in found} == {0}


def test_the_generation_takes_no_room(tmp_path: Path) -> None:
    files = RecordFiles(tmp_path)
    files.open()
    path = tmp_path / "domains/.generation"
    os.truncate(path, 10_000_000)
    with files.writing():
        pass
    assert files.count() == 10_000_001
    blocks = subprocess.run(["stat", "-c", "%b", path], check=True, capture_output=True).stdout
    assert int(blocks) < 100
