"""The disk that loses what was not synced: what is safe, what is torn, what is whole."""

from __future__ import annotations

import pytest

from tests.power_loss.disk import NOTHING_SPARED, Disk, Loss, Names
from tests.power_loss.recording import ROOT_OBJECT, Entry, Event, Sync, Write

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
