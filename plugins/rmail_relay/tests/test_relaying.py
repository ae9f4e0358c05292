"""Mail for other servers is queued before it is accepted, tried until its time is over, and every
recipient has one fate.
"""

from __future__ import annotations

import asyncio
import resource
from dataclasses import replace
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any, cast

import pytest
from rmail_relay import keeping
from rmail_relay.outcome import Kind
from rmail_relay.queued import decode
from structlog.testing import capture_logs

from rmail_kernel.content import Content
from rmail_kernel.delivery.api import Status
from rmail_kernel.delivery.dsn import Action
from rmail_kernel.model import (
    Address,
    Defer,
    Envelope,
    RecipientOptions,
    SessionInfo,
    Submission,
)
from rmail_kernel.storage.filesystem.queue import FilesystemQueue
from rmail_kernel.storage.queue import JobState
from rmail_kernel.testing import make_settings

from .outside import MESSAGE, Relay

DAVE, ERIN = Address("dave", "a.test"), Address("erin", "a.test")
LATER = [(Kind.DEFERRED, 451, "4.3.0")]
NEVER = [(Kind.FAILED, 550, "5.1.1")]


async def notices(relay: Relay, count: int) -> list[EmailMessage]:
    """The notices in the INBOX of alice, once there are so many."""
    await relay.hooks.wait_for("on_store", count)
    raw = await relay.server.messages("alice")
    return [message_from_bytes(one, policy=policy.default) for one in raw]


def recipients_of(notice: EmailMessage) -> list[EmailMessage]:
    """The blocks of recipients in a notice."""
    _, status, _ = notice.iter_parts()
    return cast("list[EmailMessage]", status.get_payload())[1:]


async def test_one_transaction_for_each_domain(relay: Relay) -> None:
    report = await relay.send("dave@a.test", "frank@b.test", "erin@a.test")
    assert {outcome.status for outcome in report.outcomes} == {Status.QUEUED}
    attempts = await relay.peers.tried(2)
    found = {attempt.domain: attempt.envelope.recipients for attempt in attempts}
    assert found == {"a.test": (DAVE, ERIN), "b.test": (Address("frank", "b.test"),)}
    assert all(attempt.content.read().endswith(MESSAGE) for attempt in attempts)
    await relay.settled(lambda jobs: not jobs)
    assert len(await relay.hooks.wait_for("on_relayed", 3)) == 3
    assert await relay.server.messages("alice") == []


async def test_what_is_for_here_and_there_goes_both_ways_once(relay: Relay) -> None:
    report = await relay.send("bob@example.com", "dave@a.test")
    assert [outcome.status for outcome in report.outcomes] == [Status.STORED, Status.QUEUED]
    await relay.settled(lambda jobs: not jobs)
    assert len(relay.peers.attempts) == 1
    assert len(await relay.server.messages("bob")) == 1


async def test_only_who_was_deferred_is_tried_again(relay: Relay) -> None:
    relay.peers.answers = {"erin@a.test": [*LATER, (Kind.DELIVERED, 250, "2.1.5")]}
    await relay.send("dave@a.test", "erin@a.test")
    (job,) = await relay.settled(lambda jobs: bool(jobs) and jobs[0].attempts == 1)
    assert decode(job.record).open == (ERIN,)
    assert job.error == "451 4.3.0 so says mx"
    assert 270 <= job.due_at - relay.clock.time() <= 330
    await relay.again(331)
    first, second = await relay.peers.tried(2)
    assert (first.envelope.recipients, second.envelope.recipients) == ((DAVE, ERIN), (ERIN,))
    await relay.settled(lambda jobs: not jobs)


async def test_a_sender_is_told_once_of_what_failed(relay: Relay) -> None:
    relay.peers.answers = {"dave@a.test": NEVER}
    options = (RecipientOptions(DAVE, orcpt="rfc822;old@a.test"),)
    await relay.send("dave@a.test", "erin@a.test", envid="id 1", options=options)
    (notice,) = await notices(relay, 1)
    assert notice["Subject"] == "Undelivered mail returned to sender"
    (dave,) = recipients_of(notice)
    assert (dave["Final-Recipient"], dave["Action"]) == ("rfc822; dave@a.test", "failed")
    assert dave["Original-Recipient"] == "rfc822; old@a.test"
    assert (dave["Status"], dave["Remote-MTA"]) == ("5.1.1", "dns; mx.test")
    assert dave["Diagnostic-Code"] == "smtp; 550 5.1.1 so says mx"
    await relay.settled(lambda jobs: not jobs)
    (bounced,) = await relay.hooks.wait_for("on_bounce")
    assert (bounced["relayed"].recipient, bounced["relayed"].code) == (DAVE, 550)


