"""BINARY (RFC 3516): parts without their transfer encoding, and messages with NUL."""

from __future__ import annotations

import base64
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmail_kernel.mime.decoding import base64_lines, decoder
from rmail_kernel.testing import Transcript

if TYPE_CHECKING:
    from plugins.rmail_imap.tests.conftest import Connect, Fill

_HEAD = b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n"
_PARTS = (
    _HEAD
    + b"--x\r\nContent-Transfer-Encoding: base64\r\n\r\nAGEA/w==\r\n"
    + b"--x\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=C3=A9t=\r\n=C3=A9  \r\nx\r\n"
    + b"--x\r\n\r\nplain\r\n"
    + b"--x\r\nContent-Transfer-Encoding: x-odd\r\n\r\n???\r\n"
    + b"--x--\r\n"
)


async def test_parts_come_decoded(connect: Connect, fill: Fill) -> None:
    await fill([_PARTS])
    client = await connect("INBOX")
    await client.send(b"a FETCH 1 (BINARY.SIZE[1] BINARY.PEEK[1] BINARY.PEEK[1]<1.2>)\r\n")
    raw = await client.reader.readuntil(b"a OK")
    assert raw.startswith(
        b"* 1 FETCH (BINARY.SIZE[1] 4 BINARY[1] ~{4}\r\n\0a\0\xff BINARY[1]<1> ~{2}\r\na\0)\r\n"
    )
    await client.line()
    await client.run("""
        C: b FETCH 1 (BINARY.PEEK[2] BINARY.SIZE[3] BINARY[3] BINARY.PEEK[9] BINARY.SIZE[9])
        S: * 1 FETCH (FLAGS (\\Seen \\Recent) BINARY[2] {8}
        S: été
        S: x BINARY.SIZE[3] 5 BINARY[3] {5}
        S: plain BINARY[9] NIL BINARY.SIZE[9] 0)
        S: b OK *
        C: c FETCH 1 (BINARY.PEEK[4])
        S: c NO [UNKNOWN-CTE] *
        C: d FETCH 1 BINARY.SIZE[4]
        S: d NO [UNKNOWN-CTE] *
    """)
    await client.run(f"""
        C: e FETCH 1 BINARY.SIZE[]
        S: * 1 FETCH (BINARY.SIZE[] {len(_PARTS)})
        S: e OK *
    """)


async def test_a_large_part_comes_decoded_in_pieces(connect: Connect, fill: Fill) -> None:
    body = bytes(range(256)) * 4096  # 1 MiB
    encoded = b"".join(base64_lines(body, 0, len(body)))
    assert encoded == base64.encodebytes(body).replace(b"\n", b"\r\n")
    await fill([b"Content-Transfer-Encoding: base64\r\n\r\n" + encoded])
    client = await connect("INBOX")
    await client.send(b"a FETCH 1 (BINARY.SIZE[1] BINARY.PEEK[1])\r\n")
    start = b"* 1 FETCH (BINARY.SIZE[1] 1048576 BINARY[1] ~{1048576}\r\n"
    assert await client.reader.readexactly(len(start)) == start
    assert await client.reader.readexactly(len(body)) == body
    await client.run("""
        S: )
        S: a OK *
        C: b FETCH 1 (BINARY.PEEK[1]<1048570.99>)
    """)
    end = b"* 1 FETCH (BINARY[1]<1048570> {6}\r\n\xfa\xfb\xfc\xfd\xfe\xff)\r\n"
    assert await client.reader.readexactly(len(end)) == end
    await client.expect("b OK *")


async def test_lines_of_text_end_with_crlf_however_they_came(connect: Connect, fill: Fill) -> None:
    # RFC 3516 6; what an encoding has in it is not touched
    long = b"line\n" * 70_000
    await fill(
        [
            b"Subject: x\n\na\nb\r\nc\r\rd\n",
            b"Content-Transfer-Encoding: quoted-printable\r\n\r\na=\nb=0Ac\nd\r\n",
            b"Content-Transfer-Encoding: base64\r\n\r\nYQpiCg==\n",
            b"Content-Transfer-Encoding: binary\r\n\r\na\nb",
            b"Content-Type: image/x\r\n\r\na\nb",
            b"Subject: long\r\n\r\n" + long,
        ]
    )
    client = await connect("INBOX")
    await client.send(b"a FETCH 1:6 (BINARY.SIZE[1] BINARY.PEEK[1])\r\n")
    for number, raw in enumerate(
        [b"a\r\nb\r\nc\r\rd\r\n", b"ab\nc\r\nd\r\n", b"a\nb\n", b"a\nb", b"a\nb"], 1
    ):
        found = b"* %d FETCH (BINARY.SIZE[1] %d BINARY[1] {%d}\r\n" % (number, len(raw), len(raw))
        assert await client.reader.readexactly(len(found + raw) + 3) == found + raw + b")\r\n"
    size = 6 * 70_000  # RFC 3516 4.3: without a NUL in it no literal8 is needed, however long
    head = b"* 6 FETCH (BINARY.SIZE[1] %d BINARY[1] {%d}\r\n" % (size, size)
    assert await client.reader.readexactly(len(head)) == head
    assert await client.reader.readexactly(size) == long.replace(b"\n", b"\r\n")
    await client.run("S: )\nS: a OK *")


