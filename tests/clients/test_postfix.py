"""Mail that a real Postfix sends to us."""

from __future__ import annotations

import asyncio
import smtplib
from typing import Any

import pytest

from rmail_kernel.testing import Postfix, RunningServer

SENDER = "sender@postfix.test"


@pytest.fixture
def rmail_plugins() -> list[str]:
    return ["smtp"]


@pytest.fixture
def rmail_settings(rmail_postfix: Postfix) -> dict[str, Any]:
    return {"smtp": {"port": rmail_postfix.peer_port}, "hostname": "mail.example.com"}


def letter(subject: str, body: str = "Body\r\n.\r\n") -> bytes:
    head = f"From: {SENDER}\r\nSubject: {subject}\r\nMIME-Version: 1.0\r\n"
    return (head + "Content-Type: text/plain; charset=utf-8\r\n\r\n" + body).encode()


async def inject(postfix: Postfix, raw: bytes, *recipients: str, **options: Any) -> None:
    """Hands a message to Postfix."""

    def send() -> None:
        with smtplib.SMTP("127.0.0.1", postfix.port, timeout=20) as client:
            client.sendmail(SENDER, recipients, raw, **options)

    await asyncio.to_thread(send)


async def arrived(server: RunningServer, user: str, subject: bytes) -> bytes:
    """The message with this subject; it may take Postfix a moment."""
    async with asyncio.timeout(20):
        while True:
            for raw in await server.messages(user):
                if b"Subject: " + subject in raw:
                    return raw
            await asyncio.sleep(0.05)  # another program's queue tells nobody


async def test_a_message_arrives_over_starttls(
    rmail_server: RunningServer, rmail_postfix: Postfix
) -> None:
    body = "Grüße\r\n.\r\n..\r\n" * 1000
    recipients = ("alice@example.com", "bob@example.com")
    await inject(rmail_postfix, letter("in-tls", body), *recipients, mail_options=["BODY=8BITMIME"])
    for user in ("alice", "bob"):
        raw = await arrived(rmail_server, user, b"in-tls")
        assert raw.endswith(body.encode())
        assert b"with ESMTPS" in raw
        assert raw.count(b"Return-Path: <sender@postfix.test>") == 1


async def test_an_unknown_recipient_is_told_to_the_sender_and_the_other_gets_the_message(
    rmail_server: RunningServer, rmail_postfix: Postfix
) -> None:
    await inject(rmail_postfix, letter("in-mixed"), "alice@example.com", "nosuch@example.com")
    await arrived(rmail_server, "alice", b"in-mixed")
    report = (await rmail_postfix.wait_for("Undelivered Mail")).as_string()
    assert "Final-Recipient: rfc822; nosuch@example.com" in report
    assert "Status: 5.1.1" in report
    assert "Remote-MTA: dns; " in report


async def test_utf8_headers_arrive(rmail_server: RunningServer, rmail_postfix: Postfix) -> None:
    options = ["SMTPUTF8", "BODY=8BITMIME"]
    await inject(rmail_postfix, letter("schön-in"), "alice@example.com", mail_options=options)
    assert b"with UTF8SMTPS" in await arrived(rmail_server, "alice", "schön-in".encode())
