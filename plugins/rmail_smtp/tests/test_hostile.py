"""Whatever a stranger does, nothing is relayed or forged, and the next good message is taken."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

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


@pytest.mark.timeout(60)
async def test_a_thousand_clients_that_stall_within_a_line_harm_nobody(
    rmail_server: RunningServer,
) -> None:
    async with AsyncExitStack() as stalled:
        for _ in range(1000):
            client = await stalled.enter_async_context(rmail_server.connect("smtp"))
            await client.expect("220 *")
            await client.send(b"E")
        await _still_serves(rmail_server)


async def test_local_senders_are_refused_alike_whether_they_exist_or_not(
    rmail_server: RunningServer,
) -> None:
    heard = [
        await _attack(rmail_server, b"EHLO a\r\nMAIL FROM:<" + name + b"@example.com>\r\n")
        for name in (b"alice", b"ALICE", b"nobody", b'"alice"')
    ]
    assert {lines[-1][:10] for lines in heard} == {"550 5.7.1 "}
    assert len({lines[-1] for lines in heard}) == 1


async def test_a_first_line_that_is_folded_adds_nothing_to_our_fields(
    rmail_server: RunningServer,
) -> None:
    for raw in (b" spf=pass\r\n", b"\t; spf=pass\r\n"):
        heard = await _attack(
            rmail_server,
            BEGIN
            + b"RCPT TO:<alice@example.com>\r\nDATA\r\n"
            + raw
            + b"Subject: evil\r\n\r\nx\r\n.\r\n",
        )
        assert heard[-1].startswith("250 2.6.0 ")
    for raw in await rmail_server.messages("alice"):
        header, _, body = raw.partition(b"\r\n\r\n")
        assert b"Subject" not in header
        assert b"pass" not in header
        assert body.endswith(b"Subject: evil\r\n\r\nx\r\n")


class TestEndless:
    @pytest.fixture
    def rmail_settings(self) -> dict[str, Any]:
        return {"smtp": {"max_message_bytes": 65_536}}

    @pytest.mark.parametrize(
        ("size", "is_open"), [(65_600, True), (131_000, True), (200_000, False), (1 << 22, False)]
    )
    async def test_what_is_too_large_is_read_within_bounds(
        self, rmail_server: RunningServer, size: int, *, is_open: bool
    ) -> None:
        line = b"x" * 98 + b"\r\n"
        raw = line * (size // len(line))
        begin = BEGIN + b"RCPT TO:<alice@example.com>\r\n"
        for message in (
            b"DATA\r\n" + raw + b".\r\n",
            b"BDAT %d LAST\r\n" % len(raw) + raw,
        ):
            heard = await _attack(rmail_server, begin + message + b"NOOP\r\n")
            assert "552 5.3.4" in [reply[:9] for reply in heard]
            assert (heard[-1] == "250 2.0.0 Ok") == is_open
        await _still_serves(rmail_server)
