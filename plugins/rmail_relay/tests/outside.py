"""A server whose outbound mail ends in a table of answers instead of the internet."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from rmail_relay.outcome import Attempt, Contact, Kind, RecipientOutcome, Route
from rmail_relay.queued import KIND

from rmail_kernel.content import Content
from rmail_kernel.delivery.api import Report
from rmail_kernel.model import Address, Envelope, Principal, SessionInfo
from rmail_kernel.storage.queue import Job
from rmail_kernel.testing import FakeClock, HookRecorder, RunningServer

MESSAGE = b"From: alice@example.com\r\nSubject: hello\r\n\r\nbody\r\n"
ALICE = Address("alice", "example.com")


@dataclass
class Peers:
    """The outside: `answers` by recipient or domain, success for all others.

    Attributes:
        attempts: what was tried, in order. down: domains that cannot be reached.
        early: recipients whose fate is known before the gate opens.
        gate: what attempts wait for.
    """

    answers: dict[str, list[tuple[Kind, int, str]]] = field(default_factory=dict)
    attempts: list[Attempt] = field(default_factory=list)
    down: set[str] = field(default_factory=set)
    early: set[Address] = field(default_factory=set)
    has_dsn: bool = False
    reloads: int = 0
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    busy: dict[str, int] = field(default_factory=dict)
    most_busy: dict[str, int] = field(default_factory=dict)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def deliver(self, attempt: Attempt) -> list[RecipientOutcome]:
        """One outcome for each recipient."""
        domain = attempt.domain
        self.busy[domain] = self.busy.get(domain, 0) + 1
        self.most_busy[domain] = max(self.most_busy.get(domain, 0), self.busy[domain])
        self.attempts.append(attempt)
        async with self.changed:
            self.changed.notify_all()
        recipients = attempt.envelope.recipients
        known = [self._outcome(attempt, each) for each in recipients if each in self.early]
        try:
            if known and attempt.keep is not None:
                await attempt.keep(known)
            await self.gate.wait()
        finally:
            self.busy[domain] -= 1
        later = (each for each in recipients if each not in self.early)
        return [*known, *(self._outcome(attempt, each) for each in later)]

    def _outcome(self, attempt: Attempt, recipient: Address) -> RecipientOutcome:
        at = datetime(2026, 1, 2, tzinfo=UTC)
        if attempt.domain in self.down:
            return RecipientOutcome(
                recipient, Kind.DEFERRED, 451, "4.4.1", "no answer", at, contact=Contact.NONE
            )
        waiting = self.answers.get(str(recipient)) or self.answers.get(attempt.domain)
        kind, code, status = (
            (Kind.DELIVERED, 250, "2.1.5")
            if not waiting
            else (waiting.pop(0) if len(waiting) > 1 else waiting[0])
        )
        return RecipientOutcome(
            recipient, kind, code, status, "so says mx", at, "mx.test", "", self.has_dsn
        )

    def destination(self, domain: str) -> str:
        """Each domain counts by itself."""
        return domain

    async def route(self, domain: str) -> Route:
        """Always the same host."""
        return Route("mx", (f"mx.{domain}:25",))

    def reload(self) -> None:
        """Counts."""
        self.reloads += 1

    async def close(self) -> None:
        """Nothing is open."""

    async def tried(self, count: int) -> list[Attempt]:
        """The attempts, once there are `count`."""
        async with asyncio.timeout(20), self.changed:
            await self.changed.wait_for(lambda: len(self.attempts) >= count)
        return self.attempts


@dataclass
class Relay:
    """A server with the relay, its outside and its clock."""

    server: RunningServer
    peers: Peers
    clock: FakeClock
    hooks: HookRecorder

    async def send(
        self, *recipients: str, sender: str | None = "alice@example.com", **options: Any
    ) -> Report:
        """Submits a message of alice."""
        envelope = Envelope(
            Address.parse(sender) if sender else None,
            tuple(map(Address.parse, recipients)),
            SessionInfo("t1", "submission", principal=_principal()),
            self.clock.now(),
            **options,
        )
        content = options.pop("content", None) or Content.of(MESSAGE)
        return await self.server.kernel.delivery.submit(envelope, content)

    async def jobs(self) -> list[Job]:
        """What is in the queue."""
        return await self.server.kernel.queue.jobs(KIND)

    async def settled(self, wanted: Callable[[list[Job]], bool]) -> list[Job]:
        """The jobs, once they are as wanted."""
        async with asyncio.timeout(20):
            while not wanted(found := await self.jobs()):
                await asyncio.sleep(0.02)  # the queue tells of new work only, not of its end
        return found

    async def again(self, seconds: float) -> None:
        """Lets time pass and wakes the scheduler."""
        self.clock.advance(seconds)
        await self.server.kernel.queue.release(KIND, [])


def _principal() -> Principal:
    from rmail_kernel.storage.ids import AccountId

    return Principal(AccountId(str(ALICE)), ALICE)
