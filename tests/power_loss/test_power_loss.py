"""Power losses at any moment: what was answered is there, whole, and no number is used again.

RMAIL_POWER_STATES: how many states of the disk are checked; RMAIL_POWER_SEED: which.
"""

from __future__ import annotations

import filecmp
import os
from pathlib import Path

import pytest

from tests.power_loss.checking import cases, scratch, violations, violations_again
from tests.power_loss.disk import ALL_SPARED, NOTHING_SPARED, Disk
from tests.power_loss.recording import Entry, Event, Mark, Recording, Sync, is_possible, record
from tests.power_loss.workload import STEPS

STATES = int(os.environ.get("RMAIL_POWER_STATES", "200"))
SEED = int(os.environ.get("RMAIL_POWER_SEED", "1"))
WORKLOAD = "tests.power_loss.workload"
pytestmark = [
    pytest.mark.tool("gcc"),
    pytest.mark.skipif(not is_possible(), reason="the recorder is for 64-bit Linux"),
]


@pytest.fixture(scope="module")
def recording() -> Recording:
    """What a process did to its disk while it ran through the steps."""
    with scratch() as folder:
        found = record(folder, WORKLOAD)
        _assert_that_nothing_was_missed(found, folder)
    return found


def _assert_that_nothing_was_missed(found: Recording, folder: Path) -> None:
    """Replayed in full, it is the disk that the process left behind."""
    (folder / "replayed").mkdir()
    Disk(found.events).after(len(found.events), ALL_SPARED).write(folder / "replayed")
    files = {p.relative_to(folder / "disk") for p in (folder / "disk").rglob("*")}
    assert files == {p.relative_to(folder / "replayed") for p in (folder / "replayed").rglob("*")}
    plain = [str(name) for name in files if (folder / "disk" / name).is_file()]
    same, _, _ = filecmp.cmpfiles(folder / "disk", folder / "replayed", plain, shallow=False)
    assert sorted(same) == sorted(plain)


def test_the_recorder_misses_nothing_that_matters(recording: Recording) -> None:
    answered = [
        e.value["done"] for e in recording.events if isinstance(e, Mark) and "done" in e.value
    ]
    assert answered == list(range(1, len(STEPS) + 1))
    # SQLite makes these anew when it opens a database after a crash.
    assert {name.rpartition("-")[2] for name in recording.mapped} == {"shm"}


@pytest.mark.timeout(60 + STATES)
async def test_what_was_answered_survives_a_power_loss_at_any_moment(recording: Recording) -> None:
    found, disks = await violations(recording.events, STATES, SEED)
    print(f"{disks} different disks of {STATES} power losses, seed {SEED}")
    assert found == []
    assert disks > STATES // 2


@pytest.mark.timeout(60 + STATES)
async def test_it_survives_another_power_loss_while_the_store_recovers(
    recording: Recording,
) -> None:
    found, disks = await violations_again(recording.events, STATES // 60, SEED)
    assert found == []
    assert disks > STATES // 60


async def test_a_store_that_never_syncs_a_folder_is_found_out() -> None:
    with scratch() as folder:
        planted = record(folder, WORKLOAD, "--forget-folders")
    found, _ = await violations(planted.events, 200, SEED, stop_after=1)
    assert found


@pytest.mark.parametrize(
    "kind", ["mailboxes", "0000", "users", "spool", "wal", "content", "journal"]
)
async def test_each_kind_of_sync_is_needed_and_missed(recording: Recording, kind: str) -> None:
    without = _without_syncs(recording.events, kind)
    assert len(without) < len(recording.events)
    found, _ = await violations(without, 200, SEED, stop_after=1)
    assert found


def _without_syncs(events: list[Event], kind: str) -> list[Event]:
    """The recording of a store that forgets to sync folders of a name, its log, or messages."""
    names: dict[int, set[str]] = {}
    for event in events:
        if isinstance(event, Entry) and event.come is not None:
            names.setdefault(event.item, set()).add(event.come[1])

    def is_forgotten(event: Event) -> bool:
        if not isinstance(event, Sync):
            return False
        called = names.get(event.item, set())
        if kind == "wal":
            return any(name.endswith("-wal") for name in called)
        if kind == "journal":
            return any(name.endswith(".log") for name in called)
        if kind == "content":
            return any(name.endswith((".eml", ".msg")) for name in called)
        return kind in called

    return [event for event in events if not is_forgotten(event)]


def test_cases_reach_each_answer_with_nothing_spared(recording: Recording) -> None:
    answers = {
        at + 1
        for at, event in enumerate(recording.events)
        if isinstance(event, Mark) and "done" in event.value
    }
    chosen = {end for end, loss in cases(recording.events, 300, 1) if loss == NOTHING_SPARED}
    assert answers <= chosen