@pytest.mark.parametrize("relay_settings", [{"retry_schedule_s": [10], "max_age_s": 60}])
async def test_mail_is_given_up_when_its_time_is_over(relay: Relay) -> None:
    relay.peers.answers = {"a.test": LATER}
    await relay.send("dave@a.test")
    for count in range(1, 6):
        await relay.settled(lambda jobs, n=count: bool(jobs) and jobs[0].attempts == n)  # type: ignore[misc] # mypy: lambda with a default
        await relay.again(12)
    (notice,) = await notices(relay, 1)
    (dave,) = recipients_of(notice)
    assert (dave["Action"], dave["Status"]) == ("failed", "5.4.7")
    assert "451 4.3.0 so says mx" in dave["Diagnostic-Code"]
    await relay.settled(lambda jobs: not jobs)


@pytest.mark.parametrize("relay_settings", [{"delay_notice_s": 250.0}])
async def test_a_delay_is_told_once(relay: Relay) -> None:
    relay.peers.answers = {"a.test": LATER}
    await relay.send("dave@a.test", "erin@a.test")
    await relay.settled(lambda jobs: bool(jobs) and jobs[0].attempts == 1)
    await relay.again(331)
    (notice,) = await notices(relay, 1)
    assert notice["Subject"] == "Mail delivery is delayed"
    assert [block["Action"] for block in recipients_of(notice)] == ["delayed", "delayed"]
    assert recipients_of(notice)[0]["Will-Retry-Until"]
    await relay.settled(lambda jobs: jobs[0].attempts == 2)
    await relay.again(1000)
    await relay.settled(lambda jobs: jobs[0].attempts == 3)
    assert len(await relay.server.messages("alice")) == 1


@pytest.mark.parametrize("has_dsn", [False, True])
async def test_success_is_told_unless_the_peer_tells_it(relay: Relay, has_dsn: bool) -> None:
    relay.peers.has_dsn = has_dsn
    options = (RecipientOptions(DAVE, frozenset({"SUCCESS"})),)
    await relay.send("dave@a.test", "erin@a.test", options=options)
    await relay.settled(lambda jobs: not jobs)
    if has_dsn:
        assert await relay.server.messages("alice") == []
    else:
        (notice,) = await notices(relay, 1)
        (dave,) = recipients_of(notice)
        assert (dave["Final-Recipient"], dave["Action"]) == ("rfc822; dave@a.test", "relayed")


@pytest.mark.parametrize(
    "changes",
    [
        {"sender": None},
        {"options": (RecipientOptions(DAVE, frozenset({"NEVER"})),)},
        {"options": (RecipientOptions(DAVE, frozenset({"SUCCESS"})),)},
    ],
)
async def test_nobody_is_told_who_must_not_be(relay: Relay, changes: dict[str, Any]) -> None:
    relay.peers.answers = {"a.test": NEVER}
    await relay.send("dave@a.test", **changes)
    await relay.hooks.wait_for("on_bounce")
    await relay.settled(lambda jobs: not jobs)
    assert len(relay.peers.attempts) == 1
    assert await relay.server.messages("alice") == []


async def test_a_foreign_sender_is_told_through_the_queue(relay: Relay) -> None:
    relay.peers.answers = {"a.test": NEVER}
    await relay.send("dave@a.test", sender="carol@c.test")
    first, notice = await relay.peers.tried(2)
    assert first.domain == "a.test"
    assert (notice.domain, notice.envelope.sender) == ("c.test", None)
    assert b"Action: failed" in notice.content.read()


async def test_a_dead_destination_stops_nobody_else(relay: Relay) -> None:
    relay.peers.down = {"dead.test"}
    for number in range(12):
        await relay.send(f"user{number}@dead.test")
    await relay.send("dave@a.test")
    await relay.settled(lambda jobs: {job.lane for job in jobs} == {"dead.test"})
    await relay.settled(lambda jobs: all(job.due_at > relay.clock.time() for job in jobs))
    assert len(relay.peers.attempts) <= 13
    await relay.settled(lambda jobs: all(job.state is JobState.WAITING for job in jobs))
    before = len(relay.peers.attempts)
    relay.peers.gate.clear()
    for number in range(12):  # one finds out that it is still down, for all
        await relay.send(f"later{number}@dead.test")
    await relay.peers.tried(before + 1)
    relay.peers.gate.set()
    await relay.settled(lambda jobs: all(job.due_at > relay.clock.time() for job in jobs))
    assert len(relay.peers.attempts) == before + 1