async def test_what_cannot_be_decoded_hides_neither_others_nor_seen(
    connect: Connect, fill: Fill
) -> None:
    odd = b"Content-Transfer-Encoding: x-odd\r\n\r\n?"
    await fill([b"Subject: 1\r\n\r\none", odd, b"Subject: 3\r\n\r\nthree"])
    client = await connect("INBOX")
    await client.run("""
        C: a FETCH 1:3 BINARY[1]
        S: * 1 FETCH (FLAGS (\\Seen \\Recent) BINARY[1] {3}
        S: one)
        S: * 3 FETCH (FLAGS (\\Seen \\Recent) BINARY[1] {5}
        S: three)
        S: * 2 FETCH (UID 2 FLAGS (\\Seen \\Recent))
        S: a NO [UNKNOWN-CTE] *
        C: b NOOP
        S: b OK *
    """)


@pytest.mark.parametrize(
    "item", ["BINARY", "BINARY[HEADER]", "BINARY[1.MIME]", "BINARY.SIZE[1]<0.1>"]
)
async def test_only_parts_are_decoded(connect: Connect, fill: Fill, item: str) -> None:
    await fill(1)
    client = await connect("INBOX")
    await client.send(f"a FETCH 1 ({item})\r\n".encode())
    await client.expect("a BAD *")


async def _append8(client: Transcript, raw: bytes) -> str:
    await client.send(b"a APPEND INBOX ~{%d}\r\n" % len(raw))
    await client.expect("+ *")
    await client.send(raw + b"\r\n")
    return await client.line()


async def test_a_message_with_nul_is_stored_so_that_all_can_read_it(client: Transcript) -> None:
    raw = (
        _HEAD
        + b"--x\r\nContent-Transfer-Encoding: binary\r\n\r\n\0\1\0\r\n--x\r\n\r\nab\r\n--x--\r\n"
    )
    assert (await _append8(client, raw)).startswith("a OK [APPENDUID ")
    await client.send(b"b SELECT INBOX\r\n")
    await client.until("b OK *")
    await client.run("""
        C: c FETCH 1 (BODY.PEEK[1.MIME] BODY.PEEK[1] BODY.PEEK[2] BINARY.SIZE[1])
        S: * 1 FETCH (BODY[1.MIME] {37}
        S: Content-Transfer-Encoding: base64
        S:
        S:  BODY[1] {6}
        S: AAEA
        S:  BODY[2] {2}
        S: ab BINARY.SIZE[1] 3)
        S: c OK *
    """)
    assert await _append8(client, b"A: b\r\n\r\nno nul") == "* 2 EXISTS"
    await client.until("a OK *")
    await client.run("""
        C: d FETCH 2 BODY.PEEK[]
        S: * 2 FETCH (BODY[] {14}
        S: A: b
        S:
        S: no nul)
        S: d OK *
    """)


async def test_a_large_message_with_nul(client: Transcript) -> None:
    body = b"\0" * (3 << 20)
    assert (await _append8(client, b"A: b\r\n\r\n" + body)).startswith("a OK")
    await client.send(b"b SELECT INBOX\r\n")
    await client.until("b OK *")
    await client.run(f"""
        C: c FETCH 1 (BINARY.SIZE[1] BODY.PEEK[HEADER.FIELDS (MIME-VERSION A)])
        S: * 1 FETCH (BINARY.SIZE[1] {len(body)} *
        S: A: b
        S: MIME-Version: 1.0
        S:
        S: )
        S: c OK *
    """)


@pytest.mark.parametrize(
    "raw",
    [
        b"A: \0b\r\n\r\nx",
        b"Content-Transfer-Encoding: base64\r\n\r\n\0",
        _HEAD + b"\0--x\r\n\r\na\r\n--x--\r\n",
        _HEAD + b"--x\r\nB: \0\r\n\r\n\0\r\n--x--\r\n",
    ],
)
async def test_a_nul_that_no_encoding_hides_is_refused(client: Transcript, raw: bytes) -> None:
    assert (await _append8(client, raw)).startswith("a NO [UNKNOWN-CTE]")


@given(st.binary(max_size=300), st.lists(st.integers(0, 400), max_size=4), st.booleans())
def test_pieces_decode_to_what_the_whole_does(raw: bytes, cuts: list[int], is_quoted: bool) -> None:
    encoding = "quoted-printable" if is_quoted else "base64"
    encoded = _quoted(raw) if is_quoted else base64.encodebytes(raw)
    work = decoder(encoding)
    assert work is not None
    ends = [0, *sorted(min(cut, len(encoded)) for cut in cuts), len(encoded)]
    pieces = [work.feed(encoded[a:b]) for a, b in pairwise(ends)]
    assert b"".join([*pieces, work.finish()]) == raw


def _quoted(raw: bytes) -> bytes:
    return b"=\r\n".join(b"=%02X" % byte for byte in raw)


def test_a_quoted_line_without_end_is_decoded_in_bounded_memory() -> None:
    work = decoder("quoted-printable")
    assert work is not None
    out = b"".join(work.feed(b"=41" * 9_999 + b"b") for _ in range(50)) + work.finish()
    assert out == (b"A" * 9_999 + b"b") * 50
    assert decoder("x-odd") is None
