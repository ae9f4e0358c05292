"""Processes that write to one account are killed at random, again and again, also shortly after
each other: nothing that was acknowledged is lost, nothing is there twice, index and files agree.

`RMAIL_KILL_ROUNDS=500 pytest tests/storage_filesystem/test_kills.py` runs the long form;
RMAIL_KILL_SEED has it do something else.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from rmail_kernel.storage.ids import Uid
from rmail_kernel.storage.mail import Field
from tests.storage_contract.rig import ALICE, opened

ROUNDS = int(os.environ.get("RMAIL_KILL_ROUNDS", "12"))
SEED = int(os.environ.get("RMAIL_KILL_SEED", "1"))
ROOT = Path(__file__).parents[2]
PATIENCE_S = 60.0
APART_S = (1.0, 0.03, 0.01, 0.003)
"""How far apart the kills of a round are, at most, round by round: the next holder of the lock
recovers for the one that died within milliseconds.
"""


class _Writers:
    """The processes, and what was answered to them."""

    def __init__(self, root: Path) -> None:
        self.acknowledged: dict[str, str] = {}
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
            name, what, *pid = line.split()
            with self._heard:
                if what == "started":
                    self._pids[name] = int(pid[0])
                else:
                    self.acknowledged[name] = what
                self._heard.notify_all()

    def start(self, names: list[str]) -> list[int]:
        """Starts processes and waits until each has stored something; their ids."""
        assert self._parent.stdin is not None
        self._parent.stdin.write("".join(f"{name}\n" for name in names))
        self._parent.stdin.flush()
        firsts = {f"{name}.0.1" for name in names}
        with self._heard:
            has_begun = self._heard.wait_for(lambda: firsts <= self.acknowledged.keys(), PATIENCE_S)
            assert has_begun, f"{sorted(firsts - self.acknowledged.keys())} stored nothing"
            return [self._pids[name] for name in names]

    def end(self) -> None:
        """To be called when all were killed."""
        with self._parent:
            assert self._parent.stdin is not None
            self._parent.stdin.close()
            self._reader.join(PATIENCE_S)


def _round(writers: _Writers, number: int, choice: random.Random) -> None:
    pids = writers.start([f"{number}.{who}" for who in range(choice.choice((2, 2, 3)))])
    choice.shuffle(pids)
    time.sleep(choice.uniform(0, 0.3))  # load between the kills is the test itself
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        time.sleep(choice.uniform(0, APART_S[number % len(APART_S)]))  # as above


@pytest.mark.timeout(2 * PATIENCE_S + 10 * ROUNDS)
async def test_kills_at_random_lose_and_double_nothing(tmp_path: Path) -> None:
    choice = random.Random(SEED)
    async with opened(tmp_path) as store:
        await store.mail.mailboxes(ALICE)
    writers = _Writers(tmp_path)
    try:
        for number in range(ROUNDS):
            _round(writers, number, choice)
    finally:
        writers.end()
    found: dict[str, list[str]] = {}
    async with opened(tmp_path) as store:  # compares index and files at its end
        for status in await store.mail.mailboxes(ALICE):
            view = await store.mail.view(ALICE, status.id)
            uids = [Uid(uid) for uid in view.uids[: view.total]]
            async for some in store.mail.fetch(ALICE, status.id, uids, Field.CONTENT):
                for one in some:
                    assert one.content is not None
                    raw = await one.content.read()
                    assert raw.endswith(b"end\r\n")
                    name = raw.split(b"\r\n")[0].removeprefix(b"Subject: ").decode()
                    found.setdefault(name, []).append(f"{status.name} {one.uid}")
    acknowledged = writers.acknowledged
    assert len(acknowledged) > ROUNDS
    assert acknowledged.keys() - found.keys() == set()
    assert {name: places for name, places in found.items() if len(places) > 1} == {}
    moved = {name for name, where in acknowledged.items() if where == "moved"}
    assert all(found[name][0].startswith("Archive") for name in moved)
