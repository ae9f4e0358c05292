"""TLS when it can be, when it must be, and logins that nobody else reads."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest
from rmail_relay.outcome import Kind, RecipientOutcome

from rmail_kernel.testing import FakeMx, Hang, Raw

from .conftest import QUICK, MakeTransport, Send

BOB = "bob@remote.test"
LOGIN = {"username": "user@example.com", "password": "s,e=cret"}
Hub = dict[str, Any]


@pytest.fixture
def patience() -> dict[str, float]:
    return QUICK


@pytest.fixture
def hub(rmail_mx: FakeMx, server_tls: ssl.SSLContext, certificate_file: Path) -> Hub:
    """Settings of a smarthost with TLS whose certificate we trust."""
    rmail_mx.tls = server_tls
    return {"host": "localhost", "port": rmail_mx.port, "ca_file": str(certificate_file)}


async def through(send: Send, make: MakeTransport, hub: Hub, **fields: Any) -> RecipientOutcome:
    return (await send(transport=make(smarthost=hub), **fields))[BOB]


async def test_tls_is_used_where_it_is_offered_whatever_the_certificate(
    send: Send, rmail_mx: FakeMx, server_tls: ssl.SSLContext
) -> None:
    rmail_mx.tls = server_tls
    outcome = (await send())[BOB]
    assert outcome.kind is Kind.DELIVERED
    assert outcome.tls.startswith("TLSv1.3 TLS_")
    assert rmail_mx.messages[0].tls
    assert [line[:4] for line in rmail_mx.commands[:3]] == ["EHLO", "STAR", "EHLO"]


@pytest.mark.parametrize(
    "step", ["454 4.7.0 not now", "554 5.7.0 no", Raw(b"220 go\r\nnonsense"), Raw(b"220 go\r\n")]
)
async def test_tls_that_fails_is_done_without_where_it_is_not_required(
    send: Send, rmail_mx: FakeMx, server_tls: ssl.SSLContext, step: Any
) -> None:
    rmail_mx.tls = server_tls
    rmail_mx.replies["STARTTLS"] = [step]
    outcome = (await send())[BOB]
    assert (outcome.kind, outcome.tls) == (Kind.DELIVERED, "")


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
async def test_required_tls_is_verified(
    send: Send, make_transport: MakeTransport, rmail_mx: FakeMx, hub: Hub, tls: str
) -> None:
    rmail_mx.implicit_tls = tls == "implicit"
    outcome = await through(send, make_transport, {**hub, "tls": tls})
    assert outcome.kind is Kind.DELIVERED
    assert outcome.tls


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
@pytest.mark.parametrize("change", [{"ca_file": None}, {"host": "wrong.localhost"}])
async def test_mail_waits_where_the_certificate_is_not_good(
    send: Send,
    make_transport: MakeTransport,
    rmail_mx: FakeMx,
    hub: Hub,
    tls: str,
    change: dict[str, Any],
) -> None:
    rmail_mx.implicit_tls = tls == "implicit"
    outcome = await through(send, make_transport, {**hub, **change, "tls": tls})
    assert (outcome.kind, outcome.status) == (Kind.DEFERRED, "4.7.5")
    assert "certificate" in outcome.text
    assert rmail_mx.messages == []


async def test_verification_can_be_switched_off(
    send: Send, make_transport: MakeTransport, hub: Hub
) -> None:
    rule = {**hub, "ca_file": None, "verify": False, "tls": "starttls"}
    assert (await through(send, make_transport, rule)).kind is Kind.DELIVERED


async def test_authorities_that_cannot_be_read_let_mail_wait(
    send: Send, make_transport: MakeTransport, hub: Hub, tmp_path: Path
) -> None:
    rule = {**hub, "ca_file": str(tmp_path / "absent.pem"), "tls": "starttls"}
    assert (await through(send, make_transport, rule)).status == "4.7.5"


async def test_mail_waits_where_required_tls_is_not_offered(
    send: Send, make_transport: MakeTransport, rmail_mx: FakeMx, hub: Hub
) -> None:
    rmail_mx.tls = None
    outcome = await through(send, make_transport, {**hub, "tls": "starttls"})
    assert (outcome.kind, outcome.status) == (Kind.DEFERRED, "4.7.4")


@pytest.mark.parametrize("step", ["454 4.7.0 not now", Raw(b"220 go\r\nnonsense"), Hang()])
async def test_mail_waits_where_required_tls_fails(
    send: Send, make_transport: MakeTransport, rmail_mx: FakeMx, hub: Hub, step: Any
) -> None:
    rmail_mx.replies["STARTTLS"] = step
    outcome = await through(send, make_transport, {**hub, "tls": "starttls"})
    assert outcome.kind is Kind.DEFERRED
    assert rmail_mx.messages == []


async def test_what_came_before_tls_is_no_answer_within_it(
    send: Send, make_transport: MakeTransport, rmail_mx: FakeMx, hub: Hub
) -> None:
    rmail_mx.replies["STARTTLS"] = Raw(b"220 go\r\n250-evil\r\n250 AUTH PLAIN\r\n")
    outcome = await through(send, make_transport, {**hub, **LOGIN, "tls": "starttls"})
    assert outcome.kind is Kind.DEFERRED
    assert not any(line.startswith("AUTH") for line in rmail_mx.commands)


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "SCRAM-SHA-256"])
async def test_logins(
    send: Send, make_transport: MakeTransport, rmail_mx: FakeMx, hub: Hub, mechanism: str
) -> None:
    rmail_mx.extensions = [f"AUTH {mechanism}"]
    rmail_mx.logins = {LOGIN["username"]: LOGIN["password"]}
    outcome = await through(send, make_transport, {**hub, **LOGIN, "tls": "starttls"})
    assert outcome.kind is Kind.DELIVERED, outcome
    assert rmail_mx.messages[0].login == LOGIN["username"]


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "SCRAM-SHA-256"])
async def test_a_refused_login_lets_mail_wait(
    send: Send, make_transport: MakeTransport, rmail_mx: FakeMx, hub: Hub, mechanism: str
) -> None:
    rmail_mx.extensions = [f"AUTH {mechanism}"]
    rmail_mx.logins = {LOGIN["username"]: "another"}
    outcome = await through(send, make_transport, {**hub, **LOGIN, "tls": "starttls"})
    assert (outcome.kind, outcome.status) == (Kind.DEFERRED, "4.7.8")
    assert LOGIN["password"] not in outcome.text


async def test_the_strongest_way_to_log_in_is_taken(
    send: Send, make_transport: MakeTransport, rmail_mx: FakeMx, hub: Hub
) -> None:
    rmail_mx.extensions = ["AUTH LOGIN PLAIN SCRAM-SHA-256"]
    rmail_mx.logins = {LOGIN["username"]: LOGIN["password"]}
    await through(send, make_transport, {**hub, **LOGIN, "tls": "starttls"})
    assert any(line.startswith("AUTH SCRAM-SHA-256 ") for line in rmail_mx.commands)


async def test_no_way_to_log_in_lets_mail_wait(
    send: Send, make_transport: MakeTransport, rmail_mx: FakeMx, hub: Hub
) -> None:
    rmail_mx.extensions = ["AUTH GSSAPI"]
    outcome = await through(send, make_transport, {**hub, **LOGIN, "tls": "starttls"})
    assert (outcome.kind, outcome.status) == (Kind.DEFERRED, "4.7.0")


async def test_a_login_in_clear_text_needs_the_word_none(
    send: Send, make_transport: MakeTransport, rmail_mx: FakeMx, hub: Hub
) -> None:
    rmail_mx.tls = None
    rmail_mx.extensions = ["AUTH PLAIN"]
    rmail_mx.logins = {LOGIN["username"]: LOGIN["password"]}
    waiting = await through(send, make_transport, {**hub, **LOGIN, "tls": "starttls"})
    assert waiting.kind is Kind.DEFERRED
    assert not any(line.startswith("AUTH") for line in rmail_mx.commands)
    outcome = await through(send, make_transport, {**hub, **LOGIN, "tls": "none"})
    assert outcome.kind is Kind.DELIVERED


async def test_tls_none_means_none(
    send: Send, make_transport: MakeTransport, rmail_mx: FakeMx, hub: Hub
) -> None:
    outcome = await through(send, make_transport, {**hub, "tls": "none"})
    assert (outcome.kind, outcome.tls) == (Kind.DELIVERED, "")


@pytest.mark.parametrize(
    "challenge",
    [
        b"",
        b"!!!",
        b"r=short,s=c2FsdA==,i=4096",
        b"r={nonce},s=c2FsdA==,i=4096",
        b"r={nonce}x,s=c2FsdA==,i=1",
        b"r={nonce}x,s=c2FsdA==,i=999999999",
        b"r={nonce}x,s=c2FsdA==,i=x",
        b"r={nonce}x,s=*,i=4096",
        b"m=y,r={nonce}x,s=c2FsdA==,i=4096",
    ],
)
async def test_scram_challenges_that_make_no_sense_end_the_login(challenge: bytes) -> None:
    from rmail_relay.client.login import _challenge
    from rmail_relay.client.verdict import Garbled

    with pytest.raises(Garbled):
        _challenge(challenge.replace(b"{nonce}", b"abc").decode(), "abc")


async def test_a_server_that_does_not_know_the_password_gets_no_mail(
    send: Send, make_transport: MakeTransport, rmail_mx: FakeMx, hub: Hub
) -> None:
    rmail_mx.extensions = ["AUTH SCRAM-SHA-256"]
    rmail_mx.logins = {LOGIN["username"]: LOGIN["password"]}
    rmail_mx.is_impostor = True
    outcome = await through(send, make_transport, {**hub, **LOGIN, "tls": "starttls"})
    assert (outcome.kind, outcome.status) == (Kind.DEFERRED, "4.5.0")


@pytest.mark.parametrize("extensions", [[], ["REQUIRETLS"]])
async def test_requiretls_needs_a_peer_that_promises_it(
    send: Send, make_transport: MakeTransport, rmail_mx: FakeMx, hub: Hub, extensions: list[str]
) -> None:
    rmail_mx.extensions = extensions
    outcome = await through(send, make_transport, {**hub, "tls": "opportunistic"}, require_tls=True)
    if extensions:
        assert outcome.kind is Kind.DELIVERED
        assert rmail_mx.messages[0].mail == "REQUIRETLS"
    else:
        assert (outcome.kind, outcome.status) == (Kind.FAILED, "5.7.30")


@pytest.mark.parametrize("extensions", [[], ["REQUIRETLS"]])
async def test_a_notice_about_a_message_with_requiretls_asks_for_it_and_goes_without(
    send: Send, make_transport: MakeTransport, rmail_mx: FakeMx, hub: Hub, extensions: list[str]
) -> None:
    rmail_mx.extensions = extensions
    terms = {**hub, "tls": "opportunistic"}
    outcome = await through(send, make_transport, terms, require_tls=True, sender=None)
    assert outcome.kind is Kind.DELIVERED
    assert rmail_mx.messages[0].mail == " ".join(extensions)


async def test_requiretls_never_goes_out_in_the_clear(
    send: Send, make_transport: MakeTransport, rmail_mx: FakeMx, hub: Hub
) -> None:
    rmail_mx.tls = None
    rmail_mx.extensions = ["REQUIRETLS"]
    outcome = await through(send, make_transport, {**hub, "tls": "none"}, require_tls=True)
    assert outcome.kind is Kind.DEFERRED
    assert rmail_mx.messages == []


async def test_connections_on_other_terms_are_not_shared(
    send: Send, rmail_mx: FakeMx, server_tls: ssl.SSLContext
) -> None:
    rmail_mx.tls = server_tls
    rmail_mx.extensions = ["REQUIRETLS"]
    assert (await send())[BOB].kind is Kind.DELIVERED
    outcome = (await send(require_tls=True))[BOB]
    assert outcome.kind is Kind.DEFERRED, "its certificate is not verified"
    assert rmail_mx.connections == 2
