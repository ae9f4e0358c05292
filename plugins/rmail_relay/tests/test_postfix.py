"""Mail that goes out, as a real Postfix takes it."""

from __future__ import annotations

from typing import Any

import pytest
from rmail_relay.outcome import Kind
from rmail_relay.transport import SmtpTransport

from rmail_kernel.model import Address, RecipientOptions
from rmail_kernel.testing import FakeDns, Postfix

from .conftest import MakeTransport, Send

SENDER = "sender@postfix.test"


@pytest.fixture
def direct(make_transport: MakeTransport, rmail_dns: FakeDns, rmail_postfix: Postfix) -> Any:
    """By the mail exchangers of DNS: TLS with a certificate that nobody knows."""
    rmail_dns.mx("postfix.test", "mx.postfix.test")
    return make_transport(mx_port=rmail_postfix.port)


def hub(make_transport: MakeTransport, postfix: Postfix, tls: str) -> SmtpTransport:
    """As a smarthost."""
    rule = {"host": "localhost", "port": postfix.port, "tls": tls}
    trust = {"ca_file": str(postfix.certificate)}
    return make_transport(smarthost=rule | trust)


def letter(subject: str, body: str = "Body\r\n.\r\n..\r\n") -> bytes:
    head = f"From: {SENDER}\r\nSubject: {subject}\r\nMIME-Version: 1.0\r\n"
    return (head + "Content-Type: text/plain; charset=utf-8\r\n\r\n" + body).encode()


async def test_by_mx_over_starttls_in_chunks(
    send: Send, direct: SmtpTransport, rmail_postfix: Postfix
) -> None:
    raw = letter("mx-chunks", "Grüße\r\n.\r\n" * 200_000)
    outcome = (await send("u@postfix.test", raw=raw, sender=SENDER, transport=direct))[
        "u@postfix.test"
    ]
    assert outcome.kind is Kind.DELIVERED, outcome
    assert outcome.tls.startswith("TLSv1.3")
    assert outcome.is_dsn_relayed
    message = await rmail_postfix.wait_for("mx-chunks")
    body = message.get_payload(decode=True)
    assert isinstance(body, bytes)
    assert body.replace(b"\r\n", b"\n") == "Grüße\n.\n".encode() * 200_000
    assert "with ESMTPS" in str(message["Received"])
    assert message["Return-Path"] == f"<{SENDER}>"


@pytest.mark.parametrize("tls", ["none", "starttls"])
async def test_as_a_smarthost(
    send: Send, make_transport: MakeTransport, rmail_postfix: Postfix, tls: str
) -> None:
    transport = hub(make_transport, rmail_postfix, tls)
    for number in range(3):
        raw = letter(f"hub-{tls}-{number}")
        outcomes = await send("u@postfix.test", raw=raw, sender=SENDER, transport=transport)
        outcome = outcomes["u@postfix.test"]
        assert outcome.kind is Kind.DELIVERED, outcome
        assert bool(outcome.tls) == (tls == "starttls")
        message = await rmail_postfix.wait_for(f"hub-{tls}-{number}")
        assert message.get_payload() == "Body\n.\n..\n"


async def test_mixed_fates(send: Send, direct: SmtpTransport, rmail_postfix: Postfix) -> None:
    users = ["one", "busy", "gone", "two"]
    outcomes = await send(
        *(f"{user}@postfix.test" for user in users),
        raw=letter("mixed"),
        sender=SENDER,
        transport=direct,
    )
    told = [(each.kind, each.code, each.status) for each in outcomes.values()]
    assert told == [
        (Kind.DELIVERED, 250, "2.0.0"),
        (Kind.DEFERRED, 450, "4.2.1"),
        (Kind.FAILED, 550, "5.1.1"),
        (Kind.DELIVERED, 250, "2.0.0"),
    ]
    await rmail_postfix.wait_for("mixed")


async def test_utf8_addresses_and_headers(
    send: Send, direct: SmtpTransport, rmail_postfix: Postfix
) -> None:
    outcomes = await send(
        "grün@postfix.test",
        raw=letter("schön-utf8"),
        sender="süd@postfix.test",
        smtputf8=True,
        transport=direct,
    )
    assert outcomes["grün@postfix.test"].kind is Kind.DELIVERED, outcomes
    message = await rmail_postfix.wait_for("-utf8")
    assert "UTF8SMTPS" in str(message["Received"])


async def test_dsn_options_reach_the_reporter(
    send: Send, direct: SmtpTransport, rmail_postfix: Postfix
) -> None:
    options = RecipientOptions(
        Address.parse("u@postfix.test"), frozenset({"SUCCESS"}), "rfc822;first@old.test"
    )
    await send(
        "u@postfix.test",
        raw=letter("dsn-asked"),
        sender=SENDER,
        envid="env 42",
        ret="HDRS",
        options=(options,),
        transport=direct,
    )
    report = await rmail_postfix.wait_for("Successful Mail Delivery Report")
    text = report.as_string()
    assert "Original-Envelope-Id: env 42" in text
    assert "Original-Recipient: rfc822;first@old.test" in text
    assert "Action: delivered" in text
