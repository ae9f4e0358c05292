"""Bounces: RFC 3464 in form, to local senders, once, and never about bounces."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any, cast

import pytest

from rmail_kernel import Envelope
from rmail_kernel.content import Content
from rmail_kernel.delivery import dsn
from rmail_kernel.model import Address, RecipientOptions, Reject
from rmail_kernel.testing import HookRecorder, RunningServer

MakeEnvelope = Callable[..., Envelope]
RAW = b"Subject: hello \xff\r\nAuto-Submitted: no\r\n\r\nbody\r\n"
BOB, KARL = Address("bob", "example.com"), Address("kärl", "example.com")
BOTH = ("alice@example.com", "bob@example.com")


async def _bounced(
    server: RunningServer, hooks: HookRecorder, envelope: Envelope, raw: bytes = RAW
) -> EmailMessage:
    """Submits what partly fails; the notice that alice gets."""
    report = await server.kernel.delivery.submit(envelope, Content.of(raw))
    assert report.is_accepted
    await hooks.wait_for("on_store", 2)
    notice = (await server.messages("alice"))[-1]
    return message_from_bytes(notice, policy=policy.default)


async def test_a_local_sender_gets_a_report_of_what_failed(
    server: RunningServer, make_envelope: MakeEnvelope, sorter: Any, rmail_hooks: HookRecorder
) -> None:
    sorter.rules["bob"] = lambda _: Reject("not\r\nwanted", 550, "5.7.1")
    envelope = make_envelope(*BOTH, sender="alice@example.com", user="alice")
    notice = await _bounced(server, rmail_hooks, envelope)
    assert notice["Return-Path"] == "<>"
    assert notice["To"] == "alice@example.com"
    assert notice["Auto-Submitted"] == "auto-replied"
    assert notice.get_content_type() == "multipart/report"
    assert notice.get_param("report-type") == "delivery-status"
    text, status, header = notice.iter_parts()
    assert "<bob@example.com>: 550 5.7.1 not??wanted" in text.as_string()
    message, recipient = cast("list[EmailMessage]", status.get_payload())
    assert message["Reporting-MTA"] == "dns; mail.example.com"
    assert recipient["Final-Recipient"] == "rfc822; bob@example.com"
    assert recipient["Action"] == "failed"
    assert recipient["Status"] == "5.7.1"
    assert recipient["Diagnostic-Code"] == "smtp; 550 5.7.1 not??wanted"
    assert header.get_content_type() == "text/rfc822-headers"
    assert "Subject: hello ?" in header.get_content()


async def test_a_foreign_sender_is_told_through_the_outside(
    server: RunningServer,
    make_envelope: MakeEnvelope,
    sorter: Any,
    outside: Any,
    rmail_hooks: HookRecorder,
) -> None:
    sorter.rules["bob"] = lambda _: Reject("not wanted")
    await server.kernel.delivery.submit(make_envelope(*BOTH), Content.of(RAW))
    (call,) = await rmail_hooks.wait_for("on_outbound")
    assert call["submission"].envelope.sender is None
    assert [str(address) for address in call["recipients"]] == ["carol@remote.test"]


async def test_nobody_bounces_a_bounce(
    server: RunningServer, make_envelope: MakeEnvelope, sorter: Any, rmail_hooks: HookRecorder
) -> None:
    sorter.rules["bob"] = lambda _: Reject("not wanted")
    replied = RAW.replace(b"Auto-Submitted: no", b"Auto-Submitted: auto-replied")
    for envelope, raw in (
        (make_envelope(*BOTH, sender=None), RAW),
        (make_envelope(*BOTH, sender="alice@example.com", user="alice"), replied),
    ):
        report = await server.kernel.delivery.submit(envelope, Content.of(raw))
        assert report.is_accepted
    await server.stop()
    assert [call["submission"].envelope.sender for call in rmail_hooks.calls["on_message"]] == [
        None,
        make_envelope(sender="alice@example.com").sender,
    ]


async def test_addresses_beyond_ascii_are_escaped(
    server: RunningServer, make_envelope: MakeEnvelope, rmail_hooks: HookRecorder
) -> None:
    envelope = make_envelope(
        "alice@example.com", "kärl@example.com", sender="alice@example.com", user="alice"
    )
    notice = await _bounced(server, rmail_hooks, envelope)
    assert "Final-Recipient: utf-8; k\\x{E4}rl@example.com" in notice.as_string()


def _composed(
    make_envelope: MakeEnvelope, fates: list[dsn.Fate], raw: bytes = RAW, **changes: Any
) -> EmailMessage:
    options = (
        RecipientOptions(BOB, frozenset({"FAILURE"}), "rfc822;old@old.test"),
        RecipientOptions(KARL, orcpt="utf-8;kärl@old.test"),
    )
    envelope = replace(
        make_envelope(*BOTH, sender="alice@example.com"), options=options, envid="o 7", **changes
    )
    notice = dsn.compose(
        envelope, Content.of(raw), fates, hostname="mail.example.com", now=envelope.received_at
    )
    return message_from_bytes(notice.read(), policy=policy.default)


def test_a_report_repeats_what_the_sender_asked_it_by(make_envelope: MakeEnvelope) -> None:
    fates = [
        dsn.Fate(BOB, dsn.Action.FAILED, "5.1.1", "550 no", "mx.old.test"),
        dsn.Fate(KARL, dsn.Action.FAILED, "5.1.1"),
    ]
    _, status, _ = _composed(make_envelope, fates).iter_parts()
    message, bob, karl = cast("list[EmailMessage]", status.get_payload())
    assert message["Original-Envelope-Id"] == "o 7"
    assert bob["Original-Recipient"] == "rfc822; old@old.test"
    assert bob["Remote-MTA"] == "dns; mx.old.test"
    assert karl["Original-Recipient"] == "utf-8; k\\x{E4}rl@old.test"
    assert karl["Remote-MTA"] is None


@pytest.mark.parametrize("raw", [RAW, RAW.replace(b"\xff", b"")])
def test_the_whole_message_comes_back_where_it_is_asked_for(
    make_envelope: MakeEnvelope, raw: bytes
) -> None:
    fates = [dsn.Fate(BOB, dsn.Action.FAILED, "5.1.1")]
    *_, whole = _composed(make_envelope, fates, raw, ret="FULL").iter_parts()
    assert whole.get_content_type() == "message/rfc822"
    (inner,) = cast("list[EmailMessage]", whole.get_payload())
    assert inner.get_content() == "body\r\n"


@pytest.mark.parametrize(
    ("action", "raw", "ret"),
    [
        (dsn.Action.DELAYED, RAW, "FULL"),
        (dsn.Action.FAILED, RAW, "HDRS"),
        (dsn.Action.FAILED, RAW + b"x" * dsn.MAX_FULL_BYTES, "FULL"),
    ],
)
def test_only_the_header_comes_back_otherwise(
    make_envelope: MakeEnvelope, action: dsn.Action, raw: bytes, ret: str
) -> None:
    *_, part = _composed(make_envelope, [dsn.Fate(BOB, action, "4.4.1")], raw, ret=ret).iter_parts()
    assert part.get_content_type() == "text/rfc822-headers"


def test_a_notice_about_a_message_that_needs_tls_needs_it_too(make_envelope: MakeEnvelope) -> None:
    # RFC 8689 5: and RET=FULL is disregarded
    told = make_envelope(str(BOB))
    secret = replace(told, require_tls=True)
    assert dsn.envelope_to(BOB, secret, "7", told.received_at).require_tls
    assert not dsn.envelope_to(BOB, told, "7", told.received_at).require_tls
    fates = [dsn.Fate(BOB, dsn.Action.FAILED, "5.1.1")]
    *_, part = _composed(make_envelope, fates, ret="FULL", require_tls=True).iter_parts()
    assert part.get_content_type() == "text/rfc822-headers"


@pytest.mark.parametrize("local", ["a\u2028b", "a\x85b", "a\u202eb", '"<a>"', '"a, b"'])
def test_no_address_breaks_the_header_of_a_notice(make_envelope: MakeEnvelope, local: str) -> None:
    envelope = replace(make_envelope(*BOTH), sender=Address(local, "remote.test"))
    fates = [dsn.Fate(Address(local, "example.com"), dsn.Action.FAILED, "5.1.1")]
    notice = dsn.compose(
        envelope, Content.of(RAW), fates, hostname="mail.example.com", now=envelope.received_at
    )
    found = message_from_bytes(notice.read(), policy=policy.default)
    assert found.get_content_type() == "multipart/report"
    assert len(found.get_all("To", [])) == 1


async def test_who_wants_no_notice_gets_none(
    server: RunningServer, make_envelope: MakeEnvelope, sorter: Any, rmail_hooks: HookRecorder
) -> None:
    sorter.rules["bob"] = lambda _: Reject("not wanted")
    envelope = make_envelope(*BOTH, sender="alice@example.com", user="alice")
    never = replace(envelope, options=(RecipientOptions(BOB, frozenset({"NEVER"})),))
    assert (await server.kernel.delivery.submit(never, Content.of(RAW))).is_accepted
    await server.stop()
    assert len(rmail_hooks.calls["on_message"]) == 1
