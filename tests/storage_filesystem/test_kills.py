"""Two processes that write to one account are killed at random, again and again: nothing that was
acknowledged is lost, nothing is there twice, index and files agree. RMAIL_KILL_ROUNDS: how often.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from rmail_kernel.storage.ids import Uid
from rmail_kernel.storage.mail import Field
from tests.storage_contract.rig import ALICE, opened

ROUNDS = int(os.environ.get("RMAIL_KILL_ROUNDS", "3"))
ROOT = Path(__file__).parents[2]


def _round(root: Path, number: int, seconds: float) -> list[str]:
    """Lines that two writers printed before they were killed."""
    command = [sys.executable, "-m", "tests.storage_filesystem.hammer", str(root)]
    started = [
        subprocess.Popen([*command, f"{number}.{who}"], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for who in range(2)
    ]
    lines: list[str] = []

    def read(process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process:
            first = process.stdout.readline()
            threading.Timer(seconds, process.kill).start()
            lines.extend(line for line in (first, *process.stdout) if line.endswith("\n"))

    readers = [threading.Thread(target=read, args=(process,)) for process in started]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    return [line.strip() for line in lines]


@pytest.mark.timeout(60 + 10 * ROUNDS)
async def test_kills_at_random_lose_and_double_nothing(tmp_path: Path) -> None:
    choice = random.Random(1)
    acknowledged: dict[str, str] = {}
    async with opened(tmp_path) as store:
        await store.mail.mailboxes(ALICE)
    for number in range(ROUNDS):
        for line in _round(tmp_path, number, choice.uniform(0.2, 0.7)):
            name, _, where = line.partition(" ")
            acknowledged[name] = where
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
    assert len(acknowledged) > ROUNDS
    assert acknowledged.keys() - found.keys() == set()
    assert {name: places for name, places in found.items() if len(places) > 1} == {}
    moved = {name for name, where in acknowledged.items() if where == "moved"}
    assert all(found[name][0].startswith("Archive") for name in moved)