@pytest.mark.parametrize("relay_settings", [{"max_parallel_per_destination": 3}])
async def test_a_destination_gets_so_many_at_a_time(relay: Relay) -> None:
    relay.peers.gate.clear()
    for number in range(8):
        await relay.send(f"user{number}@a.test")
    await relay.peers.tried(3)
    await relay.send("dave@b.test")
    await relay.peers.tried(4)
    relay.peers.gate.set()
    await relay.settled(lambda jobs: not jobs)
    assert relay.peers.most_busy == {"a.test": 3, "b.test": 1}


async def test_new_settings_hold_for_new_attempts(relay: Relay) -> None:
    kernel = relay.server.kernel
    changes = {"relay": {"retry_schedule_s": [7]}}
    kernel.settings = make_settings(relay.server.mail_root, [], changes)
    await kernel.bus.notify("on_reload", kernel=kernel)
    relay.peers.answers = {"a.test": LATER}
    await relay.send("dave@a.test")
    (job,) = await relay.settled(lambda jobs: bool(jobs) and jobs[0].attempts == 1)
    assert 6 <= job.due_at - relay.clock.time() <= 8
    assert relay.peers.reloads == 1


async def test_a_message_with_no_sense_is_held(relay: Relay) -> None:
    from rmail_kernel.storage.queue import NewJob

    await relay.server.kernel.queue.put([NewJob("odd", "relay", "a.test", 0.0, {"version": 9})])
    (job,) = await relay.settled(lambda jobs: bool(jobs) and jobs[0].state is JobState.HELD)
    assert job.error == "unreadable"


async def test_an_error_of_ours_after_the_answer_sends_nothing_again(relay: Relay) -> None:
    nonsense = cast("str", 511)  # no notice can be made of it
    relay.peers.answers = {"erin@a.test": [(Kind.FAILED, 550, nonsense)]}
    with capture_logs() as logs:
        await relay.send("dave@a.test", "erin@a.test")
        (job,) = await relay.settled(lambda jobs: [one.state for one in jobs] == [JobState.HELD])
    assert any(line["event"] == "queued message put on hold" for line in logs)
    assert job.error == "an error of this server"
    assert decode(job.record).open == ()
    assert [owed.recipients for owed in decode(job.record).owed] == [(ERIN,)]
    assert len(relay.peers.attempts) == 1


def test_a_record_comes_back_as_it_was() -> None:
    from datetime import UTC, datetime

    from rmail_relay.outcome import RecipientOutcome
    from rmail_relay.queued import Queued, encode

    at = datetime(2026, 1, 2, tzinfo=UTC)
    envelope = Envelope(DAVE, (DAVE, ERIN), SessionInfo("x", "smtp"), at, smtputf8=True)
    outcome = RecipientOutcome(DAVE, Kind.DEFERRED, 451, "4.1.1", "é", at, "mx", "TLS", True)
    queued = replace(
        Queued("a.test", envelope, ERIN).with_outcomes([outcome]).owing(Action.DELAYED, [DAVE]),
        is_delay_told=True,
    )
    assert decode(encode(queued)) == queued


async def test_one_operation_is_queued_once_also_when_it_was_done(relay: Relay) -> None:
    """As recovery after a crash hands a message over again."""
    kernel = relay.server.kernel
    envelope = Envelope(None, (DAVE, ERIN), SessionInfo("x", "internal"), relay.clock.now())
    submission = Submission(envelope, Content.of(MESSAGE))
    recipients = (DAVE, Address("frank", "b.test"))

    async def hand_over(op_id: str) -> None:
        taken = await kernel.bus.first(
            "on_outbound", submission=submission, recipients=recipients, op_id=op_id
        )
        assert taken is True

    relay.peers.gate.clear()
    await hand_over("o1")
    await hand_over("o1")
    assert len(await relay.jobs()) == 2
    relay.peers.gate.set()
    await relay.settled(lambda jobs: not jobs)
    await hand_over("o1")
    assert await relay.jobs() == []
    await hand_over("o2")
    await relay.peers.tried(4)
    await relay.settled(lambda jobs: not jobs)
    assert len(relay.peers.attempts) == 4


