"""How much an account may send, and when it may send again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest_asyncio

from rmail_kernel import Envelope
from rmail_kernel.content import Content
from rmail_kernel.model import Defer
from rmail_kernel.testing import FakeClock, RunningServer, make_settings

MakeEnvelope = Callable[..., Envelope]
CONTENT = Content.of(b"From: alice@example.com\r\n\r\nbody\r\n")


@pytest_asyncio.fixture
async def limited(tmp_path: Path, rmail_clock: FakeClock) -> AsyncIterator[RunningServer]:
    limits = {"rate_limit": {"messages_per_hour": 2, "messages_per_day": 3}}
    running = RunningServer(make_settings(tmp_path / "mailstore", [], limits), {}, rmail_clock)
    await running.start()
    try:
        yield running
    finally:
        await running.stop()


async def test_windows_slide_and_the_refusal_says_when_there_is_room(
    limited: RunningServer, make_envelope: MakeEnvelope, rmail_clock: FakeClock
) -> None:
    delivery = limited.kernel.delivery
    envelope = make_envelope("bob@example.com", sender="alice@example.com", user="alice")
    assert envelope.session.principal is not None
    assert (await delivery.submit(envelope, CONTENT)).is_accepted
    rmail_clock.advance(1800)
    assert (await delivery.submit(envelope, CONTENT)).is_accepted
    refused = await delivery.submit(envelope, CONTENT)
    assert isinstance(refused.verdict, Defer)
    assert refused.verdict.code == 450
    assert refused.verdict.text.endswith("try again in 30 minutes")
    assert await delivery.may_send_now(envelope.session.principal) is not None
    rmail_clock.advance(1801)
    assert (await delivery.submit(envelope, CONTENT)).is_accepted
    rmail_clock.advance(3601)
    refused = await delivery.submit(envelope, CONTENT)
    assert isinstance(refused.verdict, Defer)
    assert "3 messages per day" in refused.verdict.text
    assert len(await limited.messages("bob")) == 3


async def test_strangers_and_other_accounts_are_not_counted(
    limited: RunningServer, make_envelope: MakeEnvelope
) -> None:
    delivery = limited.kernel.delivery
    for _ in range(3):
        assert (await delivery.submit(make_envelope("bob@example.com"), CONTENT)).is_accepted
    envelope = make_envelope("alice@example.com", sender="bob@example.com", user="bob")
    assert (await delivery.submit(envelope, CONTENT)).is_accepted
