"""What the queue does often costs the same however many jobs wait."""

from __future__ import annotations

from collections.abc import Callable

import apsw
import pytest

from rmail_kernel.storage.filesystem import queue_rows as rows
from rmail_kernel.storage.filesystem.queue_files import SpooledJob
from rmail_kernel.storage.queue import Lease, NewJob

NOW = 1_000.0
OWNER = "o"
Work = Callable[[apsw.Connection, list[Lease]], object]


def filled(count: int) -> apsw.Connection:
    """Some jobs that are due, in one lane."""
    db = apsw.Connection(":memory:")
    db.execute(rows.SCHEMA)
    with db:
        for number in range(count):
            job = NewJob(f"{number:06}", "relay", "remote.test", 1.0, {"x": "y" * 500})
            rows.insert(db, [SpooledJob(job)], f"f{number}", 1.0, 10, 100)
    return db


def take(db: apsw.Connection, count: int = 10) -> list[Lease]:
    limits = rows.Limits(count, 1000, 1000, None)
    return rows.lease(db, "relay", OWNER, NOW, 60.0, limits, is_steady=True)


def cost(count: int, work: Work) -> int:
    """Steps of the database, in tens."""
    db = filled(count)
    leases = take(db)
    steps = 0

    def step() -> bool:
        nonlocal steps
        steps += 1
        return False

    db.set_progress_handler(step, 10)
    work(db, leases)
    return steps


@pytest.mark.parametrize(
    "work",
    [
        lambda db, _: take(db),
        lambda db, leases: rows.still_held(db, leases, OWNER),
        lambda db, leases: rows.finish(db, [(leases[0].job.id, "f0")], NOW),
        lambda db, leases: rows.retry(db, leases[0], OWNER, NOW, "", {}),
        lambda db, _: rows.next_due(db, "relay"),
        lambda db, leases: rows.places(db, [held.job.id for held in leases]),
    ],
    ids=["lease", "still_held", "finish", "retry", "next_due", "places"],
)
def test_it_does_not_grow_with_the_queue(work: Work) -> None:
    assert cost(5000, work) <= 1.5 * cost(100, work) + 10
