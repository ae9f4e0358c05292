"""The rows of `queue.db`: what each operation of the queue does inside one transaction.

Every write checks before it changes anything, so that one refused operation leaves the others of
its batch alone. A job can be taken when `next_at` has come: its due time, or the end of its lease.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import apsw

from rmail_kernel.errors import Conflict
from rmail_kernel.storage.filesystem.queue_files import Place, SpooledJob
from rmail_kernel.storage.queue import Job, JobState, Lease, NewJob, Record, Room, Tally

SCHEMA_VERSION = 2
FINISHED_S = 7 * 86400.0
FIRST_LOOK = 256  # rows
Found = list[tuple[str, str]]  # ids and files of jobs
SCHEMA = f"""
CREATE TABLE job(
    id TEXT PRIMARY KEY, kind TEXT, lane TEXT, file TEXT, head_bytes INTEGER, size_bytes INTEGER,
    created_at REAL, due_at REAL, next_at REAL, attempts INTEGER, fence INTEGER, owner TEXT,
    is_held INTEGER, record TEXT, error TEXT) WITHOUT ROWID;
CREATE INDEX job_next ON job(kind, is_held, next_at);
CREATE INDEX job_lane ON job(kind, is_held, lane, next_at);
CREATE INDEX job_file ON job(file);
CREATE INDEX job_owner ON job(owner) WHERE owner IS NOT NULL;
CREATE TABLE body(file TEXT PRIMARY KEY, at REAL, raw BLOB) WITHOUT ROWID;
CREATE INDEX body_at ON body(at);
CREATE TABLE finished(id TEXT PRIMARY KEY, at REAL) WITHOUT ROWID;
CREATE INDEX finished_at ON finished(at);
PRAGMA user_version={SCHEMA_VERSION};
"""
_COLUMNS = """id, kind, lane, created_at, due_at, attempts, record, error, size_bytes, is_held,
    owner, next_at, fence"""
_READY = f"SELECT {_COLUMNS} FROM job WHERE kind = ? AND is_held = 0 AND next_at <= ?"  # noqa: S608 - constants
# The lanes that have a job, each found by one step of the index however many jobs it has.
_LANES = """WITH RECURSIVE found(lane) AS (
    SELECT min(lane) FROM job WHERE kind = ?1 AND is_held = 0 UNION ALL
    SELECT (SELECT min(lane) FROM job WHERE kind = ?1 AND is_held = 0 AND lane > found.lane)
    FROM found WHERE found.lane IS NOT NULL)
    SELECT lane FROM found WHERE lane IS NOT NULL"""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is taken, see `Queue.lease`."""

    count: int
    per_lane: int
    total: int
    room: Room | None


def insert(
    db: apsw.Connection,
    jobs: Iterable[SpooledJob],
    file: str,
    created_at: float,
    head_bytes: int,
    size_bytes: int,
) -> None:
    """Adds the jobs of a file; those that are known stay as they are."""
    for spooled in jobs:
        job = spooled.job
        db.execute(
            "INSERT OR IGNORE INTO job VALUES(?,?,?,?,?,?,?,?,?,?,0,NULL,?,?,?)",
            (
                job.id, job.kind, job.lane, file, head_bytes, size_bytes, created_at,
                job.due_at, job.due_at, spooled.attempts, spooled.is_held,
                json.dumps(job.record, ensure_ascii=False), spooled.error,
            ),
        )  # fmt: skip


def keep_body(db: apsw.Connection, file: str, now: float, raw: bytes) -> None:
    """Keeps the bytes of a file that is not synced."""
    db.execute("INSERT OR IGNORE INTO body VALUES(?, ?, ?)", (file, now, raw))


def bodies(db: apsw.Connection, before: float, limit: int) -> list[tuple[str, bytes]]:
    """Files that are not known to be synced, and their bytes."""
    query = "SELECT file, raw FROM body WHERE at <= ? ORDER BY at LIMIT ?"
    return cast(list[tuple[str, bytes]], db.execute(query, (before, limit)).fetchall())


