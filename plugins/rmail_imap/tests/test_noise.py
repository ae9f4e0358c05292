"""Any bytes on a connection: faults at most, never a bug of the server."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from plugins.rmail_imap.tests.conftest import Connect, Fill

_PIECES = [
    b"FETCH", b"UID ", b"STORE", b"SEARCH", b"COPY", b"MOVE", b"APPEND", b"LIST", b"STATUS",
    b"SELECT", b"EXPUNGE", b"NOOP", b"IDLE", b"DONE", b"RENAME", b"CREATE", b"ENABLE", b"ID",
    b" ", b" ", b" ", b"\r\n", b"(", b")", b'"', b"{3}\r\n", b"{3+}\r\nabc", b"1:*", b"2", b"INBOX",
    b"x", b"FLAGS", b"+FLAGS", b"(FLAGS)", b"BODY[]", b"BODY[1.MIME]<0.5>", b"ENVELOPE", b"ALL",
    b"\\Deleted", b"OR", b"NOT", b"TEXT", b"\xff", b"\0", b"\n", b"*", b"%", b"NIL", b"(MESSAGES)",
]  # fmt: skip
_ARGUMENTS = [
    b"FETCH 1:* (FLAGS BODY.PEEK[1])", b"UID STORE 1:2 +FLAGS (\\Deleted k)", b"EXPUNGE",
    b"SEARCH OR 1 NOT TEXT x", b"COPY 1 INBOX", b"UID MOVE 1:* Trash", b"SELECT INBOX", b"IDLE",
    b"EXAMINE INBOX", b"CLOSE", b'LIST "" *', b"STATUS INBOX (MESSAGES)", b"CREATE x", b"DELETE x",
    b"APPEND INBOX {9+}\r\nA: b\r\n\r\nx", b"RENAME INBOX y/z", b"FETCH 2 BODY[TEXT]<1.2>",
]  # fmt: skip


@pytest.mark.parametrize("rmail_settings", [{"imap": {"max_bad_commands": 1_000_000}}])
@pytest.mark.parametrize("seed", range(8))
async def test_noise_is_answered_with_faults_at_most(
    connect: Connect, fill: Fill, seed: int
) -> None:
    chance = random.Random(seed)
    await fill(4)
    client = await connect("INBOX")
    for _ in range(150):
        tag = b"t%d " % chance.randrange(100)
        if chance.random() < 0.5:
            line = chance.choice(_ARGUMENTS)
        else:
            line = b"".join(chance.choices(_PIECES, k=chance.randrange(1, 12)))
        await client.send(tag + line + b"\r\n")
    await client.send(b"\r\nDONE\r\n" * 3 + b"abc\r\nend NOOP\r\n")
    answer = b""
    while not answer.endswith(b"\r\nend OK NOOP completed\r\n"):
        piece = await client.reader.read(65536)
        assert piece, answer[-500:]
        answer += piece
    assert b"SERVERBUG" not in answer
