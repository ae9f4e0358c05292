"""COMPRESS=DEFLATE (RFC 4978) and UNAUTHENTICATE (RFC 8437)."""

from __future__ import annotations

import asyncio
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from rmail_imap.deflate import Deflate
from rmail_imap.wire import INPUT_BYTES

from rmail_kernel.testing import Transcript

if TYPE_CHECKING:
    from plugins.rmail_imap.tests.conftest import Connect, Fill


class _Packed:
    """A client that compresses, on the connection of a transcript."""

    def __init__(self, client: Transcript) -> None:
        self._client = client
        self._out = zlib.compressobj(9, zlib.DEFLATED, -15)
        self._in = zlib.decompressobj(-15)
        self._heard = b""

    async def send(self, raw: bytes) -> None:
        await self._client.send(self._out.compress(raw) + self._out.flush(zlib.Z_SYNC_FLUSH))

    async def until(self, end: bytes) -> bytes:
        """What comes up to and with the line that starts with `end`."""
        while (at := (b"\r\n" + self._heard).find(b"\r\n" + end)) < 0 or (
            stop := self._heard.find(b"\r\n", at)
        ) < 0:
            async with asyncio.timeout(10):
                raw = await self._client.reader.read(1 << 16)
            assert raw, f"closed after {self._heard!r}"
            self._heard += self._in.decompress(raw)
        heard, self._heard = self._heard[: stop + 2], self._heard[stop + 2 :]
        return heard


async def _compressed(client: Transcript) -> _Packed:
    await client.run("""
        C: z COMPRESS DEFLATE
        S: z OK DEFLATE active
    """)
    return _Packed(client)


@pytest.mark.parametrize("listener", ["imap", "imaps"])
async def test_everything_after_the_ok_is_compressed(
    connect: Connect, fill: Fill, listener: str
) -> None:
    await fill([b"Subject: x\r\n\r\n" + b"word " * 40_000])
    packed = await _compressed(await connect("INBOX", listener))
    await packed.send(b"a NOOP\r\nb FETCH 1 BODY.PEEK[TEXT]\r\n")
    heard = await packed.until(b"b OK")
    assert heard.startswith(b"a OK NOOP completed\r\n* 1 FETCH (BODY[TEXT] {200000}\r\nword word ")
    await packed.send(b"c COMPRESS DEFLATE\r\n")
    assert b"c BAD" in await packed.until(b"c ")
    await packed.send(b"d IDLE\r\n")
    assert await packed.until(b"+") == b"+ idling\r\n"
    await fill(1)
    assert b"* 2 EXISTS\r\n" in await packed.until(b"* 2 EXISTS")
    await packed.send(b"DONE\r\n")
    await packed.until(b"d OK")


async def test_a_message_may_be_much_larger_than_what_was_sent(connect: Connect) -> None:
    packed = await _compressed(await connect())
    size = 8 << 20
    await packed.send(b"a APPEND INBOX {%d+}\r\n" % size + b"x" * size + b"\r\n")
    assert b"a OK [APPENDUID" in await packed.until(b"a ")


async def test_a_bomb_is_no_more_than_a_line_that_is_too_long(connect: Connect) -> None:
    packed = await _compressed(await connect())
    await packed.send(b"a " + b"x" * (64 << 20))
    assert (await packed.until(b"* BYE")).startswith(b"* BYE [TOOBIG]")


async def test_what_is_not_compressed_ends_the_connection(connect: Connect) -> None:
    client = await connect()
    await _compressed(client)
    await client.send(b"\xffa NOOP\r\n")
    with pytest.raises((ConnectionError, AssertionError)):
        await client.line()
    client.writer.close()


async def test_another_mechanism_is_refused(client: Transcript) -> None:
    await client.run("""
        C: a COMPRESS LZ4
        S: a BAD *
        C: b COMPRESS
        S: b BAD *
        C: c NOOP
        S: c OK *
    """)


def test_what_is_unpacked_has_a_limit() -> None:
    deflate = Deflate()
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    deflate.packed = packer.compress(b"x" * (50 << 20)) + packer.flush(zlib.Z_FINISH)
    assert len(deflate.packed) < 100_000
    assert len(deflate.unpack(INPUT_BYTES)) == INPUT_BYTES
    assert deflate.unpack(0) == b""
    deflate.packed = b"\xff" * 9
    with pytest.raises(ValueError, match="DEFLATE"):
        Deflate(b"\xff" * 9).unpack(10)


def test_streams_that_end_at_once_pile_up_nothing() -> None:
    deflate = Deflate()
    for _ in range(10):
        deflate.feed(_stream(b"") * 900)
        assert deflate.unpack(100) == b""
        assert deflate.packed == b""
    deflate.feed(_stream(b"") * 5000)
    with pytest.raises(ValueError, match="too many streams"):
        deflate.unpack(100)


async def test_a_client_may_end_its_stream_and_begin_another(connect: Connect) -> None:
    client = await connect("INBOX")
    packed = await _compressed(client)
    await client.send(_stream(b"a NO") + _stream(b"") + _stream(b"OP\r\nb NOOP") + _stream(b"\r\n"))
    assert await packed.until(b"b OK") == b"a OK NOOP completed\r\nb OK NOOP completed\r\n"
    with suppress(ConnectionError):
        await client.send(_stream(b"") * 100_000)
        assert not await client.reader.read()


def _stream(raw: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(raw) + packer.flush(zlib.Z_FINISH)


async def test_unauthenticate_forgets_everything(connect: Connect, fill: Fill) -> None:
    await fill(1)
    client = await connect("INBOX")
    await client.send(b"e ENABLE QRESYNC UTF8=ACCEPT\r\n")
    await client.until("e OK *")
    await client.send(b"a UNAUTHENTICATE\r\nb LOGIN bob secret\r\n")
    await client.run("""
        S: a OK UNAUTHENTICATE completed
        S: b OK [CAPABILITY *] Logged in
        C: c FETCH 1 FLAGS
        S: c BAD *
        C: d SELECT INBOX (QRESYNC (1 1))
        S: d BAD *
        C: e CREATE "&AOk-"
        S: e OK *
        C: f ENABLE QRESYNC
        S: * ENABLED QRESYNC
        S: f OK *
        C: g UNAUTHENTICATE
        S: g OK *
        C: h UNAUTHENTICATE
        S: h BAD *
        C: i NAMESPACE
        S: i BAD *
    """)


async def test_unauthenticate_ends_compression(connect: Connect) -> None:
    client = await connect()
    packed = await _compressed(client)
    await packed.send(b"a UNAUTHENTICATE\r\n")
    assert b"a OK" in await packed.until(b"a ")
    await client.run("""
        C: b LOGIN alice secret
        S: b OK *
    """)