def drop_bodies(db: apsw.Connection, files: Iterable[str]) -> None:
    """These files are synced, or gone."""
    db.execute(
        "DELETE FROM body WHERE file IN (SELECT value FROM json_each(?))",
        (json.dumps(list(files)),),
    )


def is_finished(db: apsw.Connection, file: str) -> bool:
    """Whether all jobs of a file were done within the last days."""
    return bool(db.execute("SELECT 1 FROM finished WHERE id = ?", (file,)).fetchall())


def is_known(db: apsw.Connection, jobs: Iterable[NewJob]) -> bool:
    """Whether any of the jobs is there, or was done within the last days."""
    query = "SELECT 1 FROM job WHERE id = ?1 UNION ALL SELECT 1 FROM finished WHERE id = ?1"
    return any(db.execute(query, (job.id,)).fetchall() for job in jobs)


def lease(
    db: apsw.Connection,
    kind: str,
    owner: str,
    now: float,
    ttl_s: float,
    limits: Limits,
    *,
    is_steady: bool,
) -> list[Lease]:
    """Takes jobs that are due; see `Queue.lease`.

    Args:
        is_steady: whether the clock tells when a lease is over; if not, those of the living last.
    """
    ready = _READY if is_steady else f"{_READY} AND owner IS NULL"
    taken = _Picked(_leased(db, kind, now), limits)
    looked = taken.add(db.execute(ready + " ORDER BY next_at LIMIT ?", (kind, now, FIRST_LOOK)))
    if not taken.is_full and looked == FIRST_LOOK:
        # Lanes that are full stand before the others.
        for (lane,) in cast(list[tuple[str]], db.execute(_LANES, (kind,)).fetchall()):
            room = taken.room(lane)
            if room > 0 and not taken.is_full:
                query = ready + " AND lane = ? ORDER BY next_at LIMIT ?"
                taken.add(db.execute(query, (kind, now, lane, limits.per_lane)))
    until = now + ttl_s
    # One statement for many rows: between two, other threads of the process take their turn.
    db.execute(
        """UPDATE job SET owner = ?, next_at = ?, fence = fence + 1
        WHERE id IN (SELECT value FROM json_each(?))""",
        (owner, until, json.dumps([row[0] for row in taken.rows])),
    )
    return [Lease(job_of(row, JobState.LEASED), row[12] + 1, until) for row in taken.rows]


class _Picked:
    """Rows that were chosen, within the limits."""

    def __init__(self, busy: Counter[str], limits: Limits) -> None:
        self.rows: list[tuple[Any, ...]] = []
        self._busy = busy
        self._most = min(limits.count, limits.total - busy.total())
        self._ids: set[str] = set()
        self._limits = limits

    @property
    def is_full(self) -> bool:
        return len(self.rows) >= self._most

    def room(self, lane: str) -> int:
        left = self._limits.per_lane - self._busy[lane]
        wanted = self._limits.room
        return left if wanted is None else min(left, wanted.left(lane))

    def add(self, rows: Iterable[tuple[Any, ...]]) -> int:
        """Chooses among rows, reading no more of them than it takes; how many were read."""
        looked = 0
        for row in rows if not self.is_full else ():
            looked += 1
            if row[0] not in self._ids and self.room(row[2]) > 0:
                self._take(row)
                if self.is_full:
                    break
        return looked

    def _take(self, row: tuple[Any, ...]) -> None:
        self._ids.add(row[0])
        self._busy[row[2]] += 1
        self.rows.append(row)
        if self._limits.room is not None:
            self._limits.room.took(row[2])


def _leased(db: apsw.Connection, kind: str, now: float) -> Counter[str]:
    # Left to itself it looks through all jobs of the kind.
    query = """SELECT lane, count(*) FROM job INDEXED BY job_owner
        WHERE owner IS NOT NULL AND kind = ? AND next_at > ? GROUP BY lane"""
    return Counter(dict(cast(list[tuple[str, int]], db.execute(query, (kind, now)).fetchall())))


def check(db: apsw.Connection, held: Lease, owner: str) -> str:
    """The file of a job that is still ours. Conflict: it is not."""
    rows = db.execute("SELECT owner, fence, file FROM job WHERE id = ?", (held.job.id,)).fetchall()
    if not rows or rows[0][:2] != (owner, held.fence):
        raise Conflict("The lease is lost", job=held.job.id)
    return str(rows[0][2])


