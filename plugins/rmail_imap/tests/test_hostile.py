"""What a hostile client sends: bounded, answered as IMAP, and never a traceback."""

from __future__ import annotations

import errno
import tempfile
from typing import NoReturn

import pytest

from rmail_kernel.testing import RunningServer, Transcript


async def test_an_endless_response_of_authenticate_ends_the_connection(
    rmail_server: RunningServer, capfd: pytest.CaptureFixture[str]
) -> None:
    async with rmail_server.connect("imap") as client:
        await client.run("""
            S: * OK *
            C: a AUTHENTICATE PLAIN
            S: +*
        """)
        await client.send(b"A" * 100_000)
        await client.run("S: * BYE [TOOBIG] *")
    assert "Traceback" not in "".join(capfd.readouterr())


async def test_a_date_outside_of_the_calendar_does_not_spoil_the_mailbox(
    client: Transcript,
) -> None:
    await client.send(b'a APPEND INBOX "31-Dec-9999 23:59:59 -1400" {9+}\r\nA: b\r\n\r\nx\r\n')
    await client.run("S: a BAD *")
    await client.send(b'b APPEND INBOX "01-Jan-0001 00:00:00 +0000" {9+}\r\nA: b\r\n\r\nx\r\n')
    await client.run("S: b OK *")
    await client.send(b"c SELECT INBOX\r\n")
    await client.until("c OK *")
    await client.run("""
        C: d FETCH 1:* (INTERNALDATE)
        S: * 1 FETCH (INTERNALDATE "01-Jan-0001 00:00:00 +0000")
        S: d OK *
    """)


async def test_a_disk_that_is_full_amid_a_message_makes_no_commands_of_its_rest(
    client: Transcript, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> NoReturn:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "mkstemp", full)
    raw = b"A: b\r\n\r\n" + b"x CREATE evil\r\n" * 200_000
    await client.send(b"a APPEND INBOX {%d+}\r\n" % len(raw) + raw + b"\r\n")
    await client.run("""
        S: a NO [UNAVAILABLE] *
        C: b LIST "" evil
        S: b OK *
    """)


async def test_fields_of_a_very_large_header_are_found(client: Transcript) -> None:
    raw = b"".join(b"X%d: b\r\n" % n for n in range(20_000)) + b"X-Last: c\r\n\r\nhi\r\n"
    await client.send(b"a APPEND INBOX {%d+}\r\n" % len(raw) + raw + b"\r\n")
    await client.run("S: a OK *")
    await client.send(b"b SELECT INBOX\r\n")
    await client.until("b OK *")
    await client.run("""
        C: c FETCH 1 (BODY.PEEK[HEADER.FIELDS (X-Last)])
        S: * 1 FETCH (BODY[HEADER.FIELDS (X-Last)] {13}
        S: X-Last: c
        S:
        S: )
        S: c OK *
    """)
