"""Trace fields as RFC 5321 4.4 and RFC 3848 have them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from rmail_kernel import Envelope, Principal, SessionInfo
from rmail_kernel.content import Content
from rmail_kernel.delivery import trace
from rmail_kernel.model import Address
from rmail_kernel.storage.ids import AccountId

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ALICE = Address("alice", "example.com")
SESSION = SessionInfo("s1", "smtp", peer_host="192.0.2.1", helo="client.test")
ENVELOPE = Envelope(Address("carol", "remote.test"), (ALICE,), SESSION, NOW)
PRINCIPAL = Principal(AccountId("alice@example.com"), ALICE)


def _received(envelope: Envelope) -> str:
    return trace.received_field(envelope, "mail.example.com").decode()


def test_a_received_field_in_full() -> None:
    assert _received(ENVELOPE) == (
        "Received: from client.test ([192.0.2.1])\r\n"
        "\tby mail.example.com with ESMTP id s1\r\n"
        "\tfor <alice@example.com>;\r\n"
        "\tFri, 02 Jan 2026 03:04:05 +0000\r\n"
    )


def test_a_received_field_tells_how_it_was_sealed() -> None:
    # RFC 8314 4.3
    session = replace(SESSION, tls="TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256")
    assert _received(replace(ENVELOPE, session=session)) == (
        "Received: from client.test ([192.0.2.1])\r\n"
        "\tby mail.example.com with ESMTPS id s1\r\n"
        "\tfor <alice@example.com>\r\n"
        "\t(TLSv1.2) tls TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256;\r\n"
        "\tFri, 02 Jan 2026 03:04:05 +0000\r\n"
    )


@pytest.mark.parametrize(
    ("session", "utf8", "expected"),
    [
        (replace(SESSION, is_extended=False), False, " with SMTP id"),
        (replace(SESSION, tls="TLSv1.3 X"), False, " with ESMTPS id"),
        (replace(SESSION, principal=PRINCIPAL), False, " with ESMTPA id"),
        (replace(SESSION, tls="TLSv1.3 X", principal=PRINCIPAL), False, " with ESMTPSA id"),
        (replace(SESSION, tls="TLSv1.3 X"), True, " with UTF8SMTPS id"),
        (replace(SESSION, tls="TLSv1.3 X"), False, "\r\n\t(TLSv1.3 X);"),
        (replace(SESSION, protocol="http"), False, "by mail.example.com id s1"),
        (replace(SESSION, peer_host="2001:db8::1"), False, " ([IPv6:2001:db8::1])"),
        (replace(SESSION, helo="evil)\r\nX: y"), False, "from unknown ([192.0.2.1])"),
    ],
)
def test_how_it_came_is_told(session: SessionInfo, utf8: bool, expected: str) -> None:
    assert expected in _received(replace(ENVELOPE, session=session, smtputf8=utf8))


def test_several_recipients_are_not_told_of_each_other() -> None:
    envelope = replace(ENVELOPE, recipients=(ALICE, Address("bob", "example.com")))
    assert "for <" not in _received(envelope)


def test_only_what_is_missing_is_added() -> None:
    facts = trace.inspect(Content.of(b"Message-Id: <x@y>\r\nSubject: x\r\n\r\nDate: body\r\n"))
    added = trace.missing_fields(facts, NOW, "mail.example.com")
    assert added == b"Date: Fri, 02 Jan 2026 03:04:05 +0000\r\n"


def test_facts_are_read_from_the_header_only() -> None:
    raw = b"Received: a\r\nreceived: b\r\nAuto-Submitted: auto-replied; x=y\r\n\r\nReceived: c\r\n"
    facts = trace.inspect(Content.of(raw))
    assert facts.received == 2
    assert facts.auto_submitted == "auto-replied"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"Delivered-To: Alice@Example.com\r\n\r\n", True),
        (b"DELIVERED-TO: bob@example.com\r\ndelivered-to:\r\n alice@example.com\r\n\r\n", True),
        (b"Delivered-To: bob@example.com\r\nX: alice@example.com\r\n\r\n", False),
        (b"X: y\r\n\r\nDelivered-To: alice@example.com\r\n", False),
    ],
)
def test_an_earlier_delivery_is_seen_in_the_header(raw: bytes, expected: bool) -> None:
    alice = Address("Alice", "example.com")
    assert trace.was_delivered_to(Content.of(raw), alice) is expected
