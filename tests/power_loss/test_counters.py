"""What must outlive the database is on the disk before what depends on it is answered: a power loss
and the loss of account.db together never give out a UID, a MODSEQ or a mailbox id twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rmail_kernel.storage.filesystem import schema, tables
from rmail_kernel.storage.filesystem.agreement import counter_faults, status_faults
from rmail_kernel.storage.filesystem.layout import AccountPaths
from rmail_kernel.storage.ids import AccountId
from tests.power_loss.checking import scratch
from tests.power_loss.disk import NOTHING_SPARED, Disk
from tests.power_loss.recording import Entry, Event, Mark, Sync, is_possible, record
from tests.power_loss.workload import ALICE

pytestmark = [
    pytest.mark.tool("gcc"),
    pytest.mark.skipif(not is_possible(), reason="the recorder is for 64-bit Linux"),
]
_UNCOVERED = "does not cover"
_LEFT = "status.json", "mail.json"


@pytest.fixture(scope="module")
def events() -> list[Event]:
    """What a process did to its disk while it ran through the steps of the workload."""
    with scratch() as folder:
        return record(folder, "tests.power_loss.workload").events


def _faults(disk: Path, account: AccountId) -> list[str]:
    """Which numbers that the database has given out the files beside it do not know of."""
    paths = AccountPaths.of(disk, account)
    if not paths.database.exists():
        return []
    db = schema.connect(paths.database)
    try:
        texts = counter_faults(paths, tables.account_row(db))
        for row in tables.mailbox_rows(db):
            if paths.mailbox(row.name).is_dir():  # else it is still under its other name
                texts += [f"{row.name}: {text}" for text in status_faults(paths, row)]
        return [text for text in texts if _UNCOVERED in text or "is missing" in text]
    finally:
        db.close()


def _uncovered(events: list[Event]) -> list[str]:
    """The faults after a power loss at each answer, with nothing spared that was not synced."""
    disk = Disk(events)
    found: list[str] = []
    for at, event in enumerate(events):
        if isinstance(event, Mark) and "done" in event.value:
            with scratch() as folder:
                disk.after(at + 1, NOTHING_SPARED).write(folder)
                found += [
                    f"{event.value['done']}: {text}" for text in _faults(folder / "store", ALICE)
                ]
    return found


def _without_their_syncs(events: list[Event]) -> Iterator[Event]:
    """The recording of a store that replaces one of these files and does not sync its folder."""
    due: set[int] = set()
    for event in events:
        if isinstance(event, Entry) and event.come is not None and event.come[1] in _LEFT:
            due.add(event.come[0])
        if isinstance(event, Sync) and event.item in due:
            due.discard(event.item)
        else:
            yield event


@pytest.mark.timeout(120)
def test_the_files_beside_the_database_cover_all_that_was_given_out(events: list[Event]) -> None:
    assert _uncovered(events) == []


@pytest.mark.timeout(120)
def test_a_store_that_does_not_sync_the_names_of_these_files_is_found_out(
    events: list[Event],
) -> None:
    without = list(_without_their_syncs(events))
    assert len(without) < len(events)
    assert _uncovered(without)
