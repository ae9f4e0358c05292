"""Notices are owed once, and told once however often that is tried; the queue is counted."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from prometheus_client import REGISTRY
from rmail_relay import tallies
from rmail_relay.attempts import NOTICE_LIFE_S
from rmail_relay.config import RelaySettings
from rmail_relay.notices import Notices, decided, expired
from rmail_relay.outcome import Kind, RecipientOutcome
from rmail_relay.queued import Queued, encode

from rmail_kernel.content import Content
from rmail_kernel.delivery.dsn import Action
from rmail_kernel.hooks import hookimpl
from rmail_kernel.model import (
    Address,
    Defer,
    Envelope,
    RecipientOptions,
    SessionInfo,
    Submission,
)
from rmail_kernel.storage.queue import NewJob

from .outside import ALICE, MESSAGE, Relay

NOW = datetime(2026, 1, 2, tzinfo=UTC)
DAVE, ERIN = Address("dave", "a.test"), Address("erin", "a.test")
ENVELOPE = Envelope(ALICE, (DAVE, ERIN), SessionInfo("x", "submission"), NOW)
QUEUED = Queued("a.test", ENVELOPE, ALICE)
DEFERRED = RecipientOutcome(DAVE, Kind.DEFERRED, 451, "4.3.0", "later", NOW)
FAILED = RecipientOutcome(DAVE, Kind.FAILED, 550, "5.1.1", "no", NOW)
OWING = QUEUED.with_outcomes([FAILED, replace(FAILED, recipient=ERIN)]).owing(
    Action.FAILED, [DAVE, ERIN]
)


async def test_a_notice_told_again_is_there_once(relay: Relay) -> None:
    notices = Notices(relay.server.kernel)
    for _ in range(3):
        await notices.tell("j1", OWING, Content.of(MESSAGE), NOW)
    assert len(await relay.server.messages("alice")) == 1
    await notices.tell("j2", OWING, Content.of(MESSAGE), NOW)
    assert len(await relay.server.messages("alice")) == 2


async def test_what_a_crash_left_owed_is_told_and_nothing_is_sent(relay: Relay) -> None:
    job = NewJob("j3", "relay", "a.test", 0.0, encode(OWING))
    await relay.server.kernel.queue.put([job], Content.of(MESSAGE))
    await relay.settled(lambda jobs: not jobs)
    assert len(await relay.server.messages("alice")) == 1
    assert relay.peers.attempts == []


async def test_a_notice_to_a_full_account_leaves_the_queue_and_is_kept(relay: Relay) -> None:
    kernel = relay.server.kernel
    alice = await kernel.directory.get(ALICE)
    assert alice is not None
    await kernel.directory.update(alice, quota_messages=1)
    assert (await relay.server.deliver(MESSAGE)).is_accepted
    job = NewJob("j4", "relay", "a.test", 0.0, encode(OWING))
    await kernel.queue.put([job], Content.of(MESSAGE))
    await relay.settled(lambda jobs: not jobs)
    assert len(list((relay.server.mail_root / "spool").glob("*.msg"))) == 1


class Deaf:
    """Takes no notice now."""

    def __init__(self) -> None:
        self.is_deaf = True

    @hookimpl
    async def on_message(self, submission: Submission) -> Defer | None:
        is_notice = submission.envelope.sender is None
        return Defer("later") if self.is_deaf and is_notice else None


@pytest.fixture
def deaf(relay: Relay) -> Deaf:
    plugin = Deaf()
    relay.server.kernel.bus.register(plugin, "deaf")
    return plugin


async def test_a_notice_that_cannot_be_handed_in_is_tried_less_and_less_often(
    relay: Relay, deaf: Deaf
) -> None:
    job = NewJob("j5", "relay", "a.test", 0.0, encode(OWING))
    await relay.server.kernel.queue.put([job], Content.of(MESSAGE))
    pauses = []
    for tries in range(1, 10):
        (waiting,) = await relay.settled(lambda jobs: jobs[0].attempts == tries)  # noqa: B023
        pauses.append(waiting.due_at - relay.clock.time())
        await relay.again(pauses[-1] + 1)
    assert pauses == [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]
    deaf.is_deaf = False
    await relay.again(3601)
    await relay.settled(lambda jobs: not jobs)
    assert len(await relay.server.messages("alice")) == 1


async def test_a_notice_that_nobody_takes_is_given_up_in_the_end(relay: Relay, deaf: Deaf) -> None:
    job = NewJob("j6", "relay", "a.test", 0.0, encode(OWING))
    await relay.server.kernel.queue.put([job], Content.of(MESSAGE))
    await relay.settled(lambda jobs: jobs[0].attempts == 1)
    await relay.again(RelaySettings().max_age_s + NOTICE_LIFE_S)
    await relay.settled(lambda jobs: not jobs)
    assert await relay.server.messages("alice") == []


@pytest.mark.parametrize(
    ("delay_notice_s", "notify", "age_s", "is_told"),
    [
        (100.0, "", 99.0, False),
        (100.0, "", 100.0, True),
        (100.0, "FAILURE", 100.0, False),
        (None, "", 1e6, False),
        (None, "DELAY", 1e6, True),
        (None, "DELAY", 100.0, False),
    ],
)
def test_when_a_delay_is_told(
    delay_notice_s: float | None, notify: str, age_s: float, is_told: bool
) -> None:
    options = (RecipientOptions(DAVE, frozenset({notify} - {""})),)
    envelope = replace(ENVELOPE, recipients=(DAVE,), options=options)
    before = replace(QUEUED, envelope=envelope)
    settings = RelaySettings(delay_notice_s=delay_notice_s)
    after = decided(
        before, before.with_outcomes([DEFERRED]), settings, age_s, is_wanted=lambda: True
    )
    assert [owed.action for owed in after.owed] == ([Action.DELAYED] if is_told else [])
    told = replace(after, owed=())
    again = decided(told, told, settings, age_s * 2, is_wanted=lambda: True)
    assert again.is_delay_told or not again.owed


def test_given_up_mail_says_what_the_last_answer_was() -> None:
    after = expired(QUEUED.with_outcomes([DEFERRED]), NOW)
    assert after.open == ()
    assert after.last[DAVE].text == "Given up; the last answer was: 451 4.3.0 later"
    assert after.last[ERIN].status == "5.4.7"


async def test_the_queue_is_counted(relay: Relay) -> None:
    relay.peers.down = {"a.test"}
    await relay.send("dave@a.test")
    await relay.settled(lambda jobs: bool(jobs) and jobs[0].attempts == 1)
    relay.clock.advance(50)
    await tallies.count(relay.server.kernel)
    assert REGISTRY.get_sample_value("rmail_relay_queue_jobs", {"state": "waiting"}) == 1
    assert REGISTRY.get_sample_value("rmail_relay_queue_oldest_seconds") == 50
