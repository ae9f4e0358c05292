"""The full-text indexes follow by themselves, and what indexes much is a process of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import apsw
import pytest

from rmail_kernel.storage.filesystem import (
    FilesystemMailStore,
    following,
    fulltext,
    indexer,
    schema,
)
from rmail_kernel.storage.filesystem.disk import Owner
from rmail_kernel.storage.filesystem.following import Follower
from rmail_kernel.storage.filesystem.indexer_process import IndexerProcess, dump, parse
from rmail_kernel.storage.filesystem.indexing import Outcome, index_slice, lag
from rmail_kernel.storage.filesystem.layout import AccountPaths
from rmail_kernel.storage.ids import MailboxId, Uid
from rmail_kernel.storage.search import Body
from tests.storage_contract.rig import ALICE, Opened, item

INBOX = MailboxId(1)
pytestmark = pytest.mark.usefixtures("patience")


@pytest.fixture
async def follower(store: Opened) -> AsyncIterator[Follower]:
    """One more than that of the store."""
    found = Follower(Owner.of(store.root))
    yield found
    await found.close()


def hurry(patience: pytest.MonkeyPatch) -> None:
    """From now on nothing waits for an account to rest, or for another process."""
    patience.setattr(following, "QUIET_S", 0.01)
    patience.setattr(following, "AGAIN_S", 0.01)


def indexed(paths: AccountPaths) -> int:
    """How many messages the index has."""
    db = apsw.Connection(str(paths.index))
    try:
        return int(schema.value(db, "SELECT count(*) FROM body_docsize"))
    finally:
        db.close()


async def put(store: Opened, count: int) -> None:
    """Appends messages of one word each."""
    await store.put(*(item(b"Subject: n\r\n\r\nneedle %d\r\n" % n) for n in range(count)))


@pytest.mark.parametrize("count", [1, following.FEW, following.FEW + 1])
async def test_an_index_follows_few_changes_here_and_many_elsewhere(
    store: Opened,
    follower: Follower,
    paths: AccountPaths,
    patience: pytest.MonkeyPatch,
    count: int,
) -> None:
    asked = []
    slice_ = IndexerProcess.slice

    def noted(self: IndexerProcess, paths: AccountPaths, owner: Owner, *, anew: bool) -> Outcome:
        asked.append(paths)
        return slice_(self, paths, owner, anew=anew)

    patience.setattr(IndexerProcess, "slice", noted)
    await put(store, count)
    hurry(patience)
    follower.index_soon(paths)
    follower.index_soon(paths)
    await follower.idle()
    assert indexed(paths) == count
    assert bool(asked) is (count > following.FEW)


async def test_an_index_that_another_process_is_at_is_given_up_for_now(
    store: Opened, follower: Follower, paths: AccountPaths, patience: pytest.MonkeyPatch
) -> None:
    await put(store, 1)
    hurry(patience)
    with fulltext.locked(paths, Owner.of(store.root), wait=True):
        follower.index_soon(paths)
        await follower.idle()
    assert not paths.index.exists()
    await follower.close()
    follower.index_soon(paths)
    await follower.idle()
    assert not paths.index.exists()


async def test_a_damaged_index_is_made_anew(
    store: Opened, follower: Follower, paths: AccountPaths, patience: pytest.MonkeyPatch
) -> None:
    await put(store, 2)
    hurry(patience)
    paths.index.write_bytes(b"this is none")
    index = fulltext.Index(paths)
    index.is_damaged = True
    follower.mend(paths, index)
    assert not index.is_damaged
    await follower.idle()
    assert indexed(paths) == 2


async def test_a_search_that_has_much_to_read_does_not_wait_for_the_account_to_rest(
    store: Opened, follower: Follower, paths: AccountPaths, patience: pytest.MonkeyPatch
) -> None:
    patience.setattr(following, "MANY", 3)
    await put(store, 1)
    index_slice(paths, Owner.of(store.root), anew=False, wait=True)
    await put(store, 3)
    follower.index_soon(paths)
    index = fulltext.Index(paths)
    view = await store.mail.view(ALICE, INBOX)
    index.foreknow(view, [Body("needle")])
    assert index.behind == 3
    follower.mend(paths, index)
    await follower.idle()
    assert indexed(paths) == 4
    index.foreknow(view, [Body("needle")])
    assert index.behind == 0
    index.close()


async def test_closing_does_not_wait_for_the_account_to_rest(
    store: Opened, follower: Follower, paths: AccountPaths
) -> None:
    await put(store, 1)
    follower.index_soon(paths)
    await asyncio.sleep(0)
    await follower.close()
    assert not paths.index.exists()


async def test_the_lag_tells_what_is_to_do(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths
) -> None:
    assert lag(AccountPaths.below(store.root / "nobody")) == 0
    await put(store, 3)
    assert lag(paths) == 3
    await mail.index(ALICE)
    assert lag(paths) == 0
    await mail.expunge(ALICE, INBOX, [Uid(1)], only_deleted=False)
    assert lag(paths) == 1
    await mail.index(ALICE)
    await put(store, 1)
    assert lag(paths) > 0
    await mail.copy(ALICE, INBOX, [Uid(2)], "Archive")
    await mail.index(ALICE)
    await mail.delete(ALICE, "Archive")
    assert lag(paths) == 1
    db = apsw.Connection(str(paths.index))
    db.execute("UPDATE mailbox SET uidvalidity=1")
    db.close()
    assert lag(paths) > 0
    paths.index.write_bytes(b"this is none" * 1000)
    assert lag(paths) > 0
    await mail.index(ALICE, anew=True)
    assert lag(paths) == 0


def test_a_question_comes_out_as_it_went_in(paths: AccountPaths) -> None:
    odd = AccountPaths.below(paths.home / "\udcff\n")
    assert parse(dump(odd, Owner(1, 2, True), anew=True)) == (odd, Owner(1, 2, True), True)


async def test_another_process_indexes_and_tells_of_trouble(
    store: Opened, paths: AccountPaths
) -> None:
    await put(store, 1)
    owner = Owner.of(store.root)
    process = IndexerProcess()
    try:
        assert process.slice(paths, owner, anew=False) is Outcome.DONE
        assert indexed(paths) == 1
        with fulltext.locked(paths, owner, wait=True):
            assert process.slice(paths, owner, anew=False) is Outcome.BUSY
        paths.index_lock.unlink()
        paths.index_lock.mkdir()
        with pytest.raises(OSError, match="directory"):
            process.slice(paths, owner, anew=False)
        paths.index_lock.rmdir()
        assert process.slice(paths, owner, anew=True) is Outcome.DONE
    finally:
        process.end()
    process.end()


async def test_a_process_that_has_died_is_followed_by_another(
    store: Opened, paths: AccountPaths
) -> None:
    await put(store, 1)
    owner = Owner.of(store.root)
    process = IndexerProcess()
    try:
        process.slice(paths, owner, anew=False)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        with pytest.raises(OSError, match="ended"):
            process.slice(paths, owner, anew=False)
        assert process.pid is None
        assert process.slice(paths, owner, anew=False) is Outcome.DONE
    finally:
        process.end()


def test_the_process_ends_with_the_one_that_started_it_and_not_by_its_signals(
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-m", "rmail_kernel.storage.filesystem.indexer"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        nowhere = AccountPaths.below(tmp_path / "nobody")
        process.stdin.write(dump(nowhere, Owner(0, 0, False), anew=False) + b"\n")
        process.stdin.flush()
        assert process.stdout.readline() == b'["DONE", ""]\n'
        assert os.getpriority(os.PRIO_PROCESS, process.pid) == indexer.NICE
        process.terminate()
        process.stdin.close()
        assert process.wait(20) == 0
