"""The queue contract: durable jobs that any process works on under a lease.

A job is a small JSON record of its kind and, if it has one, a message that the jobs of one `put`
share. Acknowledged jobs are never lost; two holders never work on one job at a time, as long as a
holder stops when its lease ends. Docs: docs/storage.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from rmail_kernel.content import Content
from rmail_kernel.storage.ids import AccountId

Record = Mapping[str, Any]


def topic(kind: str) -> AccountId:
    """Under which name `kernel.events` tells of new work of a kind. No account has a blank."""
    return AccountId(f"queue {kind}")


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job to keep.

    Attributes:
        id: unique for ever; putting one again that is known, or was done within the last days,
            changes nothing, so that a retry after an unknown outcome is harmless.
        kind: whose it is, for example "relay".
        lane: what `lease` counts its limits by, for example a destination.
        due_at: seconds since the epoch before which nobody takes it.
        record: a JSON object of its kind.
    """

    id: str
    kind: str
    lane: str
    due_at: float
    record: Record = field(default_factory=dict)


class JobState(StrEnum):
    """What a job does now."""

    WAITING = "waiting"
    LEASED = "leased"
    HELD = "held"


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it is kept.

    Attributes:
        created_at, due_at: seconds since the epoch.
        attempts: how often it was given back by `retry`.
        error: why it was given back last, one line.
        size_bytes: of its message, 0 without one.
    """

    id: str
    kind: str
    lane: str
    state: JobState
    created_at: float
    due_at: float
    attempts: int
    record: Record
    error: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on a job until `until` (seconds since the epoch), told from any earlier
    one of the same job by its fencing number.
    """

    job: Job
    fence: int
    until: float


@dataclass(frozen=True, slots=True)
class Tally:
    """How many jobs of a kind there are; `oldest_at` is when the oldest came, None without any."""

    waiting: int
    leased: int
    held: int
    oldest_at: float | None


class Room(Protocol):
    """Which lanes a holder wants more of; made for one `lease`, and asked in any thread."""

    def left(self, lane: str) -> int:
        """How many more of a lane, those that it `took` already counted."""

    def took(self, lane: str) -> None:
        """A job of the lane is taken."""


class Queue(Protocol):
    """Every method raises Temporary when the disk does not do it now; then nothing is changed."""

    async def put(self, jobs: Sequence[NewJob], content: Content | None = None) -> None:
        """Keeps jobs, all or none, with the message that they share. Durable on return."""

    async def lease(
        self,
        kind: str,
        count: int,
        ttl_s: float,
        *,
        per_lane: int,
        total: int,
        room: Room | None = None,
    ) -> list[Lease]:
        """Takes jobs that are due, the longest due first.

        Args:
            count: at most so many. ttl_s: how long they are held without `renew`.
            per_lane, total: leases of the kind, in all processes, that are not passed.
            room: what this holder wants of each lane; None: as much as the limits allow.
        """

    async def next_due(self, kind: str) -> float | None:
        """When the next job that is not held can be taken, seconds since the epoch."""

    async def content(self, job: Job) -> Content:
        """The message of a job. NotFound: it has none, or is gone. Corrupt: it is damaged."""

    async def renew(self, lease: Lease, ttl_s: float) -> Lease:
        """Holds on to a job. Conflict: the lease is lost, somebody else may have the job."""

    async def note(self, lease: Lease, record: Record) -> Lease:
        """Replaces the record, durably, and keeps the lease. Conflict: as in `renew`."""

    async def retry(self, lease: Lease, due_at: float, error: str, record: Record) -> None:
        """Gives a job back until `due_at`. Durable. Conflict: as in `renew`."""

    async def done(self, lease: Lease) -> None:
        """Forgets a finished job, durably. Conflict: as in `renew`."""

    async def postpone(self, kind: str, lane: str, due_at: float) -> None:
        """No waiting job of a lane is due before `due_at` (its host is down)."""

    async def hold(self, kind: str, ids: Sequence[str]) -> list[str]:
        """Nobody takes these jobs until `release`; an attempt under way is finished. The ids of
        those that exist.
        """

    async def release(self, kind: str, ids: Sequence[str]) -> list[str]:
        """Ends a hold; the jobs are due at once. The ids of those that were held."""

    async def hurry(self, kind: str, ids: Sequence[str]) -> list[str]:
        """Makes waiting jobs due at once. The ids of those that were waiting."""

    async def cancel(self, kind: str, ids: Sequence[str]) -> list[str]:
        """Forgets jobs that are not leased. The ids of those."""

    async def jobs(self, kind: str, *, after: str = "", limit: int = 1000) -> list[Job]:
        """Jobs by id, the next page begins `after` the last one."""

    async def job(self, kind: str, job_id: str) -> Job | None:
        """One job."""

    async def kinds(self) -> list[str]:
        """The kinds of which there are jobs, sorted."""

    async def tally(self, kind: str) -> Tally:
        """How many there are."""