def renew(db: apsw.Connection, held: Lease, owner: str, until: float) -> None:
    """Moves the end of a lease."""
    check(db, held, owner)
    db.execute("UPDATE job SET next_at = ? WHERE id = ?", (until, held.job.id))


def note(db: apsw.Connection, held: Lease, owner: str, record: Record) -> str:
    """Replaces the record; the file of the job."""
    file = check(db, held, owner)
    raw = json.dumps(record, ensure_ascii=False)
    db.execute("UPDATE job SET record = ? WHERE id = ?", (raw, held.job.id))
    return file


def retry(
    db: apsw.Connection, held: Lease, owner: str, due_at: float, error: str, record: Record
) -> str:
    """Gives a job back; the file of the job."""
    file = note(db, held, owner, record)
    db.execute(
        """UPDATE job SET owner = NULL, due_at = ?1, next_at = ?1, attempts = attempts + 1,
        error = ?2 WHERE id = ?3""",
        (due_at, error, held.job.id),
    )
    return file


def still_held(
    db: apsw.Connection, leases: Sequence[Lease], owner: str
) -> dict[tuple[str, int], str]:
    """The files of those jobs that are still ours, by id and fencing number."""
    # CROSS: left to itself it compares each with all that the owner holds.
    query = """SELECT job.id, fence, file FROM json_each(?) AS held CROSS JOIN job
        ON job.id = held.value ->> 0 AND fence = held.value ->> 1 WHERE owner = ?"""
    named = json.dumps([[held.job.id, held.fence] for held in leases])
    found = cast(list[tuple[str, int, str]], db.execute(query, (named, owner)).fetchall())
    return {(job_id, fence): file for job_id, fence, file in found}


def finish(db: apsw.Connection, found: Found, now: float) -> list[str]:
    """Forgets jobs; those of their files that have no other job."""
    ids = json.dumps([job_id for job_id, _ in found])
    db.execute("DELETE FROM job WHERE id IN (SELECT value FROM json_each(?))", (ids,))
    query = """SELECT DISTINCT value FROM json_each(?)
        WHERE NOT EXISTS (SELECT 1 FROM job WHERE file = value)"""
    rows = db.execute(query, (json.dumps([file for _, file in found]),)).fetchall()
    files = [str(file) for (file,) in rows]
    named = json.dumps([*(job_id for job_id, _ in found), *files])
    db.execute("REPLACE INTO finished SELECT value, ? FROM json_each(?)", (now, named))
    drop_bodies(db, files)
    return files


def set_held(db: apsw.Connection, kind: str, ids: Sequence[str], _now: float) -> Found:
    """Holds jobs; an attempt under way goes on."""
    return _update(db, "is_held = 1", "is_held = 0", kind, ids)


def unset_held(db: apsw.Connection, kind: str, ids: Sequence[str], now: float) -> Found:
    """Ends a hold; due at once, unless an attempt is under way."""
    due = f"due_at = {now!r}, next_at = iif(owner IS NULL, {now!r}, next_at)"
    return _update(db, f"is_held = 0, {due}", "is_held = 1", kind, ids)


def hurry(db: apsw.Connection, kind: str, ids: Sequence[str], now: float) -> Found:
    """Makes waiting jobs due."""
    condition = f"is_held = 0 AND (owner IS NULL OR next_at <= {now!r})"
    return _update(db, f"due_at = {now!r}, next_at = {now!r}", condition, kind, ids)


def cancelled(db: apsw.Connection, kind: str, ids: Sequence[str], now: float) -> Found:
    """Those of the named jobs that nobody works on."""
    query = """SELECT id, file FROM job WHERE id = ? AND kind = ?
        AND (owner IS NULL OR next_at <= ?)"""
    found = [db.execute(query, (job_id, kind, now)).fetchall() for job_id in ids]
    return [cast(tuple[str, str], row) for rows in found for row in rows]


