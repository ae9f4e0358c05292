"""Several sessions change one mailbox at the same time: each client that follows the responses ends
with the numbers, UIDs and flags of the store (RFC 3501 5.2, 7.4.1).
"""

from __future__ import annotations

import asyncio
import random
import re
from typing import TYPE_CHECKING

import pytest

from rmail_kernel.testing import Transcript

if TYPE_CHECKING:
    from plugins.rmail_imap.tests.conftest import Connect, Fill

_FETCH = re.compile(r"\* (\d+) FETCH \((?:UID (\d+))? ?FLAGS \(([^)]*)\)\)")
_NUMBER = re.compile(r"\* (\d+) (EXISTS|EXPUNGE)")
_MESSAGE = b"Subject: x\r\n\r\nx\r\n"


class Mirror:
    """A client that believes what it is told, and nothing else."""

    def __init__(self, transcript: Transcript, chance: random.Random) -> None:
        self.transcript = transcript
        self.chance = chance
        self.uids: list[int | None] = []
        self.flags: dict[int, frozenset[str]] = {}

    async def command(self, raw: bytes) -> list[str]:
        """Runs a command and takes in what comes."""
        await self.transcript.send(b"t " + raw + b"\r\n")
        lines = await self.transcript.until("t *")
        assert lines[-1].startswith("t OK"), (raw, lines[-1])
        for line in lines[:-1]:
            self._take(line)
        return lines

    def _take(self, line: str) -> None:
        if told := _NUMBER.fullmatch(line):
            number = int(told[1])
            if told[2] == "EXPUNGE":
                del self.uids[number - 1]
                return
            assert number >= len(self.uids)
            self.uids += [None] * (number - len(self.uids))
        elif fetched := _FETCH.fullmatch(line):
            place, uid = int(fetched[1]) - 1, fetched[2] and int(fetched[2])
            if uid:
                assert self.uids[place] in (None, uid)
                self.uids[place] = uid
            known = self.uids[place]
            if known is not None:
                self.flags[known] = frozenset(fetched[3].split()) - {"\\Recent"}

    async def act(self) -> None:
        """One thing that clients do."""
        count = len(self.uids)
        kind = self.chance.choice(["noop", "append", "fetch", "store", "silent", "gone", "search"])
        if kind == "append" or not count:
            await self.command(b"APPEND INBOX {%d+}\r\n%b" % (len(_MESSAGE), _MESSAGE))
        elif kind == "noop":
            await self.command(b"NOOP")
        elif kind == "search":
            await self.command(b"SEARCH DELETED")
        elif kind == "gone":
            await self._remove(count)
        else:
            low, high = sorted(self.chance.randint(1, count) for _ in "ab")
            if kind == "fetch":
                await self.command(b"FETCH %d:%d (UID FLAGS)" % (low, high))
            else:
                await self._store(low, high, is_silent=kind == "silent")

    async def _remove(self, count: int) -> None:
        number = self.chance.randint(1, count)
        if self.chance.random() < 0.5:
            await self.command(b"MOVE %d Trash" % number)
        else:
            await self.command(b"UID STORE %d +FLAGS (\\Deleted)" % (self.uids[number - 1] or 1))
            await self.command(b"EXPUNGE")

    async def _store(self, low: int, high: int, *, is_silent: bool) -> None:
        flag = self.chance.choice(["\\Seen", "\\Flagged", "$Label"])
        sign = self.chance.choice("+-")
        uids = [uid for uid in self.uids[low - 1 : high] if uid is not None]
        if is_silent:  # the client knows what it asked for; what it is told comes on top
            for uid in uids:
                before = self.flags.get(uid, frozenset())
                self.flags[uid] = before | {flag} if sign == "+" else before - {flag}
        suffix = ".SILENT" if is_silent else ""
        await self.command(f"STORE {low}:{high} {sign}FLAGS{suffix} ({flag})".encode())


@pytest.mark.parametrize("seed", range(10))
async def test_clients_that_follow_the_responses_agree_with_the_store(
    connect: Connect, fill: Fill, seed: int
) -> None:
    await fill(8)
    mirrors = [
        Mirror(await connect("INBOX"), random.Random(f"{seed} {number}")) for number in range(3)
    ]
    for mirror in mirrors:
        mirror.uids = [None] * 8
        await mirror.command(b"FETCH 1:* (UID FLAGS)")
    for _ in range(25):
        await asyncio.gather(*(mirror.act() for mirror in mirrors))
    truth = Mirror(await connect("INBOX"), random.Random(seed))
    await truth.command(b"NOOP")
    last = await truth.command(b"STATUS INBOX (MESSAGES)")
    truth.uids = [None] * int(re.findall(r"MESSAGES (\d+)", last[0])[0])
    if truth.uids:
        await truth.command(b"FETCH 1:* (UID FLAGS)")
    for mirror in mirrors:
        await mirror.command(b"NOOP")
        assert len(mirror.uids) == len(truth.uids)
        for known, real in zip(mirror.uids, truth.uids, strict=True):
            assert known in (None, real)
            if known is not None:
                assert mirror.flags[known] == truth.flags[known]
