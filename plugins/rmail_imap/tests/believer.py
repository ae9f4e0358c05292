"""What the user of one connection believes, by all that the server says: which message has which
number and flags (RFC 3501 5.2, 7.3, 7.4; RFC 7162 3.2).
"""

from __future__ import annotations

import asyncio
import itertools
import re
from dataclasses import dataclass, field
from typing import Final

_FETCH: Final = re.compile(r"\* (\d+) FETCH \((.*)\)")
_COUNT: Final = re.compile(r"\* (\d+) (EXISTS|RECENT|EXPUNGE)")
_VANISHED: Final = re.compile(r"\* VANISHED( \(EARLIER\))? ([\d:,]+)")
_MODSEQ: Final = re.compile(r"(?:\* OK|OK) \[HIGHESTMODSEQ (\d+)\]")
_VALIDITY: Final = re.compile(r"\* OK \[UIDVALIDITY (\d+)\]")


@dataclass(eq=False)
class Mailbox:
    """What a mailbox really holds."""

    messages: dict[int, frozenset[str]] = field(default_factory=dict)
    uidnext: int = 1

    def add(self, flags: frozenset[str]) -> None:
        self.messages[self.uidnext] = flags
        self.uidnext += 1

    def count(self, flag: str) -> int:
        return sum(flag in flags for flags in self.messages.values())


@dataclass(eq=False)
class Client:
    """A connection, and what its user believes."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    is_qresync: bool = False
    tags: itertools.count[int] = field(default_factory=itertools.count)
    mailbox: Mailbox | None = None
    numbers: list[int] = field(default_factory=list)
    flags: dict[int, frozenset[str]] = field(default_factory=dict)
    last_uid: int = 0
    modseq: int = 0
    validity: int = 0
    status: str = ""
    earlier: set[int] = field(default_factory=set)
    fetched: set[int] = field(default_factory=set)

    async def line(self) -> str:
        async with asyncio.timeout(20):
            return (await self.reader.readline()).decode().rstrip("\r\n")

    async def command(self, text: str, literal: str | None = None) -> str:
        """The tagged line; untagged ones are taken into what the user believes. "" after a BYE."""
        tag = f"t{next(self.tags)}"
        more = "" if literal is None else f" {{{len(literal)}+}}\r\n{literal}"
        self.writer.write(f"{tag} {text}{more}\r\n".encode())
        may_expunge = not re.match("(FETCH|STORE|SEARCH) ", text)
        while not (line := await self.line()).startswith(f"{tag} "):
            if line.startswith("* BYE") or not line:
                return ""
            self.hear(line, may_expunge=may_expunge)
        said = line.removeprefix(f"{tag} ")
        self._hear_modseq(said)
        return said

    def hear(self, line: str, *, may_expunge: bool = True) -> None:
        """An untagged response."""
        count, fetched = _COUNT.match(line), _FETCH.match(line)
        vanished, validity = _VANISHED.match(line), _VALIDITY.match(line)
        if count and count[2] == "EXPUNGE":
            assert may_expunge, line
            assert not self.is_qresync, line
            self._forget(self.numbers[int(count[1]) - 1], line)
        elif vanished and vanished[1]:
            self.earlier |= numbers_of(vanished[2])
        elif vanished:
            assert may_expunge, line
            assert self.is_qresync, line
            for uid in numbers_of(vanished[2]):
                self._forget(uid, line)
        elif count and count[2] == "EXISTS":
            self._hear_exists(int(count[1]))
        elif fetched:
            self._hear_fetch(int(fetched[1]), fetched[2])
        elif validity:
            self.validity = int(validity[1])
        elif line.startswith("* STATUS "):
            self.status = line
        else:
            self._hear_modseq(line)

    def _forget(self, uid: int, line: str) -> None:
        assert self.mailbox is not None
        assert uid not in self.mailbox.messages, f"{line}: {uid} is there"
        self.numbers.remove(uid)
        self.flags.pop(uid, None)

    def _hear_exists(self, count: int) -> None:
        assert self.mailbox is not None
        fresh = sorted(uid for uid in self.mailbox.messages if uid > self.last_uid)
        fresh = fresh[: count - len(self.numbers)]  # during IDLE more may be on the way
        self.numbers += fresh
        self.last_uid = max([self.last_uid, *fresh])
        assert len(self.numbers) == count

    def _hear_fetch(self, number: int, items: str) -> None:
        uid = self.numbers[number - 1]
        told, flags = re.search(r"UID (\d+)", items), re.search(r"FLAGS \(([^)]*)\)", items)
        modseq = re.search(r"MODSEQ \((\d+)\)", items)
        assert told is None or int(told[1]) == uid, items
        assert told or not self.is_qresync, items  # RFC 7162 3.2.4
        self.fetched.add(uid)
        if flags:
            self.flags[uid] = frozenset(flags[1].split()) - {"\\Recent"}
        if modseq:
            self.modseq = max(self.modseq, int(modseq[1]))

    def _hear_modseq(self, line: str) -> None:
        """What a client that comes back must name: the last that it was told (RFC 7162 3.2.7)."""
        if told := _MODSEQ.match(line):
            self.modseq = int(told[1])

    def check(self) -> None:
        """Everything was told: numbers, and flags as far as they were ever told."""
        assert self.mailbox is not None
        assert self.numbers == sorted(self.mailbox.messages)
        for uid, flags in self.flags.items():
            assert flags == self.mailbox.messages[uid], uid

    def select(self, mailbox: Mailbox | None) -> None:
        """Knows nothing of another mailbox yet."""
        self.mailbox = mailbox
        self.numbers, self.last_uid, self.modseq = [], 0, 0
        self.earlier, self.fetched = set(), set()


def numbers_of(raw: str) -> set[int]:
    """The numbers of a set."""
    pairs = (part.partition(":") for part in raw.split(","))
    return {
        number for first, _, last in pairs for number in range(int(first), int(last or first) + 1)
    }
