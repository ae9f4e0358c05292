"""The tagger as an installed plugin of a whole server."""

from __future__ import annotations

import pytest

from rmail_kernel.testing import RunningServer


@pytest.fixture
def rmail_plugins() -> list[str]:
    return ["smtp", "subject_tagger"]


async def test_mail_from_outside_is_marked_in_its_subject(rmail_server: RunningServer) -> None:
    report = await rmail_server.deliver(b"Subject: Offer\r\nFrom: x@remote.test\r\n\r\nHi\r\n")
    assert report.is_accepted
    (raw,) = await rmail_server.messages()
    assert b"\r\nSubject: [EXT] Offer\r\n" in raw
    assert raw.endswith(b"\r\n\r\nHi\r\n")


async def test_a_marked_subject_is_not_marked_again(rmail_server: RunningServer) -> None:
    await rmail_server.deliver(b"Subject: [EXT] Offer\r\n\r\nHi\r\n")
    (raw,) = await rmail_server.messages()
    assert raw.count(b"[EXT]") == 1


async def test_mail_of_a_local_user_is_left_alone(rmail_server: RunningServer) -> None:
    async with rmail_server.connect("submission") as client:
        await client.run("S: 220 *\nC: EHLO client.test")
        await client.until("250 *")
        await client.run("C: STARTTLS\nS: 220 *")
        await client.start_tls()
        await client.run("C: EHLO client.test")
        await client.until("250 *")
        await client.run(
            """
            C: AUTH PLAIN AGJvYkBleGFtcGxlLmNvbQBzZWNyZXQ=
            S: 235 *
            C: MAIL FROM:<bob@example.com>
            S: 250 *
            C: RCPT TO:<alice@example.com>
            S: 250 *
            C: DATA
            S: 354 *
            C: Subject: Lunch
            C:
            C: At noon?
            C: .
            S: 250 *
            """
        )
    (raw,) = await rmail_server.messages()
    assert b"\r\nSubject: Lunch\r\n" in raw
