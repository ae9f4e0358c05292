"""Fuzz targets: the grammar, and whole sessions fed with changed transcripts. Whatever comes in,
the answer is BAD, NO or OK, or the connection ends; never an internal error, never a stall.

RMAIL_IMAP_FUZZ_EXAMPLES sets how many changed transcripts there are.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rmail_imap import command
from rmail_imap.commands import TABLE
from rmail_imap.errors import BadSyntax, Refused
from rmail_imap.parse.cursor import Cursor

from rmail_kernel.testing import RunningServer

command.load()
EXAMPLES: Final = int(os.environ.get("RMAIL_IMAP_FUZZ_EXAMPLES", "60"))
SEED: Final = 20_260_101
COMMANDS: Final = [
    b'LIST (SUBSCRIBED) "" ("*" "%") RETURN (CHILDREN STATUS (MESSAGES UIDNEXT))',
    b'LIST "" "*"', b'LSUB "" "*"', b"STATUS INBOX (MESSAGES UNSEEN HIGHESTMODSEQ MAILBOXID)",
    b"SELECT INBOX (CONDSTORE)", b"EXAMINE {5+}\r\nINBOX", b"NOOP", b"CHECK", b"CAPABILITY",
    b"FETCH 1:* (UID FLAGS ENVELOPE BODYSTRUCTURE BODY.PEEK[HEADER.FIELDS (From To)]<0.20>)",
    b"UID FETCH 1:3,5 (BODY[1.MIME] RFC822.SIZE PREVIEW (LAZY) EMAILID) (CHANGEDSINCE 1)",
    b"STORE 1:2 (UNCHANGEDSINCE 9) +FLAGS.SILENT (\\Seen $Work)", b"UID STORE * -FLAGS \\Deleted",
    b"SEARCH RETURN (MIN MAX COUNT PARTIAL 1:2) CHARSET UTF-8 OR (FROM x NOT SEEN) ON 1-Jan-2020",
    b"UID SEARCH FUZZY TEXT {3+}\r\nabc 1:*", b"SORT (REVERSE DATE SUBJECT) UTF-8 ALL",
    b"UID THREAD REFERENCES UTF-8 ALL", b"COPY 1 Archive", b"UID MOVE 1 Archive", b"EXPUNGE",
    b'APPEND INBOX (\\Seen) "17-Jul-1996 02:44:25 -0700" {10+}\r\nA: b\r\n\r\nxx',
    b"CREATE a/b (USE (\\Junk))", b"RENAME a c", b"DELETE c", b"SUBSCRIBE INBOX",
    b'SETMETADATA INBOX (/private/comment "x" /shared/y NIL)', b"ENABLE CONDSTORE",
    b"GETMETADATA (DEPTH 1 MAXSIZE 5) INBOX (/private /shared/y)", b"GETQUOTAROOT INBOX",
    b'ID ("name" "x")', b"NAMESPACE", b"UNSELECT", b"CLOSE", b"IDLE\r\nDONE",
]  # fmt: skip
TOKENS: Final = [
    b"(", b")", b"[", b"]", b"{", b"}", b"{5}\r\n", b"{99999999999}\r\n", b"{0+}\r\n", b"~{3+}\r\n",
    b'"', b"\\", b"*", b"%", b",", b":", b"$", b"<0.1>", b"\r\n", b"\n", b" ", b"\0", b"\xff\xfe",
    b"NIL", b"4294967296", b"0", b"-1", b"(((((((((", b"NOT NOT NOT ", b"RETURN ", b"UID ",
]  # fmt: skip


@settings(max_examples=EXAMPLES * 10, deadline=None)
@given(
    st.sampled_from(sorted(TABLE)),
    st.lists(st.one_of(st.sampled_from(TOKENS), st.binary(max_size=6)), max_size=12),
    st.booleans(),
)
def test_parsers_raise_nothing_but_refusals(name: str, tokens: list[bytes], is_uid: bool) -> None:
    cursor = Cursor(b" ".join([b"", *tokens]), is_uid=is_uid)
    with contextlib.suppress(BadSyntax, Refused):
        TABLE[name].parse(cursor)
    assert cursor.at <= len(cursor.raw)


@settings(max_examples=EXAMPLES * 10, deadline=None)
@given(st.sampled_from(COMMANDS), st.integers(), st.integers(0, 4))
def test_changed_arguments_raise_nothing_but_refusals(raw: bytes, seed: int, changes: int) -> None:
    name, _, rest = changed(raw, random.Random(seed), changes).partition(b" ")
    if name.upper() == b"UID":
        name, _, rest = rest.partition(b" ")
    entry = TABLE.get(name.decode("latin-1").upper())
    if entry is not None:
        with contextlib.suppress(BadSyntax, Refused):
            entry.parse(Cursor(b" " + rest))


def changed(raw: bytes, draw: random.Random, changes: int) -> bytes:
    """A command with some bytes removed, doubled, turned or replaced by what means something."""
    data = bytearray(raw)
    for _ in range(changes):
        at = draw.randrange(len(data) + 1)
        kind = draw.randrange(5)
        if kind == 0:
            data[at:at] = draw.choice(TOKENS)
        elif kind == 1:
            del data[at : at + draw.randrange(1, 6)]
        elif kind == 2:
            data[at : at + 1] = bytes([draw.randrange(256)])
        elif kind == 3:
            data[at:at] = data[max(0, at - draw.randrange(1, 12)) : at]
        else:
            data[at:at] = draw.choice(COMMANDS)[: draw.randrange(1, 30)]
    return bytes(data)


@pytest.fixture
def rmail_settings(tmp_path: Path) -> dict[str, Any]:
    return {
        "rate_limit": {"enabled": False},
        "imap": {"max_message_bytes": 100_000, "max_bad_commands": 100},
    }


async def test_sessions_survive_changed_transcripts(
    rmail_server: RunningServer, capsys: pytest.CaptureFixture[str]
) -> None:
    await rmail_server.deliver(b"Subject: one\r\n\r\nbody\r\n", "alice@example.com")
    draw = random.Random(SEED)
    for _ in range(EXAMPLES):
        script = [changed(draw.choice(COMMANDS), draw, draw.choice([0, 0, 1, 2])) for _ in range(8)]
        said = await _play(rmail_server, script)
        assert b"SERVERBUG" not in said, (script, said)
    assert "imap failed" not in capsys.readouterr().out


async def _play(server: RunningServer, script: list[bytes]) -> bytes:
    """All that the server says to a client that sends everything at once and no more."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.ports["imap"])
    try:
        async with asyncio.timeout(20):
            writer.write(b"l LOGIN alice secret\r\ns SELECT INBOX\r\n")
            for number, raw in enumerate(script):
                writer.write(b"c%d %b\r\n" % (number, raw))
            writer.write(b"\r\nDONE\r\nz LOGOUT\r\n")
            writer.write_eof()
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def test_a_tower_of_claims_takes_no_memory(rmail_server: RunningServer) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", rmail_server.ports["imap"])
    async with asyncio.timeout(20):
        writer.write(b"l LOGIN alice secret\r\n")
        for number in range(20):
            writer.write(b"a%d SEARCH TEXT {4000000000}\r\n" % number)
            writer.write(b"b%d APPEND INBOX {999999999999}\r\n" % number)
            writer.write(b"c%d FETCH 1:4294967295 (UID)\r\n" % number)
        writer.write(b"z LOGOUT\r\n")
        said = await reader.read()
    assert said.count(b" BAD") == 40
    assert said.count(b" NO [TOOBIG]") == 20
    writer.close()
