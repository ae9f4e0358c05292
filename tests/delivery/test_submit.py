"""Submission: accepted means durable for every recipient, refused means nothing was kept."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rmail_kernel import Delivery, Discard, Envelope, Submission, hookimpl
from rmail_kernel.content import Content
from rmail_kernel.delivery.api import Status
from rmail_kernel.delivery.recipients import TROUBLE
from rmail_kernel.delivery.spool import Spool
from rmail_kernel.model import Address, Defer, Reject
from rmail_kernel.storage.accounts import Alias
from rmail_kernel.testing import HookRecorder, RunningServer

MakeEnvelope = Callable[..., Envelope]
RAW = b"Subject: hello\r\n\r\nbody\r\n"
BOTH = ("alice@example.com", "bob@example.com")


def spooled(server: RunningServer) -> list[Path]:
    return sorted((server.mail_root / "spool").glob("*.msg"))


class Gate:
    """Holds deliveries until the test opens it."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.opened = asyncio.Event()

    @hookimpl
    async def on_deliver(self) -> None:
        self.reached.set()
        await self.opened.wait()


@pytest.fixture
def gate() -> Gate:
    return Gate()


class Policy:
    """`on_message` by a function of the test."""

    def __init__(self, answer: Callable[[Submission], object]) -> None:
        self.answer = answer

    @hookimpl
    async def on_message(self, submission: Submission) -> Any:
        return self.answer(submission)


async def test_each_account_gets_its_own_file_with_its_own_trace(server: RunningServer) -> None:
    report = await server.deliver(RAW, *BOTH)
    assert report.is_accepted
    assert [outcome.status for outcome in report.outcomes] == [Status.STORED, Status.STORED]
    for user in ("alice", "bob"):
        (raw,) = await server.messages(user)
        head = f"Return-Path: <carol@remote.test>\r\nDelivered-To: {user}@example.com\r\n"
        assert raw.startswith(head.encode() + b"Received: ")
        assert raw.endswith(RAW)
    assert spooled(server) == []


async def test_two_ways_to_one_account_store_one_message(server: RunningServer) -> None:
    await server.kernel.directory.add_alias("example.com", Alias("sales", "alice"))
    report = await server.deliver(RAW, "sales@example.com", "alice@example.com")
    assert [str(outcome.recipient) for outcome in report.outcomes] == [
        "sales@example.com",
        "alice@example.com",
    ]
    assert len(await server.messages("alice")) == 1


async def test_each_target_of_an_alias_has_its_own_fate(
    server: RunningServer, make_envelope: MakeEnvelope, sorter: Any, rmail_hooks: HookRecorder
) -> None:
    sorter.rules["bob"] = lambda _: Reject("not for bob")
    await server.kernel.directory.add_alias("example.com", Alias("all", "bob", ("alice",)))
    envelope = make_envelope("all@example.com", sender="alice@example.com", user="alice")
    report = await server.kernel.delivery.submit(envelope, Content.of(RAW))
    assert report.is_accepted
    await rmail_hooks.wait_for("on_store", 2)
    raw, notice = await server.messages("alice")
    assert raw.endswith(RAW)
    assert b"not for bob" in notice
    assert await server.messages("bob") == []


async def test_a_retry_under_the_same_op_id_stores_nothing_twice(
    server: RunningServer, make_envelope: MakeEnvelope
) -> None:
    for recipients in (BOTH[:1], BOTH):
        for _ in range(2):
            envelope = make_envelope(*recipients)
            await server.kernel.delivery.submit(
                envelope, Content.of(RAW), op_id=f"retry {len(recipients)}"
            )
    assert len(await server.messages("alice")) == 2
    assert len(await server.messages("bob")) == 1


async def test_the_null_sender_leaves_an_empty_return_path(server: RunningServer) -> None:
    await server.deliver(RAW, "alice@example.com", sender=None)
    (raw,) = await server.messages("alice")
    assert raw.startswith(b"Return-Path: <>\r\n")


