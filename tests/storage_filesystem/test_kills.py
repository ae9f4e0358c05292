"""Processes that write to one account are killed at random, again and again, also shortly after
each other: nothing that was acknowledged is lost, nothing is there twice, index and files agree.
While the database is harmed, too, a move may be half done, and what nobody has read of a log that
was changed under its users may be wrong until the check repairs it, but nothing is lost.

`RMAIL_KILL_ROUNDS=500 pytest tests/storage_filesystem/test_kills.py` runs the long form;
RMAIL_KILL_SEED has it do something else.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from rmail_kernel.storage.filesystem import FilesystemMailStore
from rmail_kernel.storage.filesystem.fsck import check
from rmail_kernel.storage.ids import Uid
from rmail_kernel.storage.mail import Field
from tests.storage_contract.rig import ALICE, opened
from tests.storage_filesystem import damage

ROUNDS = int(os.environ.get("RMAIL_KILL_ROUNDS", "12"))
SEED = int(os.environ.get("RMAIL_KILL_SEED", "1"))
ROOT = Path(__file__).parents[2]
PATIENCE_S = 60.0
Act = Callable[[], None]
APART_S = (1.0, 0.03, 0.01, 0.003)
"""How far apart the kills of a round are, at most, round by round: the next holder of the lock
recovers for the one that died within milliseconds.
"""


class _Writers:
    """The processes, and what was answered to them."""

    def __init__(self, root: Path) -> None:
        self.acknowledged: dict[str, str] = {}
        self.failed: set[str] = set()
        self.doubled: list[tuple[str, str]] = []
        self.twice: dict[str, list[str]] = {}
        self._places: dict[tuple[str, str], str] = {}
        self._pids: dict[str, int] = {}
        self._heard = threading.Condition()
        command = [sys.executable, "-m", "tests.storage_filesystem.hammer", str(root)]
        self._parent = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._parent.stdout is not None
        for line in self._parent.stdout:
            name, what, number = line.split()
            with self._heard:
                if what == "started":
                    self._pids[name] = int(number)
                elif what == "failed":
                    self.failed.add(name)
                else:
                    self._acknowledge(name, what, number)
                self._heard.notify_all()

    def _acknowledge(self, name: str, what: str, uid: str) -> None:
        self.acknowledged[name] = what
        if self._places.setdefault((what, uid), name) != name:
            self.doubled.append((what, uid))

    def start(self, names: list[str]) -> list[int]:
        """Starts processes and waits until each has stored something; their ids."""
        assert self._parent.stdin is not None
        self._parent.stdin.write("".join(f"{name}\n" for name in names))
        self._parent.stdin.flush()
        firsts = {f"{name}.0.1" for name in names}
        with self._heard:
            has_begun = self._heard.wait_for(
                lambda: firsts <= self.acknowledged.keys() | self.failed, PATIENCE_S
            )
            assert has_begun, f"{sorted(firsts - self.acknowledged.keys())} stored nothing"
            return [self._pids[name] for name in names]

    def end(self) -> None:
        """To be called when all were killed."""
        with self._parent:
            assert self._parent.stdin is not None
            self._parent.stdin.close()
            self._reader.join(PATIENCE_S)


def _round(writers: _Writers, number: int, choice: random.Random, harm: Act) -> None:
    pids = writers.start([f"{number}.{who}" for who in range(choice.choice((2, 2, 3)))])
    time.sleep(choice.uniform(0, 0.3))  # load between the kills is the test itself
    acts: list[Act] = [harm, *(partial(os.kill, pid, signal.SIGKILL) for pid in pids)]
    choice.shuffle(acts)
    for act in acts:
        act()
        time.sleep(choice.uniform(0, APART_S[number % len(APART_S)]))  # as above


async def _run(root: Path, rounds: int, choice: random.Random, harm: Act) -> _Writers:
    """Does it; what was answered."""
    async with opened(root) as store:
        await store.mail.mailboxes(ALICE)
    writers = _Writers(root)
    try:
        for number in range(rounds):
            _round(writers, number, choice, harm)
    finally:
        writers.end()
    assert len(writers.acknowledged) > rounds
    assert writers.doubled == []  # a UID means one message for ever
    return writers


async def _settle(root: Path, writers: _Writers) -> None:
    """Has all that was acknowledged found, and moved messages in Archive."""
    found = await _found(root)
    assert writers.acknowledged.keys() - found.keys() == set()
    moved = {name for name, what in writers.acknowledged.items() if what == "moved"}
    assert all(any(place.startswith("Archive") for place in found[name]) for name in moved)
    writers.twice = {name: places for name, places in found.items() if len(places) > 1}


async def _repair(root: Path) -> None:
    async with opened(root, check_after=False) as store:
        assert isinstance(store.mail, FilesystemMailStore)
        report = await check(store.mail, ALICE, repair=True, progress=lambda *_: None)
        assert report.is_clean


def _on_disk(root: Path) -> set[str]:
    """The messages that are there as files, whatever the index says."""
    raws = [path.read_bytes() for path in damage.paths(root).mailboxes.rglob("*.eml")]
    return {_name(raw) for raw in raws}


def _name(raw: bytes) -> str:
    assert raw.endswith(b"end\r\n")
    return raw.split(b"\r\n")[0].removeprefix(b"Subject: ").decode()


async def _found(root: Path) -> dict[str, list[str]]:
    """Where each message is."""
    found: dict[str, list[str]] = {}
    async with opened(root) as store:  # compares index and files at its end
        for status in await store.mail.mailboxes(ALICE):
            view = await store.mail.view(ALICE, status.id)
            uids = [Uid(uid) for uid in view.uids[: view.total]]
            async for some in store.mail.fetch(ALICE, status.id, uids, Field.CONTENT):
                for one in some:
                    assert one.content is not None
                    name = _name(await one.content.read())
                    found.setdefault(name, []).append(f"{status.name} {one.uid}")
    return found


@pytest.mark.timeout(2 * PATIENCE_S + 10 * ROUNDS)
async def test_kills_at_random_lose_and_double_nothing(tmp_path: Path) -> None:
    done = await _run(tmp_path, ROUNDS, random.Random(SEED), lambda: None)
    await _settle(tmp_path, done)
    assert done.twice == {}
    assert done.failed == set()


@pytest.mark.timeout(2 * PATIENCE_S + 10 * ROUNDS)
async def test_kills_while_the_database_is_harmed_lose_nothing(tmp_path: Path) -> None:
    choice = random.Random(SEED)
    kept = tmp_path / "older.db"

    def spoil() -> None:
        database = damage.paths(tmp_path).database
        if database.exists() and not kept.exists():
            shutil.copyfile(database, kept)  # the state to return to
        kind = choice.choice(damage.KINDS)
        print(kind)
        damage.harm(tmp_path, kind)

    done = await _run(tmp_path, ROUNDS // 2, choice, spoil)
    assert done.acknowledged.keys() - _on_disk(tmp_path) == set()
    await _repair(tmp_path)
    await _settle(tmp_path, done)
    assert all(len(places) == 2 for places in done.twice.values())
