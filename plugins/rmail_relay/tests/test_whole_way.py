"""The whole way: a user submits, the queue sends, the peer does what peers do, and everybody hears
what he must.
"""

from __future__ import annotations

import asyncio
import email
import smtplib
from email.message import Message
from typing import Any

import pytest

from rmail_kernel.testing import (
    Drop,
    FakeDns,
    FakeMx,
    HookRecorder,
    Postfix,
    RunningServer,
    Take,
    trusting_context,
)

SENDER = "alice@example.com"


@pytest.fixture
def rmail_plugins() -> list[str]:
    return ["smtp", "relay"]


@pytest.fixture
def relay() -> dict[str, Any]:
    """What tests change of the section."""
    return {}


@pytest.fixture
def rmail_settings(rmail_dns: FakeDns, rmail_mx: FakeMx, relay: dict[str, Any]) -> dict[str, Any]:
    rmail_dns.mx("remote.test", "mx.remote.test")
    base = {
        "dns_servers": [rmail_dns.server],
        "mx_port": rmail_mx.port,
        "retry_schedule_s": [0.2],
        "timeouts": {"connect_s": 5, "command_s": 5, "final_s": 2},
    }
    return {"relay": base | relay}


async def submit(
    server: RunningServer, *recipients: str, subject: str = "Hello", **options: Any
) -> None:
    """As a mail program does it."""
    raw = f"From: {SENDER}\r\nSubject: {subject}\r\n\r\nGrüße\r\n.\r\n".encode()

    def send() -> None:
        with smtplib.SMTP("127.0.0.1", server.ports["submission"], timeout=20) as client:
            client.starttls(context=trusting_context())
            client.login(SENDER, "secret")
            client.sendmail(SENDER, recipients, raw, **options)

    await asyncio.to_thread(send)


async def notice(server: RunningServer, recorder: HookRecorder, count: int = 1) -> Message:
    """The last of so many messages in the sender's INBOX."""
    await recorder.wait_for("on_store", count)
    return email.message_from_bytes((await server.messages())[count - 1])


async def test_a_submitted_message_reaches_the_exchanger(
    rmail_server: RunningServer, rmail_mx: FakeMx, rmail_hooks: HookRecorder
) -> None:
    rmail_mx.extensions = ["PIPELINING", "8BITMIME"]
    await submit(rmail_server, "bob@remote.test", "carol@remote.test")
    (received,) = await rmail_mx.wait_for()
    assert received.sender == SENDER
    assert received.recipients == ["bob@remote.test", "carol@remote.test"]
    assert received.raw.endswith("Grüße\r\n.\r\n".encode())
    assert b"\r\nReceived: " in b"\r\n" + received.raw
    calls = await rmail_hooks.wait_for("on_relayed", 2)
    assert len(calls) == 2
    assert await rmail_server.messages() == []


async def test_a_refusal_is_told_to_the_sender_once(
    rmail_server: RunningServer, rmail_mx: FakeMx, rmail_hooks: HookRecorder
) -> None:
    rmail_mx.refuse = {"who@remote.test": "550 5.1.1 no such user here"}
    await submit(rmail_server, "bob@remote.test", "who@remote.test")
    await rmail_mx.wait_for()
    report = await notice(rmail_server, rmail_hooks)
    text = report.as_string()
    assert report.get_content_type() == "multipart/report"
    assert "Final-Recipient: rfc822; who@remote.test" in text
    assert "Status: 5.1.1" in text
    assert "no such user here" in text
    assert "mx.remote.test" in text
    assert "bob@remote.test" not in text.partition("message/delivery-status")[2].partition("--")[0]


@pytest.mark.parametrize(
    ("stage", "step"),
    [
        ("", "421 4.3.2 later"),
        ("RCPT", "450 4.2.1 greylisted"),
        ("DATA", Drop()),
        (".", "451 4.3.0 later"),
    ],
)
async def test_mail_that_waited_is_delivered_once(
    rmail_server: RunningServer, rmail_mx: FakeMx, rmail_hooks: HookRecorder, stage: str, step: Any
) -> None:
    rmail_mx.replies[stage] = [step]
    await submit(rmail_server, "bob@remote.test")
    await rmail_hooks.wait_for("on_relayed", timeout_s=20)
    assert len(rmail_mx.messages) == 1
    assert await rmail_server.messages() == []


async def test_a_lost_answer_makes_a_second_copy_and_no_more(
    rmail_server: RunningServer, rmail_mx: FakeMx, rmail_hooks: HookRecorder
) -> None:
    rmail_mx.replies["."] = [Take()]
    await submit(rmail_server, "bob@remote.test")
    await rmail_hooks.wait_for("on_relayed", timeout_s=20)
    assert len(rmail_mx.messages) == 2
    assert rmail_mx.messages[0].raw == rmail_mx.messages[1].raw


async def test_no_such_domain_is_told_at_once(
    rmail_server: RunningServer, rmail_hooks: HookRecorder
) -> None:
    await submit(rmail_server, "bob@absent.test")
    assert "Status: 5.1.2" in (await notice(rmail_server, rmail_hooks)).as_string()


@pytest.mark.parametrize("extensions", [[], ["DSN"]])
async def test_success_is_told_by_us_only_where_the_peer_will_not(
    rmail_server: RunningServer,
    rmail_mx: FakeMx,
    rmail_hooks: HookRecorder,
    extensions: list[str],
) -> None:
    rmail_mx.extensions = extensions
    await submit(rmail_server, "bob@remote.test", rcpt_options=["NOTIFY=SUCCESS"])
    (received,) = await rmail_mx.wait_for()
    await rmail_hooks.wait_for("on_relayed")
    if extensions:
        assert "NOTIFY=SUCCESS" in received.rcpt[0]
        assert await rmail_server.messages() == []
    else:
        report = (await notice(rmail_server, rmail_hooks)).as_string()
        assert "Action: relayed" in report


class TestThroughPostfix:
    """Postfix as the smarthost that takes everything."""

    @pytest.fixture
    def relay(self, rmail_postfix: Postfix) -> dict[str, Any]:
        trust = {"ca_file": str(rmail_postfix.certificate)}
        return {"smarthost": {"host": "localhost", "port": rmail_postfix.port} | trust}

    @pytest.fixture
    def rmail_settings(self, rmail_postfix: Postfix, relay: dict[str, Any]) -> dict[str, Any]:
        return {"relay": relay, "smtp": {"port": rmail_postfix.peer_port}}

    async def test_mixed_fates_and_the_way_back(
        self, rmail_server: RunningServer, rmail_postfix: Postfix, rmail_hooks: HookRecorder
    ) -> None:
        users = ("one@postfix.test", "gone@postfix.test")
        options = ["NOTIFY=SUCCESS,FAILURE"]
        await submit(rmail_server, *users, subject="whole-way", rcpt_options=options)
        message = await rmail_postfix.wait_for("whole-way")
        assert message["Return-Path"] == f"<{SENDER}>"
        await rmail_hooks.wait_for("on_store", 2, timeout_s=20)
        reports = b"\n".join(await rmail_server.messages())
        assert b"Final-Recipient: rfc822; gone@postfix.test" in reports, "our notice"
        assert b"Status: 5.1.1" in reports
        assert b"Action: delivered" in reports, "Postfix's notice, sent back to us"
