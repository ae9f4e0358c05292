"""Power losses at any moment: jobs that were acknowledged are in the queue, whole, and those that
were finished are not.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import pytest

from tests.power_loss.checking import cases, scratch
from tests.power_loss.disk import Disk, Tree
from tests.power_loss.queue_workload import Later, text
from tests.power_loss.recording import Entry, Event, Mark, Recording, Sync, is_possible, record
from tests.storage_contract.test_queue import opened, take

STATES = int(os.environ.get("RMAIL_POWER_STATES", "150"))
SEED = int(os.environ.get("RMAIL_POWER_SEED", "1"))
pytestmark = [
    pytest.mark.tool("gcc"),
    pytest.mark.skipif(not is_possible(), reason="the recorder is for 64-bit Linux"),
]


@pytest.fixture(scope="module")
def recording() -> Recording:
    """What a process did to its disk."""
    with scratch() as folder:
        return record(folder, "tests.power_loss.queue_workload")


async def wrong(tree: Tree, said: Sequence[dict[str, object]]) -> str:
    """What is wrong with a disk, "" when nothing is."""
    put = [name for mark in said for name in mark.get("put", [])]  # type: ignore[attr-defined] # JSON
    done = {mark["done"] for mark in said if "done" in mark}
    begun = {mark["begun"] for mark in said if "begun" in mark}
    noted = {mark["noted"]: mark["record"] for mark in said if "noted" in mark}
    with scratch() as disk:
        tree.write(disk)
        try:
            async with opened(disk / "store", Later()) as queue:
                await take(queue)
                found = {job.id: job for job in await queue.jobs("relay")}
                contents = {name: (await queue.content(job)).read() for name, job in found.items()}
        except Exception as error:  # whatever a queue does instead of opening
            return repr(error)
    torn = [name for name, raw in contents.items() if raw != text(name[:2])]
    lost = set(put) - begun - found.keys()
    again = done & found.keys()
    forgotten = [name for name in noted if name not in found or found[name].record != noted[name]]
    trouble = {"torn": torn, "lost": lost, "again": again, "forgotten": forgotten}
    return "; ".join(f"{name}: {names}" for name, names in trouble.items() if names)


async def violations(events: Sequence[Event], count: int, *, stop_after: int = 1000) -> list[str]:
    """What is wrong after power losses at chosen moments."""
    disk, found, seen = Disk(events), [], set()
    for end, loss in cases(events, count, SEED):
        tree = disk.after(end, loss)
        said = [event.value for event in events[:end] if isinstance(event, Mark)]
        key = (tree.digest(), len(said))
        if key in seen:
            continue
        seen.add(key)
        if trouble := await wrong(tree, said):
            found.append(f"after {end} of {len(events)}, {loss}: {trouble}")
        if len(found) >= stop_after:
            break
    return found


@pytest.mark.timeout(60 + STATES)
async def test_what_was_acknowledged_survives_a_power_loss_at_any_moment(
    recording: Recording,
) -> None:
    assert await violations(recording.events, STATES) == []


@pytest.mark.parametrize("kind", ["wal", "content", "spool"])
async def test_each_kind_of_sync_is_needed_and_missed(recording: Recording, kind: str) -> None:
    ends = {"wal": ("-wal",), "content": (".tmp", ".new", ".msg"), "spool": ("spool",)}[kind]
    names: dict[int, set[str]] = {}
    for event in recording.events:
        if isinstance(event, Entry) and event.come is not None:
            names.setdefault(event.item, set()).add(event.come[1])
    without = [
        event
        for event in recording.events
        if not isinstance(event, Sync)
        or not any(name.endswith(ends) for name in names.get(event.item, ()))
    ]
    assert len(without) < len(recording.events)
    assert await violations(without, 200, stop_after=1)
