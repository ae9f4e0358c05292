"""Which queued messages a command means: by id or its beginning, domain, sender, recipient."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from rmail_kernel.errors import Corrupt, Invalid, NotFound
from rmail_kernel.storage.queue import Job, Queue
from rmail_relay.queued import KIND, Queued, decode

PAGE = 500


@dataclass(frozen=True, slots=True)
class Entry:
    """A job with its message; None where that cannot be read."""

    job: Job
    queued: Queued | None

    @property
    def sender(self) -> str:
        """The sender before any rewriting, "<>" for none."""
        if self.queued is None:
            return "?"
        return "<>" if self.queued.notify is None else str(self.queued.notify)

    @property
    def waiting(self) -> list[str]:
        """Recipients without a final fate."""
        return [] if self.queued is None else list(map(str, self.queued.open))


@dataclass(frozen=True, slots=True)
class Selection:
    """What must be true of a message; "" and no ids: everything is."""

    ids: Sequence[str] = ()
    domain: str = ""
    sender: str = ""
    recipient: str = ""
    state: str = ""

    @property
    def is_everything(self) -> bool:
        """Whether nothing is asked for."""
        return not (self.ids or self.domain or self.sender or self.recipient or self.state)

    def has(self, entry: Entry) -> bool:
        """Whether a message is meant."""
        job = entry.job
        return (
            (not self.ids or any(job.id.startswith(start) for start in self.ids))
            and self.domain.lower() in ("", entry.queued.domain if entry.queued else "")
            and self.sender.lower() in ("", entry.sender.lower())
            and (not self.recipient or self.recipient.lower() in map(str.lower, entry.waiting))
            and self.state in ("", job.state)
        )


async def every(queue: Queue) -> AsyncIterator[Entry]:
    """All queued messages, by id."""
    last = ""
    while page := await queue.jobs(KIND, after=last, limit=PAGE):
        for job in page:
            try:
                yield Entry(job, decode(job.record))
            except Corrupt:
                yield Entry(job, None)
        last = page[-1].id


async def selected(queue: Queue, selection: Selection, limit: int | None = None) -> list[Entry]:
    """The messages that are meant.

    Raises:
        NotFound: an id fits none. Invalid: it fits several, or is empty.
    """
    if not all(selection.ids):
        raise Invalid("an id must not be empty")
    found: list[Entry] = []
    async for entry in every(queue):
        if limit is not None and len(found) >= limit:
            break
        if selection.has(entry):
            found.append(entry)
    for start in selection.ids:
        fitting = [entry.job.id for entry in found if entry.job.id.startswith(start)]
        if not fitting:
            raise NotFound(f"no queued message {start}; `rmail queue list` shows all")
        if len(fitting) > 1 and start not in fitting:
            raise Invalid(f"{start} fits {len(fitting)} messages; give more of the id")
    return found