async def test_a_queue_that_takes_nothing_defers_the_client(relay: Relay) -> None:
    spool = relay.server.mail_root / "queue/spool"
    await relay.send("dave@a.test")
    await relay.settled(lambda jobs: not jobs)
    spool.rmdir()
    spool.touch()
    report = await relay.send("dave@a.test")
    assert isinstance(report.verdict, Defer)
    spool.unlink()
    spool.mkdir()
    assert (await relay.send("dave@a.test")).is_accepted


async def test_an_answer_is_not_forgotten_while_the_disk_is_full(relay: Relay) -> None:
    """A message that a peer took must not be sent again because nobody could write that down."""
    relay.peers.gate.clear()
    await relay.send("dave@a.test")
    await relay.peers.tried(1)
    database = relay.server.mail_root / "queue/queue.db-wal"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with capture_logs() as logs:
        resource.setrlimit(resource.RLIMIT_FSIZE, (database.stat().st_size, before[1]))
        try:
            relay.peers.gate.set()
            async with asyncio.timeout(20):
                while not any("written down" in line["event"] for line in logs):
                    await asyncio.sleep(0.01)  # a log line is no event
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    await relay.settled(lambda jobs: not jobs)
    assert len(relay.peers.attempts) == 1


@pytest.mark.parametrize("relay_settings", [{"max_parallel": 1}])  # it cannot take it again itself
async def test_what_is_known_of_some_is_kept_before_others_are_served(
    relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever takes the message over serves nobody twice and forgets no notice."""
    monkeypatch.setattr(keeping, "RENEW_S", 1.0)
    relay.peers.gate.clear()
    relay.peers.early = {DAVE, ERIN}
    relay.peers.answers = {"erin@a.test": NEVER}
    await relay.send("dave@a.test", "erin@a.test", "frank@a.test")
    frank = Address("frank", "a.test")
    await relay.settled(lambda jobs: [decode(job.record).open for job in jobs] == [(frank,)])
    kernel = relay.server.kernel
    folder = relay.server.mail_root / "queue"
    other = FilesystemQueue(folder, relay.clock, kernel.events, kernel.pool)
    try:
        taken = None
        while taken is None:  # it may be renewed in the very moment
            relay.clock.advance(keeping.LEASE_S + 1)
            taken = next(iter(await other.lease("relay", 1, 600, per_lane=9, total=9)), None)
        async with asyncio.timeout(20):
            while relay.peers.busy["a.test"]:
                await asyncio.sleep(0.02)  # a cancelled attempt tells nobody
        relay.peers.gate.set()
        await other.retry(taken, 0.0, "", taken.job.record)
    finally:
        await other.close()
    await relay.settled(lambda jobs: not jobs)
    tried = [attempt.envelope.recipients for attempt in relay.peers.attempts]
    assert tried == [(DAVE, ERIN, frank), (frank,)]
    (notice,) = await notices(relay, 1)
    (block,) = recipients_of(notice)
    assert block["Final-Recipient"] == "rfc822; erin@a.test"


@pytest.mark.parametrize("relay_settings", [{"max_parallel": 1}])  # it cannot take it again itself
async def test_an_attempt_ends_with_its_lease(
    relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else has the message then: two must not send it at a time."""
    monkeypatch.setattr(keeping, "RENEW_S", 1.0)
    relay.peers.gate.clear()
    await relay.send("dave@a.test")
    await relay.peers.tried(1)
    kernel = relay.server.kernel
    folder = relay.server.mail_root / "queue"
    other = FilesystemQueue(folder, relay.clock, kernel.events, kernel.pool)
    try:
        taken = None
        while taken is None:  # it may be renewed in the very moment
            relay.clock.advance(keeping.LEASE_S + 1)
            taken = next(iter(await other.lease("relay", 1, 600, per_lane=9, total=9)), None)
        async with asyncio.timeout(20):
            while relay.peers.busy["a.test"]:
                await asyncio.sleep(0.02)  # a cancelled attempt tells nobody
        await other.done(taken)
    finally:
        await other.close()
    assert await relay.jobs() == []
    assert len(relay.peers.attempts) == 1