async def test_a_plugin_files_and_flags(server: RunningServer, sorter: Any) -> None:
    def junk(delivery: Delivery) -> Delivery:
        return delivery.with_mailbox("Lists/New").with_flags("\\Seen", "$Junk")

    sorter.rules["alice"] = junk
    assert (await server.deliver(RAW)).is_accepted
    assert len(await server.messages("alice", "Lists/New")) == 1
    view = await server.kernel.mail.view(
        (await server.kernel.directory.users("example.com"))[0].id, "Lists/New"
    )
    assert view.flag_names(view.flags[0]) == ["\\Seen", "$Junk"]


async def test_on_store_is_told_after_the_commit(
    server: RunningServer, rmail_hooks: HookRecorder
) -> None:
    await server.deliver(RAW)
    (call,) = await rmail_hooks.wait_for("on_store")
    assert call["stored"].uid == 1


@pytest.mark.parametrize(
    ("verdict", "status"),
    [
        (Reject("no"), Status.REJECTED),
        (Defer("later"), Status.DEFERRED),
        (Discard("spam"), Status.DISCARDED),
    ],
)
async def test_policy_on_the_whole_message_decides_for_all(
    server: RunningServer, verdict: Reject | Defer | Discard, status: Status
) -> None:
    server.kernel.bus.register(Policy(lambda _: verdict), "policy")
    report = await server.deliver(RAW, *BOTH)
    assert [outcome.status for outcome in report.outcomes] == [status, status]
    assert report.is_accepted == (status is Status.DISCARDED)
    assert await server.messages("alice") == []
    assert spooled(server) == []


async def test_policy_may_annotate(server: RunningServer) -> None:
    server.kernel.bus.register(Policy(lambda one: one.with_added_header("X-Seen", "yes")), "policy")
    await server.deliver(RAW, *BOTH)
    for user in ("alice", "bob"):
        assert b"\r\nX-Seen: yes\r\nReceived: " in (await server.messages(user))[0]


async def test_policy_may_take_every_recipient_away(server: RunningServer) -> None:
    def nobody(one: Submission) -> Submission:
        return replace(one, envelope=replace(one.envelope, recipients=()))

    server.kernel.bus.register(Policy(nobody), "policy")
    report = await server.deliver(RAW, *BOTH)
    assert report.is_accepted
    assert report.outcomes == ()


async def test_all_refused_means_nothing_is_accepted(server: RunningServer, sorter: Any) -> None:
    sorter.rules["alice"] = lambda _: Reject("not here", 550, "5.7.1")
    sorter.rules["bob"] = lambda _: Reject("nor here", 550, "5.7.1")
    report = await server.deliver(RAW, *BOTH)
    assert report.verdict == Reject("not here", 550, "5.7.1")
    sorter.rules["bob"] = lambda _: Defer("later")
    report = await server.deliver(RAW, *BOTH)
    assert report.verdict == Defer("later")
    assert spooled(server) == []


async def test_a_delivery_that_cannot_be_stored_defers_and_harms_no_other(
    server: RunningServer, sorter: Any
) -> None:
    sorter.rules["alice"] = lambda delivery: replace(delivery, content=None)
    assert (await server.deliver(RAW)).verdict == TROUBLE
    sorter.rules["alice"] = lambda delivery: delivery.with_flags("not a flag")
    report = await server.deliver(RAW, *BOTH)
    assert [outcome.status for outcome in report.outcomes] == [Status.QUEUED, Status.STORED]


async def test_a_cancelled_submission_is_finished_by_recovery(
    server: RunningServer, make_envelope: MakeEnvelope, gate: Gate
) -> None:
    server.kernel.bus.register(gate, "gate")
    envelope = make_envelope(*BOTH)
    work = asyncio.create_task(server.kernel.delivery.submit(envelope, Content.of(RAW)))
    async with asyncio.timeout(10):
        await gate.reached.wait()
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    gate.opened.set()
    assert len(spooled(server)) == 1
    spool = Spool(server.mail_root / "spool")
    held = spool.take(spool.ids()[0])
    assert held is not None
    assert held.content.read().endswith(RAW)
    held.release()


async def test_a_full_account_defers(server: RunningServer) -> None:
    account = await server.kernel.directory.get(Address("alice", "example.com"))
    assert account is not None
    await server.kernel.directory.update(account, quota_mb=1)
    report = await server.deliver(b"Subject: x\r\n\r\n" + b"x" * (1 << 20) + b"\r\n")
    assert isinstance(report.verdict, Defer)
    assert (report.verdict.code, report.verdict.status) == (452, "4.2.2")


