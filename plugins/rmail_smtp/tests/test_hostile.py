"""Whatever a stranger does, nothing is relayed or forged, and the next good message is taken."""

from __future__ import annotations

import asyncio

import pytest

from rmail_kernel.testing import RunningServer

GOOD = """
    S: 220 *
    C: HELO good.test
    S: 250 *
    C: MAIL FROM:<carol@remote.test>
    S: 250 *
    C: RCPT TO:<alice@example.com>
    S: 250 *
    C: DATA
    S: 354 *
    C: Subject: good
    C: .
    S: 250 *
"""
BEGIN = b"EHLO evil.test\r\nMAIL FROM:<eve@remote.test>\r\n"


async def _attack(server: RunningServer, raw: bytes) -> list[str]:
    """Sends everything at once, ends our side, and gives what the server said."""
    async with asyncio.timeout(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.ports["smtp"])
        heard = b""
        try:
            writer.write(raw)
            writer.write_eof()
            heard = await reader.read()
        except ConnectionError:
            pass  # the server ended it with our words unread
        finally:
            writer.close()
    return heard.decode("ascii").splitlines()


async def _still_serves(server: RunningServer) -> None:
    async with server.connect("smtp") as client:
        await client.run(GOOD)
    assert [b"Subject: good" in raw for raw in await server.messages("alice")] == [True]
    assert await server.messages("bob") == []


@pytest.mark.parametrize(
    "recipient",
    [
        b"<dave@elsewhere.test>",
        b"<@mail.example.com:dave@elsewhere.test>",
        b"<@example.com,@elsewhere.test:dave@elsewhere.test>",
        b"<dave%elsewhere.test@example.com>",
        b"<dave%elsewhere.test@[127.0.0.1]>",
        b'<"dave@elsewhere.test"@example.com>',
        b'<"dave@elsewhere.test">',
        b'<"dave%elsewhere.test">',
        b"<elsewhere.test!dave>",
        b"<elsewhere.test!dave@example.com>",
        b"<dave@elsewhere.test@example.com>",
        b"<dave@example.com@elsewhere.test>",
        b"<dave@elsewhere.test.>",
        b"dave@elsewhere.test",
        b"<dave@elsewhere.test\0@example.com>",
        b"<alice@example.com>, <dave@elsewhere.test>",
        b"<alice@example.com\r\nRCPT TO:<dave@elsewhere.test>",
        b"<d\xc3\xa4ve@elsewhere.test>",
        b"<d\xe4ve@example.com>",
        b"<" + b"a" * 1900 + b"@example.com>",
    ],
)
async def test_no_way_of_writing_an_address_opens_a_relay(
    rmail_server: RunningServer, recipient: bytes
) -> None:
    heard = await _attack(
        rmail_server,
        BEGIN + b"RCPT TO:" + recipient + b"\r\nDATA\r\nSubject: evil\r\n.\r\nQUIT\r\n",
    )
    assert not [line for line in heard if line.startswith(("354", "250 2.1.5"))]
    await _still_serves(rmail_server)


@pytest.mark.parametrize(
    "raw",
    [
        b"\0" * 5000 + b"\r\n",
        bytes(range(256)) * 50 + b"\r\n",
        b"A" * 200_000,
        b"\r\n" * 500,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20,
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"EHLO \xff\xfe\r\nEHLO " + b"x" * 400 + b"\r\n",
        b"EHLO a\r\n" * 300,
        b"EHLO a\r\n" + b"RSET\r\n" * 3000,
        BEGIN + b"RCPT TO:<alice@example.com>\r\n" * 500,
        BEGIN + b"RCPT TO:<alice@example.com>\r\nDATA\r\nSubject: half",
        BEGIN + b"RCPT TO:<alice@example.com>\r\nDATA\r\nSubject: half\r\n.",
        BEGIN + b"RCPT TO:<alice@example.com>\r\nDATA\r\nSubject: half\r\n.\r",
        BEGIN + b"RCPT TO:<alice@example.com>\r\nBDAT 1000 LAST\r\nSubject: half\r\n",
        BEGIN + b"RCPT TO:<alice@example.com>\r\nBDAT 99999999999999999999 LAST\r\n",
        b"EHLO a\r\n" + b"AUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n" * 20,
        b"DATA\r\nMAIL\r\nRCPT\r\nMAIL FROM\r\nMAIL FROM:\r\nRCPT TO:<alice@example.com>\r\n",
    ],
)
async def test_garbage_and_halves_leave_nothing_behind(
    rmail_server: RunningServer, raw: bytes
) -> None:
    await _attack(rmail_server, raw)
    await _still_serves(rmail_server)


async def test_nobody_learns_who_exists_but_by_rcpt(rmail_server: RunningServer) -> None:
    for verb in (b"VRFY", b"EXPN"):
        known = await _attack(rmail_server, b"EHLO a\r\n" + verb + b" alice\r\n")
        unknown = await _attack(rmail_server, b"EHLO a\r\n" + verb + b" nobody\r\n")
        assert known[-1] == unknown[-1]
    await _still_serves(rmail_server)


async def test_many_connections_at_once_harm_nobody(rmail_server: RunningServer) -> None:
    heard = await asyncio.gather(*(_attack(rmail_server, b"EHLO a\r\n") for _ in range(200)))
    assert all(lines[0].startswith("220") for lines in heard)
    await _still_serves(rmail_server)
