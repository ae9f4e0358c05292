"""Bounces: RFC 3464 in form, to local senders, once, and never about bounces."""

from __future__ import annotations

from collections.abc import Callable
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any, cast

from rmail_kernel import Envelope
from rmail_kernel.content import Content
from rmail_kernel.model import Reject
from rmail_kernel.testing import HookRecorder, RunningServer

MakeEnvelope = Callable[..., Envelope]
RAW = b"Subject: hello \xff\r\nAuto-Submitted: no\r\n\r\nbody\r\n"
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
