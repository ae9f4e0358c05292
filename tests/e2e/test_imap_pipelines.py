"""Clients of two workers send whole batches of commands at once, at the same time, in one mailbox.
Each follows the responses, and none is ever misled (RFC 9051 5.5, 7.5.1; RFC 7162 3.2.10).

The model: a keyword of its own for each client, and messages that only one client may expunge. So
what remains is known whatever the order in which the workers took the commands.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from rmail_kernel.testing import Transcript
from tests.installation import PASSWORD, USER, Installation, worker_of

CLIENTS = 4
BATCHES = 60
MAX_SESSIONS = 80  # the kernel decides who accepts
MESSAGE = b"Subject: x\r\n\r\nx\r\n"
QUIET = ("FETCH", "STORE", "SEARCH")
"""Commands with sequence numbers: RFC 9051 7.5.1 forbids EXPUNGE while they run."""
_COUNT = re.compile(r"\* (\d+) (EXISTS|RECENT|EXPUNGE)")
_VANISHED = re.compile(r"\* VANISHED ([\d:,]+)")
_FETCH = re.compile(r"\* (\d+) FETCH \((.*)\)")
_TAGGED = re.compile(r"(t\d+) (OK|NO|BAD)(?: \[APPENDUID \d+ (\d+)\])?")


class World:
    """What all clients together have done."""

    def __init__(self) -> None:
        self.appended: set[int] = set()
        self.expunged: set[int] = set()


class Client:
    """One client: what it was told, what it did, and the checks of each response."""

    def __init__(self, transcript: Transcript, place: int, world: World, seed: int) -> None:
        self.transcript, self.place, self.world = transcript, place, world
        self.chance = random.Random(f"{seed}-{place}")
        self.keyword = f"k{place}"
        self.is_qresync = bool(place % 2)
        self.uids: list[int | None] = []
        self.marked: set[int] = set()
        self.tags = 0
        self.is_sending = False

    async def open(self) -> None:
        """Selects, and learns what there is."""
        if self.is_qresync:
            await self.batch(["ENABLE QRESYNC"])
        await self.batch(["SELECT INBOX"])
        await self.batch(["UID FETCH 1:* (FLAGS)"])

    async def batch(self, commands: list[str]) -> None:
        """Sends commands at once, then takes their responses in order."""
        raw, waiting = b"", []
        for command in commands:
            self.tags += 1
            waiting.append((f"t{self.tags}", command))
            raw += f"t{self.tags} {command}\r\n".encode()
        await self.transcript.send(raw)
        for tag, command in waiting:
            while True:
                line = await self.transcript.line()
                if tagged := _TAGGED.match(line):
                    assert tagged[1] == tag, (line, command)  # in the order of the commands
                    assert tagged[2] == "OK", (line, command)
                    if tagged[3]:
                        self.world.appended.add(int(tagged[3]))
                    break
                self.take(line, command)

    def take(self, line: str, command: str) -> None:
        """Follows one untagged response that came while `command` ran."""
        if told := _COUNT.fullmatch(line):
            if told[2] == "EXPUNGE":
                assert not command.startswith(QUIET), (line, command)
                assert not self.is_qresync
                del self.uids[int(told[1]) - 1]
            elif told[2] == "EXISTS":
                assert int(told[1]) >= len(self.uids)  # never fewer without EXPUNGE
                self.uids += [None] * (int(told[1]) - len(self.uids))
        elif gone := _VANISHED.fullmatch(line):
            assert not command.startswith(QUIET), (line, command)
            for uid in _numbers(gone[1]):
                self._vanished(uid)
        elif fetched := _FETCH.fullmatch(line):
            self._fetched(int(fetched[1]), fetched[2])
        elif line.startswith("* SEARCH"):
            self._found({int(word) for word in line.split()[2:] if word.isdigit()}, command)

    def _vanished(self, uid: int) -> None:
        """Its place is known even where the UID is not: UIDs ascend (RFC 9051 2.3.1.1)."""
        below = [place for place, known in enumerate(self.uids) if known and known < uid]
        place = self.uids.index(uid) if uid in self.uids else max(below, default=-1) + 1
        assert self.uids[place] in (None, uid)
        del self.uids[place]

    def _fetched(self, number: int, items: str) -> None:
        assert 1 <= number <= len(self.uids)
        uid = re.search(r"UID (\d+)", items)
        if uid is not None:
            assert self.uids[number - 1] in (None, int(uid[1])), items
            self.uids[number - 1] = int(uid[1])
        flags, known = re.search(r"FLAGS \(([^)]*)\)", items), self.uids[number - 1]
        if flags is None or known is None or self.is_sending:
            return
        if known not in self.world.expunged:  # what is gone takes no flags
            assert (self.keyword in flags[1].split()) is (known in self.marked)

    def _found(self, numbers: set[int], command: str) -> None:
        """Its keyword is on what it was set on; only what others have expunged may be missing."""
        uids = numbers
        if not command.startswith("UID"):
            assert all(1 <= number <= len(self.uids) for number in numbers)
            uids = {uid for number in numbers if (uid := self.uids[number - 1])}
        if not self.is_sending:
            assert uids - self.world.expunged <= self.marked
            assert self.marked - uids <= self.world.expunged

    async def act(self) -> None:
        """One batch of what clients do."""
        if None in self.uids:
            await self.batch(["UID FETCH 1:* (FLAGS)"])
        elif self.uids and self.chance.random() < 0.5:
            await self._by_number()
        else:
            await self._by_uid()

    async def _by_number(self) -> None:
        """Commands whose numbers hold for all of the batch, as none of them may shift them."""
        commands = []
        self.is_sending = True  # later commands of the batch are in the model already
        for _ in range(self.chance.randint(1, 6)):
            number = self.chance.randint(1, len(self.uids))
            sign = self.chance.choice("+-")
            what = self.chance.choice(["FETCH", "STORE", "STORE", "SEARCH"])
            if what == "STORE":
                silent = self.chance.choice(["", ".SILENT"])
                commands.append(f"STORE {number} {sign}FLAGS{silent} ({self.keyword})")
                self._mark(self.uids[number - 1], sign)
            elif what == "FETCH":
                commands.append(f"FETCH {number}:* (UID FLAGS)")
            else:
                commands.append(f"SEARCH KEYWORD {self.keyword}")
        await self.batch(commands)
        self.is_sending = False
        await self.batch([f"SEARCH KEYWORD {self.keyword}", f"FETCH 1:{len(self.uids)} (FLAGS)"])

    async def _by_uid(self) -> None:
        """Commands that name messages for good, among which any may be told to be gone."""
        commands: list[str] = []
        self.is_sending = True
        for _ in range(self.chance.randint(1, 6)):
            known = [uid for uid in self.uids if uid is not None]
            mine = [uid for uid in known if uid % CLIENTS == self.place]
            what = self.chance.choice(
                ["NOOP", "UID FETCH 1:* (FLAGS)", "append", "mark", "expunge"]
            )
            if what == "append":
                commands.append(f"APPEND INBOX {{{len(MESSAGE)}+}}\r\n{MESSAGE.decode()}")
            elif what == "mark" and known:
                uid, sign = self.chance.choice(known), self.chance.choice("+-")
                commands.append(f"UID STORE {uid} {sign}FLAGS ({self.keyword})")
                self._mark(uid, sign)
            elif what == "expunge" and len(mine) > 1:
                uid = self.chance.choice(mine)
                self.world.expunged.add(uid)
                commands += [f"UID STORE {uid} +FLAGS (\\Deleted)", f"UID EXPUNGE {uid}"]
            elif what.isupper() or what.startswith("UID"):
                commands.append(what)
        await self.batch(commands or ["NOOP"])
        self.is_sending = False

    def _mark(self, uid: int | None, sign: str) -> None:
        assert uid is not None
        (self.marked.add if sign == "+" else self.marked.discard)(uid)

    async def finish(self) -> dict[int, frozenset[str]]:
        """What there is in the end."""
        await self.batch(["NOOP", "UID FETCH 1:* (FLAGS)", "NOOP"])
        await self.transcript.send(b"end UID FETCH 1:* (FLAGS)\r\n")
        found = {}
        for line in await self.transcript.until("end OK*"):
            if fetched := _FETCH.fullmatch(line):
                self._fetched(int(fetched[1]), fetched[2])
                flags = re.search(r"FLAGS \(([^)]*)\)", fetched[2])
                uid = self.uids[int(fetched[1]) - 1]
                assert uid is not None
                assert flags is not None
                found[uid] = frozenset(flags[1].split()) - {"\\Recent"}
        assert list(found) == self.uids
        return found


def _numbers(raw: str) -> set[int]:
    pairs = (part.partition(":") for part in raw.split(","))
    return {
        number for first, _, last in pairs for number in range(int(first), int(last or first) + 1)
    }


@pytest_asyncio.fixture
async def installation(tmp_path: Path) -> AsyncIterator[Installation]:
    made = await asyncio.to_thread(Installation, tmp_path)
    await asyncio.to_thread(made.start)
    try:
        yield made
    finally:
        await asyncio.to_thread(made.stop)


async def connect(installation: Installation) -> list[Transcript]:
    """Sessions that are logged in, on both workers as many as can be had."""
    workers = installation.workers()
    found: dict[int, list[Transcript]] = {pid: [] for pid in workers}
    spare: list[Transcript] = []
    for _ in range(MAX_SESSIONS):
        client = Transcript("127.0.0.1", installation.ports()["imap"])
        await client.__aenter__()
        await client.run(f"S: * OK *\nC: a LOGIN {USER} {PASSWORD}")
        await client.until("a OK *")
        some = found[worker_of(client, workers)]
        (some if len(some) < CLIENTS // 2 else spare).append(client)
        if all(len(some) == CLIENTS // 2 for some in found.values()):
            break
    for client in spare:
        client.writer.close()
    assert all(found.values()), "one worker takes every connection"
    return [client for some in found.values() for client in some]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", range(2))
async def test_pipelines_of_two_workers_never_mislead_a_client(
    installation: Installation, seed: int
) -> None:
    world = World()
    transcripts = await connect(installation)
    clients = [Client(one, place, world, seed) for place, one in enumerate(transcripts)]
    for client in clients:
        await client.open()
    await clients[0].batch([f"APPEND INBOX {{{len(MESSAGE)}+}}\r\n{MESSAGE.decode()}"] * 12)

    async def live(client: Client) -> None:
        for _ in range(BATCHES):
            await client.act()

    await asyncio.gather(*map(live, clients))
    ends = [await client.finish() for client in clients]
    left = world.appended - world.expunged
    wanted = {
        uid: frozenset(client.keyword for client in clients if uid in client.marked) for uid in left
    }
    assert ends == [wanted] * len(clients)
    for client in clients:
        client.transcript.writer.close()
