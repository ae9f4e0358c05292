"""What a hostile client sends: bounded, answered as IMAP, and never a traceback."""

from __future__ import annotations

import asyncio
import errno
import tempfile
import tracemalloc
from typing import TYPE_CHECKING, NoReturn

import pytest
from rmail_imap.bodies import PIECE_BYTES

from rmail_kernel.testing import RunningServer, Transcript

if TYPE_CHECKING:
    from plugins.rmail_imap.tests.conftest import Connect, Fill


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


@pytest.mark.parametrize("name", [b"SEARCH", b"APPEND"])
async def test_nobody_waits_for_a_command_of_thousands_of_literals(
    connect: Connect, name: bytes
) -> None:
    hostile, other = await connect("INBOX"), await connect()
    ends: list[str] = []

    async def end(client: Transcript, line: str) -> None:
        await client.run(f"S: {line}")
        ends.append(line)

    await hostile.send(b"a " + name + b" " + b"{0+}\r\n" * 6000 + b"\r\n")
    await other.send(b"b NOOP\r\n")
    await asyncio.gather(end(hostile, "a BAD *"), end(other, "b OK *"))
    assert ends == ["b OK *", "a BAD *"]


@pytest.mark.parametrize("form", [b"BODY.PEEK[]", b"BODY.PEEK[1]", b"BINARY.PEEK[1]"])
async def test_many_large_pieces_of_one_message_are_never_in_memory_together(
    connect: Connect, fill: Fill, form: bytes
) -> None:
    head = b"Content-Transfer-Encoding: base64\r\n\r\n"
    await fill([head + b"QUJD" * PIECE_BYTES])
    client = await connect("INBOX")
    items = [form + b"<%d.%d>" % (n, PIECE_BYTES) for n in range(150)]
    tracemalloc.start()
    try:
        await client.send(b"a FETCH 1 (" + b" ".join(items) + b")\r\n")
        for _ in items:
            while not (line := await client.reader.readline()).endswith(b"{%d}\r\n" % PIECE_BYTES):
                assert line
            await client.reader.readexactly(PIECE_BYTES)
        await client.run("S: )\nS: a OK *")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20 * PIECE_BYTES