def _update(
    db: apsw.Connection, change: str, condition: str, kind: str, ids: Sequence[str]
) -> Found:
    query = f"UPDATE job SET {change} WHERE id = ? AND kind = ? AND {condition} RETURNING id, file"  # noqa: S608 - constants and numbers
    found = [db.execute(query, (job_id, kind)).fetchall() for job_id in ids]
    return [cast(tuple[str, str], row) for rows in found for row in rows]


def postpone(db: apsw.Connection, kind: str, lane: str, due_at: float) -> None:
    """Moves the waiting jobs of a lane that would be due earlier."""
    db.execute(
        """UPDATE job SET due_at = ?1, next_at = ?1
        WHERE kind = ?2 AND is_held = 0 AND lane = ?3 AND next_at < ?1 AND owner IS NULL""",
        (due_at, kind, lane),
    )


def free(db: apsw.Connection, owner: str, now: float) -> None:
    """Ends all leases of an owner that is dead."""
    db.execute("UPDATE job SET owner = NULL, next_at = ? WHERE owner = ?", (now, owner))


def prune(db: apsw.Connection, now: float) -> None:
    """Forgets which jobs were done long ago."""
    db.execute("DELETE FROM finished WHERE at < ?", (now - FINISHED_S,))


# --- reading


def select(db: apsw.Connection, kind: str, after: str, limit: int, now: float) -> list[Job]:
    """A page of jobs."""
    query = f"SELECT {_COLUMNS} FROM job WHERE kind = ? AND id > ? ORDER BY id LIMIT ?"  # noqa: S608 - constants
    return [job_of(row, _state(row, now)) for row in db.execute(query, (kind, after, limit))]


def select_one(db: apsw.Connection, kind: str, job_id: str, now: float) -> Job | None:
    """One job."""
    query = f"SELECT {_COLUMNS} FROM job WHERE kind = ? AND id = ?"  # noqa: S608 - constants
    rows = db.execute(query, (kind, job_id)).fetchall()
    return job_of(rows[0], _state(rows[0], now)) if rows else None


def places(db: apsw.Connection, ids: Sequence[str]) -> dict[str, Place]:
    """Where the messages of jobs are, by id."""
    query = """SELECT id, file, head_bytes, raw FROM job LEFT JOIN body USING(file)
        WHERE id IN (SELECT value FROM json_each(?))"""
    rows = cast(list[tuple[str, str, int, bytes | None]], db.execute(query, (json.dumps(ids),)))
    return {row[0]: row[1:] for row in rows}


def next_due(db: apsw.Connection, kind: str) -> float | None:
    """When a job can be taken."""
    query = "SELECT min(next_at) FROM job WHERE kind = ? AND is_held = 0"
    return cast(list[tuple[float | None]], db.execute(query, (kind,)).fetchall())[0][0]


def tally(db: apsw.Connection, kind: str, now: float) -> Tally:
    """How many there are, by state."""
    query = """SELECT count(*), total(is_held AND NOT busy), min(created_at), total(busy) FROM (
        SELECT is_held, created_at, owner IS NOT NULL AND next_at > ? AS busy FROM job
        WHERE kind = ?)"""
    rows = cast(
        list[tuple[int, float, float | None, float]], db.execute(query, (now, kind)).fetchall()
    )
    count, held, oldest_at, leased = rows[0]
    return Tally(count - int(held) - int(leased), int(leased), int(held), oldest_at)


def kinds(db: apsw.Connection) -> list[str]:
    """The kinds of jobs that there are."""
    rows = cast(list[tuple[str]], db.execute("SELECT DISTINCT kind FROM job ORDER BY 1").fetchall())
    return [kind for (kind,) in rows]


def _state(row: tuple[Any, ...], now: float) -> JobState:
    if row[10] is not None and row[11] > now:
        return JobState.LEASED
    return JobState.HELD if row[9] else JobState.WAITING


def job_of(row: tuple[Any, ...], state: JobState) -> Job:
    """The job in a row of _COLUMNS."""
    return Job(
        id=row[0],
        kind=row[1],
        lane=row[2],
        state=state,
        created_at=row[3],
        due_at=row[4],
        attempts=row[5],
        record=json.loads(row[6]),
        error=row[7],
        size_bytes=row[8],
    )
