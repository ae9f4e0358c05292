"""Power losses at any moment: what was answered is there, whole, and no number is used again.

RMAIL_POWER_STATES: how many states of the disk are checked; RMAIL_POWER_SEED: which.
"""

from __future__ import annotations

import filecmp
import os
from pathlib import Path

import pytest

from tests.power_loss.checking import cases, scratch, violations
from tests.power_loss.disk import ALL_SPARED, NOTHING_SPARED, Disk, Loss, Names
from tests.power_loss.recording import (
    ROOT_OBJECT,
    Entry,
    Event,
    Mark,
    Recording,
    Sync,
    Write,
    record,
    why_not,
)
from tests.power_loss.workload import STEPS

STATES = int(os.environ.get("RMAIL_POWER_STATES", "300"))
SEED = int(os.environ.get("RMAIL_POWER_SEED", "1"))
WORKLOAD = "tests.power_loss.workload"
WHY_NOT = why_not()
needs_recorder = pytest.mark.skipif(WHY_NOT is not None, reason=WHY_NOT or "")


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


@needs_recorder
def test_the_recorder_misses_nothing_that_matters(recording: Recording) -> None:
    answered = [
        e.value["done"] for e in recording.events if isinstance(e, Mark) and "done" in e.value
    ]
    assert answered == list(range(1, len(STEPS) + 1))
    # SQLite makes these anew when it opens a database after a crash.
    assert {name.rpartition("-")[2] for name in recording.mapped} == {"shm"}


@needs_recorder
@pytest.mark.timeout(60 + STATES)
async def test_what_was_answered_survives_a_power_loss_at_any_moment(recording: Recording) -> None:
    found, disks = await violations(recording.events, STATES, SEED)
    print(f"{disks} different disks of {STATES} power losses, seed {SEED}")
    assert found == []
    assert disks > STATES // 2


@needs_recorder
async def test_a_store_that_never_syncs_a_folder_is_found_out() -> None:
    with scratch() as folder:
        planted = record(folder, WORKLOAD, "--forget-folders")
    found, _ = await violations(planted.events, 200, SEED, stop_after=1)
    assert found


@needs_recorder
@pytest.mark.parametrize("kind", ["mailboxes", "0000", "users", "spool", "wal", "content"])
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
        if kind == "content":
            return any(name.endswith((".eml", ".msg")) for name in called)
        return kind in called

    return [event for event in events if not is_forgotten(event)]


# -- the disk itself

FOLDER, OLD, NEW = 1, 2, 3
MAKE = Entry(FOLDER, None, (ROOT_OBJECT, "d"), ((ROOT_OBJECT, 1), (FOLDER, 1)), is_folder=True)
REPLACE: list[Event] = [
    MAKE,
    Sync(ROOT_OBJECT),
    Entry(OLD, None, (FOLDER, "f"), ((FOLDER, 2),)),
    Write(OLD, 0, b"old"),
    Sync(OLD),
    Sync(FOLDER),
    Entry(NEW, None, (FOLDER, "aside"), ((FOLDER, 3),)),
    Write(NEW, 0, b"new" * 5000),
    Entry(NEW, (FOLDER, "aside"), (FOLDER, "f"), ((FOLDER, 4),)),
]


def _content(events: list[Event], loss: Loss) -> dict[str, bytes]:
    tree = Disk(events).after(len(events), loss)
    return {name: tree.files.get(item, b"") for name, item in tree.folders[FOLDER].items()}


def test_a_name_is_lost_until_its_folder_is_synced() -> None:
    assert _content(REPLACE, NOTHING_SPARED) == {"f": b"old"}
    assert _content([*REPLACE, Sync(NEW)], NOTHING_SPARED) == {"f": b"old"}
    assert _content([*REPLACE, Sync(NEW), Sync(FOLDER)], NOTHING_SPARED) == {"f": b"new" * 5000}


def test_bytes_are_lost_until_their_file_is_synced() -> None:
    assert _content([*REPLACE, Sync(FOLDER)], NOTHING_SPARED) == {"f": b""}


def test_a_folder_whose_name_was_not_synced_is_lost_with_all_in_it() -> None:
    events = [event for event in REPLACE if event != Sync(ROOT_OBJECT)]
    assert Disk(events).after(len(events), NOTHING_SPARED).folders[ROOT_OBJECT] == {}


@pytest.mark.parametrize("names", list(Names)[1:])
def test_a_rename_is_there_or_not_as_a_whole(names: Names) -> None:
    seen = set()
    for seed in range(100):
        found = _content([*REPLACE, Sync(NEW)], Loss(names, seed, 0.5))
        seen.add(frozenset(found))
        assert found["f"] in (b"old", b"new" * 5000)
        assert set(found) <= {"f", "aside"}
        assert found["f"] == b"old" or "aside" not in found
    assert frozenset({"f"}) in seen


def test_writes_are_torn_at_blocks() -> None:
    found = [
        _content([*REPLACE, Sync(FOLDER)], Loss(Names.NONE, seed, 0.5, 512))["f"]
        for seed in range(50)
    ]
    whole = b"new" * 5000
    assert any(0 < len(raw) < len(whole) for raw in found)
    assert any(len(raw) == len(whole) != raw.count(b"n") * 3 for raw in found)
    for raw in found:
        for at in range(0, len(raw), 512):
            assert raw[at : at + 512] in (
                whole[at : at + 512][: len(raw) - at],
                bytes(len(raw[at : at + 512])),
            )


@needs_recorder
def test_cases_reach_each_answer_with_nothing_spared(recording: Recording) -> None:
    answers = {
        at + 1
        for at, event in enumerate(recording.events)
        if isinstance(event, Mark) and "done" in event.value
    }
    chosen = {end for end, loss in cases(recording.events, 300, 1) if loss == NOTHING_SPARED}
    assert answers <= chosen
