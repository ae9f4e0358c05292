"""A server without protocols, its clock, and a plugin that takes mail to the outside."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from rmail_kernel import Delivery, Envelope, Principal, SessionInfo, Submission, hookimpl
from rmail_kernel.model import Address, Defer, Discard, Reject
from rmail_kernel.storage.ids import AccountId
from rmail_kernel.testing import FakeClock, HookRecorder, RunningServer, make_settings

Behaviour = Callable[[Delivery], Delivery | Reject | Defer | Discard | None]
MakeEnvelope = Callable[..., Envelope]


class Outside:
    """Takes what is not local; `is_willing` False: refuses it, None: is not asked."""

    def __init__(self) -> None:
        self.is_willing: bool | None = True
        self.is_broken = False
        self.taken: list[tuple[Submission, tuple[Address, ...]]] = []

    @hookimpl
    async def on_outbound_check(self) -> bool | None:
        return self.is_willing

    @hookimpl
    async def on_outbound(
        self, submission: Submission, recipients: tuple[Address, ...]
    ) -> bool | None:
        if self.is_broken:
            raise OSError("the queue is gone")
        if self.is_willing:
            self.taken.append((submission, recipients))
        return self.is_willing


class Sorter:
    """Decides on deliveries by local part."""

    def __init__(self) -> None:
        self.rules: dict[str, Behaviour] = {}
        self.seen: list[str] = []

    @hookimpl
    async def on_deliver(self, delivery: Delivery) -> Delivery | Reject | Defer | Discard | None:
        user = delivery.account.partition("@")[0]
        self.seen.append(user)
        rule = self.rules.get(user)
        return rule(delivery) if rule else None


@pytest.fixture
def outside() -> Outside:
    return Outside()


@pytest.fixture
def sorter() -> Sorter:
    return Sorter()


@pytest_asyncio.fixture
async def server(
    tmp_path: Path,
    outside: Outside,
    sorter: Sorter,
    rmail_hooks: HookRecorder,
    rmail_clock: FakeClock,
) -> AsyncIterator[RunningServer]:
    """The kernel alone: alice and bob at example.com, mail to elsewhere goes to `outside`."""
    plugins = {"outside": outside, "sorter": sorter, "recorder": rmail_hooks}
    running = RunningServer(make_settings(tmp_path / "mailstore", []), plugins, rmail_clock)
    await running.start()
    try:
        yield running
    finally:
        await running.stop()


@pytest.fixture
def make_envelope(rmail_clock: FakeClock) -> MakeEnvelope:
    """Makes an envelope; `user` is who has logged in."""

    def make(
        *recipients: str, sender: str | None = "carol@remote.test", user: str = ""
    ) -> Envelope:
        address = Address(user, "example.com")
        principal = Principal(AccountId(str(address)), address) if user else None
        session = SessionInfo(
            "s1", "smtp", peer_host="192.0.2.1", helo="client.test", principal=principal
        )
        return Envelope(
            Address.parse(sender) if sender else None,
            tuple(map(Address.parse, recipients)),
            session,
            rmail_clock.now(),
        )

    return make
