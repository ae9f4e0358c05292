"""From a user's client to another server: DNS, MX, the queue, and the notice when it fails."""

from __future__ import annotations

import asyncio
import smtplib
from typing import Any

import pytest

from rmail_kernel.testing import FakeDns, FakeMx, HookRecorder, RunningServer

MESSAGE = "From: alice@example.com\r\nTo: dave@remote.test\r\nSubject: hello\r\n\r\nbody\r\n"


@pytest.fixture
def rmail_plugins() -> list[str]:
    return ["smtp", "relay"]


@pytest.fixture
def rmail_settings(rmail_dns: FakeDns, rmail_mx: FakeMx) -> dict[str, Any]:
    rmail_dns.mx("remote.test", "mx.remote.test")
    relay = {"dns_servers": [rmail_dns.server], "mx_port": rmail_mx.port}
    return {"relay": relay, "tls": {"enabled": False}}


def _send(server: RunningServer, *recipients: str) -> None:
    with smtplib.SMTP("127.0.0.1", server.ports["submission"], timeout=10) as client:
        client.login("alice@example.com", "secret")
        client.sendmail("alice@example.com", recipients, MESSAGE)


async def test_mail_reaches_the_mail_exchanger(
    rmail_server: RunningServer, rmail_mx: FakeMx
) -> None:
    await asyncio.to_thread(_send, rmail_server, "dave@remote.test", "bob@example.com")
    (message,) = await rmail_mx.wait_for(1)
    assert (message.sender, message.recipients) == ("alice@example.com", ["dave@remote.test"])
    assert message.raw.endswith(b"\r\n\r\nbody\r\n")
    assert len(await rmail_server.messages("bob")) == 1


async def test_a_refusal_comes_back_to_the_sender(
    rmail_server: RunningServer, rmail_mx: FakeMx, rmail_hooks: HookRecorder
) -> None:
    rmail_mx.replies["RCPT"] = "550 5.1.1 no such user"
    await asyncio.to_thread(_send, rmail_server, "dave@remote.test")
    await rmail_hooks.wait_for("on_store", 1)
    (notice,) = await rmail_server.messages("alice")
    assert b"Final-Recipient: rfc822; dave@remote.test" in notice
    assert b"550 5.1.1 no such user" in notice
    assert rmail_mx.messages == []


async def test_strangers_cannot_relay(rmail_server: RunningServer, rmail_mx: FakeMx) -> None:
    def try_it() -> int:
        with smtplib.SMTP("127.0.0.1", rmail_server.ports["smtp"], timeout=10) as client:
            client.ehlo()
            client.mail("carol@other.test")
            return client.rcpt("dave@remote.test")[0]

    assert await asyncio.to_thread(try_it) == 550
    assert rmail_mx.messages == []
