"""COMPRESS=DEFLATE (RFC 4978) and UNAUTHENTICATE (RFC 8437)."""

from __future__ import annotations

import asyncio
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from rmail_imap.deflate import Deflate
from rmail_imap.wire import INPUT_BYTES

from plugins.rmail_imap.tests.test_wire import open_wire
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


def _unpacked(deflate: Deflate) -> bytes:
    found = b""
    while deflate.packed:
        found += deflate.unpack(100)
    return found


@pytest.mark.parametrize("raw", [b"\x03\x00", b"\x00\x00\x00\xff\xff"], ids=["end", "flush"])
def test_streams_and_flushes_of_nothing_pile_up_nothing(raw: bytes) -> None:
    deflate = Deflate()
    for _ in range(10):
        deflate.feed(raw * 900)
        assert _unpacked(deflate) == b""
        assert deflate.packed == b""
    deflate.feed(raw * 5000)
    with pytest.raises(ValueError, match="too many ends"):
        _unpacked(deflate)


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


@pytest.mark.parametrize("end", [zlib.Z_SYNC_FLUSH, zlib.Z_FULL_FLUSH, zlib.Z_FINISH])
@pytest.mark.parametrize("is_whole", [True, False])
async def test_a_login_may_follow_the_end_of_compression_at_once(
    connect: Connect, end: int, is_whole: bool
) -> None:
    # RFC 8437 3 and 4: it is pipelined, and not compressed any more.
    client = await connect()
    await _compressed(client)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    raw = packer.compress(b"a NOOP\r\n") + packer.flush(zlib.Z_SYNC_FLUSH)
    raw += packer.compress(b"b NOOP\r\nc UNAUTHENTICATE\r\n") + packer.flush(end)
    raw += b"d LOGIN alice secret\r\n"
    wire = open_wire()
    for piece in [raw] if is_whole else [raw[at : at + 1] for at in range(len(raw))]:
        wire.get_buffer(-1)[: len(piece)] = piece
        wire.buffer_updated(len(piece))
        await asyncio.sleep(0)
    heard = await client.reader.readuntil(b"d OK [CAPABILITY")
    assert zlib.decompressobj(-15).decompress(heard[: -len(b"d OK [CAPABILITY")]) == (
        b"a OK NOOP completed\r\nb OK NOOP completed\r\nc OK UNAUTHENTICATE completed\r\n"
    )
    await client.line()
    await client.run("C: e NAMESPACE\nS: * NAMESPACE *\nS: e OK *")


async def test_a_literal_with_lines_may_come_in_many_flushes(connect: Connect) -> None:
    packed = await _compressed(await connect())
    await packed.send(b"a CREATE {6+}\r\n")
    for piece in (b"x", b"", b"y\n", b"z", b"\r", b"1\r\n", b"b NOOP\r\n"):
        await packed.send(piece)
    assert b"a NO [CANNOT]" in await packed.until(b"b OK")


async def test_unauthenticate_ends_compression(connect: Connect) -> None:
    client = await connect()
    packed = await _compressed(client)
    await packed.send(b"a UNAUTHENTICATE\r\n")
    assert b"a OK" in await packed.until(b"a ")
    await client.run("""
        C: b LOGIN alice secret
        S: b OK *
    """)
