"""Searches of the embedded store: a large mailbox with its full-text index, one without, and what
the indexing costs appends.

`python -m benchmarks.search [--messages N] [--directory DIR]`
Messages are of words that are as frequent as those of a language (Zipf), 1,200 characters each.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from statistics import median

from benchmarks.store_append import make_accounts
from benchmarks.ticker import Ticker
from rmail_kernel.clock import Clock
from rmail_kernel.content import Content
from rmail_kernel.process import interpreter
from rmail_kernel.process.events import LocalEvents
from rmail_kernel.storage.filesystem import FilesystemMailStore
from rmail_kernel.storage.filesystem.directory import FilesystemDirectory
from rmail_kernel.storage.filesystem.layout import AccountPaths
from rmail_kernel.storage.ids import AccountId, MailboxId
from rmail_kernel.storage.mail import AppendItem
from rmail_kernel.storage.search import And, Body, Dated, Header, Not, SearchNode, Text

INBOX = MailboxId(1)
TIMES = 9
APPEND_S = 4
CROWD_S = 5
BOUND_MS = 50.0
_LETTERS = "etaoinshrdlucmfwypvbgkqjxz"


class Writer:
    """Writes messages of an invented language."""

    def __init__(self) -> None:
        self._draw = random.Random(1)
        lengths = (self._draw.randint(2, 10) for _ in range(30_000))
        self.words = ["".join(self._draw.choices(_LETTERS, k=length)) for length in lengths]
        self._weights = list(itertools.accumulate(1 / (n + 1) for n in range(len(self.words))))

    def text(self, count: int) -> str:
        """So many words."""
        return " ".join(self._draw.choices(self.words, cum_weights=self._weights, k=count))

    def item(self) -> AppendItem:
        """A message."""
        raw = (
            f"From: {self.text(2)} <a@example.org>\r\nTo: b@example.com\r\n"
            f"Subject: {self.text(6)}\r\nDate: Thu, 1 Jan 2026 10:00:00 +0000\r\n\r\n"
            f"{self.text(170)}\r\n"
        )
        return AppendItem("INBOX", Content.of(raw.encode()))

    def items(self, count: int, at_once: int = 100) -> Iterator[list[AppendItem]]:
        """So many messages, in groups."""
        for start in range(0, count, at_once):
            yield [self.item() for _ in range(min(at_once, count - start))]


async def measured(
    mail: FilesystemMailStore, account: AccountId, name: str, query: SearchNode
) -> None:
    """Prints the median of searches that come again beside the bound, their time of the processor,
    and the first one, which nothing is remembered for.
    """
    taken, computed = [], []
    for _ in range(TIMES + 1):
        started, begun = time.perf_counter(), time.process_time()
        found = await mail.search(account, INBOX, query)
        taken.append((time.perf_counter() - started) * 1000)
        computed.append((time.process_time() - begun) * 1000)
    middle, cpu = median(taken[1:]), median(computed[1:])
    print(f"  {name:<44} {middle:8.1f} ms {middle / BOUND_MS:6.2f} x bound", end="")
    print(f"  (CPU {cpu:.1f}; first {taken[0]:.1f}, CPU {computed[0]:.1f})  {len(found)} found")


async def crowd(mail: FilesystemMailStore, account: AccountId, words: list[str]) -> None:
    """A hundred clients that search all the time; how long the loop stands still."""
    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(interpreter.SWITCH_S)  # as in a server
    until, count = time.perf_counter() + CROWD_S, 0

    async def client(number: int) -> None:
        nonlocal count
        while time.perf_counter() < until:
            await mail.search(account, INBOX, Text(words[number % len(words)]))
            count += 1

    async with Ticker() as ticker:
        await asyncio.gather(*(client(number) for number in range(100)))
    sys.setswitchinterval(interval_s)
    print(f"100 clients: {count / CROWD_S:.0f} searches/s, longest stall of the loop ", end="")
    print(f"{ticker.longest_ms:.1f} ms")


async def large(mail: FilesystemMailStore, account: AccountId, writer: Writer, count: int) -> None:
    """Fills, indexes and searches a mailbox."""
    for items in writer.items(count):
        await mail.append(account, items)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    await mail.index(account)
    seconds = time.perf_counter() - started
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10
    print(
        f"{count} messages indexed in {seconds:.1f} s, {count / seconds:.0f} /s, memory +{grown} MB"
    )
    long = [word for word in writer.words if len(word) >= 4]
    for rank in (0, 30, 300, 3000, len(long) - 1):
        await measured(mail, account, f"BODY, word {rank + 1} by frequency", Body(long[rank]))
        await measured(mail, account, f"TEXT, word {rank + 1} by frequency", Text(long[rank]))
    await measured(mail, account, "BODY, two words in sequence", Body(f"{long[0]} {long[1]}"))
    await measured(mail, account, "TEXT, nowhere", Text("nowhere at all"))
    await measured(mail, account, "TEXT of three characters", Text(long[300][:3]))
    await measured(mail, account, "BODY of one character", Body("e"))
    await measured(mail, account, "BODY of two characters, rare", Body("zq"))
    await measured(mail, account, "BODY of two characters, frequent", Body("et"))
    await measured(
        mail, account, "SUBJECT and not BODY", And((_subject(long[30]), Not(Body(long[300]))))
    )
    await crowd(mail, account, [long[rank] for rank in (0, 5, 30, 300, 3000)])


def _subject(text: str) -> SearchNode:
    return Header("Subject", text)


async def rows(mail: FilesystemMailStore, account: AccountId, writer: Writer) -> None:
    """Searches of rows in 2,000 messages, before and after they are indexed."""
    for items in writer.items(2000):
        await mail.append(account, items)
    for state in ("not indexed", "indexed"):
        word = max(writer.words[:20], key=len)
        await measured(mail, account, f"2,000 messages {state}: SUBJECT", _subject(word))
        await measured(mail, account, f"2,000 messages {state}: SUBJECT, all", _subject(" "))
        since = Dated("internal", "since", date(2026, 1, 1))
        await measured(mail, account, f"2,000 messages {state}: SINCE", since)
        sent = Dated("sent", "since", date(2026, 1, 1))
        await measured(mail, account, f"2,000 messages {state}: SENTSINCE", sent)
        await measured(mail, account, f"2,000 messages {state}: BODY", Body(word))
        await mail.index(account)


async def appends(
    mail: FilesystemMailStore, account: AccountId, writer: Writer, paths: AccountPaths
) -> None:
    """Appends of one sender, alone and beside indexing of another account in this process."""

    prepared = list(writer.items(200, 1))

    async def rate() -> float:
        started, count = time.perf_counter(), 0
        while time.perf_counter() - started < APPEND_S:
            await mail.append(account, prepared[count % len(prepared)])
            count += 1
        return count / (time.perf_counter() - started)

    alone, beside = [], []
    other = AccountId("user0@example.com")
    for _ in range(3):
        alone.append(await rate())
        paths.index.unlink()
        await mail.search(other, INBOX, Text("anything"))  # which has it made anew
        while not paths.index.exists():
            await asyncio.sleep(0.1)
        beside.append(await rate())
    print(
        f"appends, nothing indexed meanwhile: {max(alone):.0f} /s; while another account is ",
        end="",
    )
    print(f"indexed: {max(beside):.0f} /s, {max(beside) / max(alone):.2f} x")


async def run(base: Path, count: int) -> None:
    """Runs everything once."""
    root = base / "store"
    ids = [AccountId(f"user{n}@example.com") for n in range(3)]
    await make_accounts(root, ids)
    events, clock, writer = LocalEvents(), Clock(), Writer()
    directory = FilesystemDirectory(root, clock=clock, events=events)
    with ThreadPoolExecutor(8) as pool:
        mail = FilesystemMailStore(root, directory, events, clock, pool)
        try:
            await rows(mail, ids[1], writer)
            await large(mail, ids[0], writer, count)
            paths = AccountPaths.of(root, ids[0])
            size = sum(file.stat().st_size for file in paths.home.glob("search.db*"))
            mailed = (await mail.quota(ids[0])).used_bytes
            print(f"search.db {size >> 20} MB, {size / mailed:.1f} x the messages")
            await appends(mail, ids[2], writer, AccountPaths.of(root, ids[0]))
        finally:
            await mail.close()
    await directory.close()


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--directory", type=Path, default=None)
    options = parser.parse_args()
    base = Path(tempfile.mkdtemp(prefix="rmail-bench-", dir=options.directory))
    try:
        asyncio.run(run(base, options.messages))
    finally:
        shutil.rmtree(base)


if __name__ == "__main__":
    main()
