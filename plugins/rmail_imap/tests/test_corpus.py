"""Any message that goes in comes out byte for byte, with an ENVELOPE and a BODYSTRUCTURE that the
grammar allows (RFC 3501 9). The corpus is generated, and CPython's own test data where it is.
"""

from __future__ import annotations

import asyncio
import importlib.util
import random
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from plugins.rmail_imap.tests.strict import Reader

if TYPE_CHECKING:
    from plugins.rmail_imap.tests.conftest import Connect

_LITERAL: Final = re.compile(rb"\{(\d+)\}\r\n\Z")
_WORDS: Final = [
    b"hello", b"=?utf-8?q?Gr=C3=BC=C3=9Fe?=", b'"quoted \\" name"', b"\xc3\xa9\xff", b"a@b.test",
    b"<x@y.test>", b"group: a@b.test, c@d.test;", b"(comment (nested))", b"\\", b'"', b",", b";",
    b"\t", b"\x01\x7f", b"x" * 1100, b"=?bad?q?=zz?=", b"NIL", b"{5}", b"\r\n folded", b"",
]  # fmt: skip
_FIELDS: Final = [
    b"From", b"Sender", b"Reply-To", b"To", b"Cc", b"Bcc", b"Subject", b"Date", b"Message-ID",
    b"In-Reply-To", b"Content-ID", b"Content-Description", b"Content-MD5", b"Content-Location",
    b"Content-Language", b"Content-Disposition", b"Content-Transfer-Encoding", b"X-Other", b"",
]  # fmt: skip
_TYPES: Final = [
    b"text/plain", b"text/html; charset=utf-8; format=flowed", b"image/png; name*0=a; name*1=b",
    b"message/rfc822", b"message/delivery-status", b"text", b"/", b"multipart/mixed",
    b'application/x; n="a\\"b"; n=c; =d; e', b"text/plain; charset*=utf-8'de'%c3%bc",
]  # fmt: skip


def _message(draw: random.Random, depth: int = 0) -> bytes:
    """A message, well-formed or not."""
    newline = draw.choice([b"\r\n", b"\r\n", b"\r\n", b"\n"])
    lines = [
        draw.choice(_FIELDS) + draw.choice([b": ", b":", b" : "])
        + b" ".join(draw.choices(_WORDS, k=draw.randrange(5)))
        for _ in range(draw.randrange(10))
    ]  # fmt: skip
    body = newline.join(draw.choices(_WORDS, k=draw.randrange(8)))
    kind = draw.randrange(4)
    if kind == 0 and depth < 4:
        boundary = draw.choice([b"b%d" % depth, b"b", b"x y"])
        lines.append(b'Content-Type: multipart/mixed; boundary="' + boundary + b'"')
        parts = [_message(draw, depth + 1) for _ in range(draw.randrange(4))]
        start = newline + b"--" + boundary
        body = b"".join(start + newline + part for part in parts)
        body += start + b"--" if draw.random() < 0.8 else b""
    elif kind == 1 and depth < 4:
        lines.append(b"Content-Type: message/rfc822")
        body = _message(draw, depth + 1)
    elif kind == 2:
        lines.append(b"Content-Type: " + draw.choice(_TYPES))
    draw.shuffle(lines)
    return newline.join([*lines, draw.choice([b"", b"", b"no header"]), body])


def _generated(seed: int) -> list[bytes]:
    draw = random.Random(seed)
    return [raw for raw in (_message(draw) for _ in range(60)) if raw]


def _of_cpython() -> list[bytes]:
    try:
        found = importlib.util.find_spec("test.test_email")
    except ModuleNotFoundError:
        return []
    folders = [] if found is None else list(found.submodule_search_locations or ())
    files = [path for folder in folders for path in sorted(Path(folder, "data").glob("msg_*.txt"))]
    return [path.read_bytes() for path in files]


async def _response(reader: asyncio.StreamReader) -> bytes:
    """One response with its literals."""
    raw = b""
    async with asyncio.timeout(20):
        while True:
            raw += await reader.readline()
            literal = _LITERAL.search(raw)
            if literal is None:
                return raw
            raw += await reader.readexactly(int(literal[1]))


async def _check(connect: Connect, messages: list[bytes]) -> None:
    client = await connect()
    for raw in messages:
        await client.send(b"a APPEND INBOX {%d+}\r\n%b\r\n" % (len(raw), raw))
        await client.run("S: a OK [APPENDUID *] *")
    await client.send(b"b EXAMINE INBOX\r\n")
    await client.until("b OK *")
    await client.send(b"c FETCH 1:* (BODY.PEEK[] ENVELOPE BODYSTRUCTURE BODY)\r\n")
    for number, raw in enumerate(messages, 1):
        reader = Reader(await _response(client.reader))
        reader.take(b"* %d FETCH (" % number)
        for label in (b"ENVELOPE ", b"BODYSTRUCTURE ", b"BODY "):
            reader.take(label)
            if label == b"ENVELOPE ":
                reader.envelope()
            else:
                reader.body(is_extended=label == b"BODYSTRUCTURE ")
            reader.take(b" ")
        reader.take(b"BODY[] ")
        assert reader.string() == raw
        reader.take(b")\r\n")
        assert reader.at == len(reader.raw)
    await client.run("S: c OK *")


@pytest.mark.parametrize("seed", range(3))
async def test_generated_messages_come_out_as_they_went_in(connect: Connect, seed: int) -> None:
    await _check(connect, _generated(seed))


async def test_messages_of_cpython_come_out_as_they_went_in(connect: Connect) -> None:
    messages = [raw for raw in _of_cpython() if b"\0" not in raw]
    if not messages:
        pytest.skip("this Python came without its test data")
    await _check(connect, messages)


@pytest.mark.parametrize(
    "raw",
    [
        b'("a" "b" NIL NIL NIL NIL NIL NIL NIL)',
        b'("a" "b" () NIL NIL NIL NIL NIL NIL NIL)',
        b"(NIL NIL NIL NIL NIL NIL NIL NIL NIL {5}\r\nabc)",
        b'("\xc3\xa9" NIL NIL NIL NIL NIL NIL NIL NIL NIL)',
    ],
)
def test_the_strict_reader_refuses_what_the_grammar_does_not_allow(raw: bytes) -> None:
    with pytest.raises(AssertionError):
        Reader(raw).envelope()