async def test_an_account_full_of_messages_defers(server: RunningServer) -> None:
    account = await server.kernel.directory.get(Address("alice", "example.com"))
    assert account is not None
    await server.kernel.directory.update(account, quota_messages=1)
    assert (await server.deliver(RAW)).is_accepted
    report = await server.deliver(RAW)
    assert isinstance(report.verdict, Defer)
    assert report.verdict.status == "4.2.2"


async def test_a_message_that_travelled_too_long_is_refused(server: RunningServer) -> None:
    assert (await server.deliver(b"Received: hop\r\n" * 100 + RAW)).is_accepted
    report = await server.deliver(b"Received: hop\r\n" * 101 + RAW)
    assert isinstance(report.verdict, Reject)
    assert report.verdict.status == "5.4.6"


async def test_a_message_that_comes_back_to_the_alias_it_left_by_is_a_loop(
    server: RunningServer, outside: Any
) -> None:
    for pattern in ("team", "crew"):
        targets = ("alice", "dave@elsewhere.test")
        await server.kernel.directory.add_alias("example.com", Alias.to(pattern, targets))
    assert (await server.deliver(RAW, "team@example.com")).is_accepted
    ((submission, _),) = outside.taken
    left = submission.content.read()
    assert b"team" not in left.partition(b"\r\n\r\n")[0].replace(b"for <team@example.com>", b"")
    for again in ("team@example.com", "TEAM@example.com"):
        report = await server.deliver(left, again)
        assert isinstance(report.verdict, Reject)
        assert report.verdict.status == "5.4.6"
    assert (await server.deliver(left, "crew@example.com")).is_accepted
    assert len(outside.taken) == 2
    assert len(await server.messages("alice")) == 2


async def test_a_message_that_was_here_before_is_a_loop(server: RunningServer) -> None:
    report = await server.deliver(b"Delivered-To: alice@example.com\r\n" + RAW)
    assert isinstance(report.verdict, Reject)
    assert report.verdict.status == "5.4.6"


async def test_users_reach_the_outside_and_strangers_do_not(
    server: RunningServer, make_envelope: MakeEnvelope, outside: Any
) -> None:
    submit = server.kernel.delivery.submit
    stranger = make_envelope("dave@elsewhere.test")
    report = await submit(stranger, Content.of(RAW))
    assert isinstance(report.verdict, Reject)
    user = make_envelope("dave@elsewhere.test", "eve@elsewhere.test", user="alice")
    report = await submit(user, Content.of(RAW))
    assert [outcome.status for outcome in report.outcomes] == [Status.QUEUED, Status.QUEUED]
    ((submission, recipients),) = outside.taken
    assert [str(recipient) for recipient in recipients] == [
        "dave@elsewhere.test",
        "eve@elsewhere.test",
    ]
    assert submission.header("Message-ID")
    assert spooled(server) == []


async def test_a_broken_queue_defers_what_it_should_take(
    server: RunningServer, make_envelope: MakeEnvelope, outside: Any
) -> None:
    outside.is_broken = True
    envelope = make_envelope("dave@elsewhere.test", user="alice")
    report = await server.kernel.delivery.submit(envelope, Content.of(RAW))
    assert isinstance(report.verdict, Defer)


async def test_too_many_targets_are_refused(
    server: RunningServer, make_envelope: MakeEnvelope
) -> None:
    recipients = tuple(Address(f"u{i}", "elsewhere.test") for i in range(1001))
    envelope = replace(make_envelope(user="alice"), recipients=recipients)
    report = await server.kernel.delivery.submit(envelope, Content.of(RAW))
    assert isinstance(report.verdict, Reject)
    assert report.verdict.status == "5.5.3"


async def test_a_disk_that_takes_no_spool_entry_defers(server: RunningServer) -> None:
    (server.mail_root / "spool").write_text("not a folder")
    report = await server.deliver(RAW, *BOTH)
    assert isinstance(report.verdict, Defer)
    assert await server.messages("alice") == []
