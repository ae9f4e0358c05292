"""Large mailboxes of the embedded store: opening one, changes of 10,000 messages, what has changed.

`python -m benchmarks.mailbox [--messages N] [--large N] [--directory DIR]`
The mailbox of N messages has files (links of one) and summaries, the large one has only rows and
shard directories: nothing measured there opens a file. Each figure stands beside its bound; the
longest stall of the loop meanwhile is measured with a tick every millisecond.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing
from pathlib import Path
from statistics import median
from typing import Literal

import apsw

from benchmarks.store_append import BODY, make_accounts
from benchmarks.ticker import Ticker
from rmail_kernel.clock import Clock
from rmail_kernel.mime import encode_structure, summarise
from rmail_kernel.process import interpreter
from rmail_kernel.process.events import LocalEvents
from rmail_kernel.storage.filesystem import FilesystemMailStore, schema
from rmail_kernel.storage.filesystem.directory import FilesystemDirectory
from rmail_kernel.storage.filesystem.layout import AccountPaths, file_name, shard_name
from rmail_kernel.storage.ids import AccountId, MailboxId, ModSeq, Uid

INBOX = MailboxId(1)
ROUNDS = 5
CHANGED = 10_000
_OPS: tuple[Literal["add", "remove"], ...] = ("add", "remove")
_LINKS = 10_000  # ext4 has at most 65,000 names for a file, and copies take some


@asynccontextmanager
async def opened(root: Path) -> AsyncIterator[FilesystemMailStore]:
    """The store, closed in the end."""
    events, clock = LocalEvents(), Clock()
    directory = FilesystemDirectory(root, clock=clock, events=events)
    with ThreadPoolExecutor(8) as pool:
        store = FilesystemMailStore(root, directory, events, clock, pool)
        try:
            yield store
        finally:
            await store.close()
    await directory.close()


async def fill(root: Path, account: AccountId, count: int, *, files: bool) -> None:
    """Makes a mailbox of `count` messages by rows, with files by links."""
    async with opened(root) as store:
        await store.status(account, "INBOX")
    paths = AccountPaths.of(root, account)
    make_shards(paths, count)
    if files:
        link_files(paths, BODY, count)
    with closing(schema.connect(paths.database)) as db, db:
        _rows(db, paths, count, files=files)


def make_shards(paths: AccountPaths, count: int) -> None:
    """The shard directories of INBOX for so many messages."""
    for shard in range(count // 1000 + 1):
        (paths.mailbox("INBOX") / shard_name(shard)).mkdir()


def link_files(paths: AccountPaths, raw: bytes, count: int) -> None:
    """The files of so many messages of INBOX, which are links of a few."""
    inbox, source = paths.mailbox("INBOX"), paths.temporary / "source"
    for uid in range(1, count + 1):
        if (uid - 1) % _LINKS == 0:
            source.unlink(missing_ok=True)
            source.write_bytes(raw)
        os.link(source, inbox / shard_name(uid // 1000) / file_name(uid, 0))
    source.unlink(missing_ok=True)


def note_shards(db: apsw.Connection, paths: AccountPaths) -> None:
    """Has the shards of INBOX taken for ours."""
    inbox = paths.mailbox("INBOX")
    shards = [(int(one.name), one.stat().st_mtime_ns) for one in inbox.iterdir() if one.is_dir()]
    db.executemany("INSERT INTO shard (mailbox, shard, mtime_ns) VALUES (1, ?, ?)", shards)


def _rows(db: apsw.Connection, paths: AccountPaths, count: int, *, files: bool) -> None:
    db.executemany(
        "INSERT INTO message (mailbox, uid, flags, modseq, named, size_bytes, internal_date,"
        " save_date) VALUES (1, ?, 0, 2, 0, ?, 1700000000, 1700000000)",
        ((uid, len(BODY)) for uid in range(1, count + 1)),
    )
    if files:
        found = summarise(BODY)
        row = (found.raw_envelope, found.raw_body, found.raw_bodystructure, found.raw_headers)
        structure = encode_structure(found.structure)
        db.executemany(
            "INSERT INTO summary (key, envelope, body, bodystructure, headers, has_all_headers,"
            " structure) VALUES (?, ?, ?, ?, ?, 1, ?)",
            ((1 << 32 | uid, *row, structure) for uid in range(1, count + 1)),
        )
    note_shards(db, paths)
    db.execute(
        "UPDATE mailbox SET uidnext=?, uid_reserved=?, total=?, unseen=?, recent=?, size_bytes=?,"
        " highestmodseq=2 WHERE id=1",
        (count + 1, count + 1001, count, count, count, count * len(BODY)),
    )
    db.execute(
        "UPDATE account SET modseq=2, used_bytes=?, used_messages=?", (count * len(BODY), count)
    )


def report(name: str, value: float, bound: float, unit: str = "ms", stall_ms: float = 0) -> None:
    """Prints one line: the figure, its bound, and the part of the bound that it takes."""
    stall = f"   loop stalled {stall_ms:5.1f} ms" if stall_ms else ""
    print(f"{name:<40} {value:9.2f} {unit:<8} bound {bound:7.1f}  {value / bound:5.2f} x{stall}")


async def _open(root: Path, account: AccountId, total: int) -> tuple[float, float, float, float]:
    """Milliseconds of the first view and of the next ones, the longest stall, bytes a message."""
    sys.setswitchinterval(interpreter.SWITCH_S)  # as in a server
    async with opened(root) as store:
        await asyncio.sleep(0.05)  # the loop's first callbacks are not what is measured
        async with Ticker() as ticker:
            started = time.perf_counter()
            view = await store.view(account, "INBOX")
            cold_ms = (time.perf_counter() - started) * 1000
            await asyncio.sleep(0.005)
        assert view.total == total
        warm = []
        for _ in range(200):
            started = time.perf_counter()
            await store.view(account, "INBOX")
            warm.append((time.perf_counter() - started) * 1000)
        held = sys.getsizeof(view.uids) + sys.getsizeof(view.flags)
        return cold_ms, median(warm), ticker.longest_ms, held / total


def _in_process(
    root: Path, account: AccountId, total: int, answer: multiprocessing.SimpleQueue[object]
) -> None:
    answer.put(asyncio.run(_open(root, account, total)))


def opening(root: Path, account: AccountId, total: int, bound_ms: float) -> None:
    """Opens a mailbox in new processes, one after another."""
    context = multiprocessing.get_context("spawn")
    found = []
    for _ in range(ROUNDS):
        answer = context.SimpleQueue()
        process = context.Process(target=_in_process, args=(root, account, total, answer))
        process.start()
        found.append(answer.get())
        process.join()
    cold, warm, stall, size = (median(column) for column in zip(*found, strict=True))
    report(f"open {total:,} messages, cold", cold, bound_ms, stall_ms=stall)
    report(f"open {total:,} messages, warm", warm, 1)
    report(f"view of {total:,} messages", size, 8, "B/msg")


async def timed(
    name: str, bound_ms: float, works: Sequence[Callable[[], Awaitable[object]]]
) -> None:
    """The median time of some calls, and the longest stall."""
    taken = []
    async with Ticker() as ticker:
        for work in works:
            started = time.perf_counter()
            await work()
            taken.append((time.perf_counter() - started) * 1000)
            await asyncio.sleep(0)  # what many calls take together is no stall
    report(name, median(taken), bound_ms, stall_ms=ticker.longest_ms)


async def changing(root: Path, account: AccountId) -> None:
    """Flags, copies and expunges of 10,000 messages; a session looks on."""
    async with opened(root) as store:
        view = await store.view(account, "INBOX")
        uids = [Uid(uid) for uid in view.uids[:CHANGED]]
        seen = frozenset({"\\Seen"})
        target = await store.create(account, "Target")

        async def settled(work: Awaitable[object]) -> None:
            await work
            await store.settle(account)

        def flag(number: int) -> Callable[[], Awaitable[object]]:
            op = _OPS[number % 2]
            return lambda: store.store_flags(account, INBOX, uids, op, seen)

        await timed(f"flags of {CHANGED:,}", 300, [flag(n) for n in range(ROUNDS + 1)])
        await settled(store.view(account, "INBOX"))

        def look() -> Awaitable[object]:
            return store.view(account, "INBOX")

        await store.store_flags(account, INBOX, uids, "add", seen)
        await timed("view after flags of 10,000", 100, [look])
        await settled(look())
        copies = [lambda: store.copy(account, INBOX, uids, target.id) for _ in range(3)]
        await timed(f"copy {CHANGED:,}", 500, copies)
        await settled(look())
        copied = await store.view(account, target.id)
        parts = [[Uid(uid) for uid in copied.uids[n * CHANGED :][:CHANGED]] for n in range(3)]

        def expunge(part: list[Uid]) -> Callable[[], Awaitable[object]]:
            return lambda: store.expunge(account, target.id, part, only_deleted=False)

        await timed(f"expunge {CHANGED:,}", 300, [expunge(part) for part in parts])
        moves = [lambda: store.move(account, INBOX, uids, target.id)]
        await timed(f"move {CHANGED:,}", 800, moves)


async def asking(root: Path, account: AccountId, total: int) -> None:
    """Changes since, in the large mailbox."""
    async with opened(root) as store:
        before = (await store.view(account, "INBOX")).modseq
        some = [Uid(uid) for uid in range(total // 2, total // 2 + 50)]
        await store.store_flags(account, INBOX, some, "add", frozenset({"\\Seen"}))
        now = (await store.status(account, "INBOX")).highestmodseq

        def ask(since: ModSeq) -> Callable[[], Awaitable[object]]:
            return lambda: store.changes(account, INBOX, since)

        await timed(f"changes since, 50 of {total:,}", 1, [ask(before)] * 200)
        await timed(f"changes since, none of {total:,}", 1, [ask(now)] * 1000)
        await timed(f"view after 50 of {total:,}", 20, [lambda: store.view(account, "INBOX")])
        one = [Uid(total // 3)]
        await store.expunge(account, INBOX, one, only_deleted=False)
        await timed(f"view after expunge of {total:,}", 20, [lambda: store.view(account, "INBOX")])


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--large", type=int, default=1_000_000)
    parser.add_argument("--directory", type=Path, default=None)
    options = parser.parse_args()
    base = Path(tempfile.mkdtemp(prefix="rmail-bench-", dir=options.directory))
    root = base / "store"
    ids = [AccountId(f"user{n}@example.com") for n in range(2)]
    sys.setswitchinterval(interpreter.SWITCH_S)
    try:
        asyncio.run(make_accounts(root, ids))
        asyncio.run(fill(root, ids[0], options.messages, files=True))
        asyncio.run(fill(root, ids[1], options.large, files=False))
        opening(root, ids[0], options.messages, 150)
        opening(root, ids[1], options.large, 1000)
        asyncio.run(changing(root, ids[0]))
        asyncio.run(asking(root, ids[1], options.large))
    finally:
        shutil.rmtree(base)


if __name__ == "__main__":
    main()
