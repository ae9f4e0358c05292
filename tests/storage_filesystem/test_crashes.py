"""A process that dies at any step leaves a store in which each answered operation is done, the one
under way is done or not, nothing is half-done, and a retry completes it.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from rmail_kernel.storage.ids import MailboxId
from rmail_kernel.testing import FakeClock
from tests.storage_contract.rig import ALICE, opened
from tests.storage_filesystem.scenario import STEPS, State, run, state

ROOT = Path(__file__).parents[2]
COUNTS = {
    "defaults.before": 1,
    "rebuild.before": 1,
    "create.made": 4,
    "append.written": 8,
    "append.renamed": 2,
    "append.landed": 9,
    "annotate.written": 2,
    "subscriptions.written": 1,
    "keywords.written": 2,
    "copy.linked": 4,
    "unsettled.synced": 2,
    "commit.before": 23,
    "commit.after": 23,
    "followup.after": 23,
    "log.before": 3,
    "flags.renamed": 4,
    "expunge.unlinked": 5,
    "directory.before": 3,
    "directory.after": 3,
}
CASES = [(name, count) for name, last in COUNTS.items() for count in range(1, last + 1)]


@pytest.fixture(scope="module")
def crashed(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, int], Path]:
    """A store for each case, left behind by a process that died there."""
    base = tmp_path_factory.mktemp("crashed")
    return crash(base, CASES)


def crash(base: Path, cases: list[tuple[str, int]]) -> dict[tuple[str, int], Path]:
    """Runs the series once for each case, until it dies there; the folders it leaves."""
    folders = {case: base / f"{case[0]}.{case[1]}" for case in cases}
    for folder in folders.values():
        folder.mkdir()
    given = json.dumps([(str(folders[case]), *case) for case in cases])
    done = subprocess.run(
        [sys.executable, "-m", "tests.storage_filesystem.scenario"],
        cwd=ROOT,
        input=given,
        capture_output=True,
        text=True,
        check=True,
        timeout=220,
    )
    ended = dict(zip(cases, json.loads(done.stdout), strict=True))
    assert {case: status for case, status in ended.items() if status != 137} == {}, done.stderr
    return folders


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> list[State]:
    """What is seen after each number of steps, when nothing goes wrong."""
    return asyncio.run(expected_states(tmp_path_factory.mktemp("expected") / "store"))


async def expected_states(root: Path) -> list[State]:
    """What is seen after each number of steps, when nothing goes wrong."""
    clock = FakeClock()
    found: list[State] = []
    async with opened(root, clock=clock) as store:
        found.append({})
        for step in STEPS:
            await step(store)
            found.append(await state(store.mail))
    found[0] = found[1]
    return found


@pytest.mark.timeout(240)
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]}:{case[1]}")
async def test_what_was_answered_is_done_and_nothing_is_half_done(
    case: tuple[str, int], crashed: dict[tuple[str, int], Path], expected: list[State]
) -> None:
    folder = crashed[case]
    answered = len((folder / "answered").read_bytes())
    async with opened(folder / "store", clock=FakeClock()) as store:
        found = await state(store.mail)
        assert found in expected[answered : answered + 2]
        if answered < len(STEPS):  # the client tries again
            if found == expected[answered]:
                await STEPS[answered](store)
            assert await state(store.mail) == expected[answered + 1]
        used = sum(s.size_bytes for s in await store.mail.mailboxes(ALICE))
        assert (await store.mail.quota(ALICE)).used_bytes == used


async def test_a_retry_after_a_crash_past_the_commit_stores_nothing_twice(
    crashed: dict[tuple[str, int], Path], expected: list[State]
) -> None:
    answered = 2  # the third step is the first append
    ended = [crashed["commit.after", count] for count in range(1, COUNTS["commit.after"] + 1)]
    folder = next(one for one in ended if len((one / "answered").read_bytes()) == answered)
    async with opened(folder / "store", clock=FakeClock()) as store:
        await STEPS[answered](store)
        assert await state(store.mail) == expected[answered + 1]
        assert (await store.mail.status(ALICE, MailboxId(1))).uidnext == 2


async def test_the_series_runs_to_its_end_without_failpoints(tmp_path: Path) -> None:
    answered: list[int] = []
    await run(tmp_path / "store", answered.append, FakeClock())
    assert len(answered) == len(STEPS)
