"""Durable appends per second of the embedded store, beside what the disk itself can do.

`python benchmarks/store_append.py [--messages N] [--lanes N] [--directory DIR]`
Each raw figure is taken in the same run, right before: create + write + fsync + rename, one after
another and in 8 threads.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rmail_kernel.clock import Clock
from rmail_kernel.content import Content
from rmail_kernel.model import Address
from rmail_kernel.process.events import LocalEvents
from rmail_kernel.storage.accounts import Account
from rmail_kernel.storage.filesystem import FilesystemMailStore, prepare_root
from rmail_kernel.storage.filesystem.directory import FilesystemDirectory
from rmail_kernel.storage.ids import AccountId
from rmail_kernel.storage.mail import AppendItem

BODY = b"From: a@example.org\r\nTo: b@example.com\r\nSubject: A message\r\n\r\n" + b"x" * 4030
THREADS = 8


def raw(directory: Path, count: int, threads: int) -> float:
    """Files a second: create, write 4 KB, fsync, rename into a folder that is synced at the end."""
    target = directory / "target"
    target.mkdir(parents=True)

    def one(number: int) -> None:
        path = directory / f"{number}.tmp"
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        os.write(fd, BODY)
        os.fsync(fd)
        os.close(fd)
        path.rename(target / f"{number}.eml")

    started = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(one, range(count)))
    fd = os.open(target, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)
    return count / (time.perf_counter() - started)


async def _append(root: Path, account: AccountId, count: int, lanes: int) -> float:
    events, clock = LocalEvents(), Clock()
    directory = FilesystemDirectory(root, clock=clock, events=events)
    with ThreadPoolExecutor(THREADS) as pool:
        store = FilesystemMailStore(root, directory, events, clock, pool)
        await store.mailboxes(account)
        left = iter(range(count))
        started = time.perf_counter()

        async def lane() -> None:
            for _ in left:
                await store.append(account, [AppendItem("INBOX", Content.of(BODY))])

        await asyncio.gather(*(lane() for _ in range(lanes)))
        rate = count / (time.perf_counter() - started)
        await store.close()
    await directory.close()
    return rate


def _process(root: Path, account: AccountId, count: int, lanes: int) -> None:
    asyncio.run(_append(root, account, count, lanes))


def in_processes(root: Path, accounts: list[AccountId], count: int, lanes: int) -> float:
    """Appends a second of several processes together, start-up not counted by taking the slope."""
    context = multiprocessing.get_context("fork")

    def run(share: int) -> float:
        started = time.perf_counter()
        workers = [
            context.Process(target=_process, args=(root, account, share, lanes))
            for account in accounts
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return time.perf_counter() - started

    base = run(1)
    return count / max(run(count // len(accounts)) - base, 1e-9)


async def make_accounts(root: Path, ids: list[AccountId]) -> None:
    """Makes a store with these accounts."""
    prepare_root(root)
    directory = FilesystemDirectory(root, clock=Clock(), events=LocalEvents())
    await directory.add_domain("example.com")
    for name in ids:
        await directory.create(Account(name, Address.parse(name), "x", quota_mb=100_000))
    await directory.close()


def report(name: str, rate: float, reference: float) -> None:
    """Prints one line."""
    print(f"{name:<44} {rate:9.0f} /s   {rate / reference:5.2f} x raw")


def main() -> None:
    """Runs everything once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=2000)
    parser.add_argument("--lanes", type=int, default=64)
    parser.add_argument("--directory", type=Path, default=None)
    options = parser.parse_args()
    base = Path(tempfile.mkdtemp(prefix="rmail-bench-", dir=options.directory))
    try:
        ids = [AccountId(f"user{n}@example.com") for n in range(4)]
        asyncio.run(make_accounts(base / "store", ids))
        count, lanes = options.messages, options.lanes
        one = raw(base / "raw1", max(count // 4, 100), 1)
        many = raw(base / "raw8", count, THREADS)
        report("raw create+fsync+rename, 1 thread", one, one)
        report("raw create+fsync+rename, 8 threads", many, one)
        cases: list[tuple[str, Callable[[], float]]] = [
            ("1 process, 1 sender", lambda: asyncio.run(_append(base / "store", ids[0], 300, 1))),
            (
                f"1 process, {lanes} senders",
                lambda: asyncio.run(_append(base / "store", ids[0], count, lanes)),
            ),
            (
                f"2 processes x {lanes} senders, one mailbox",
                lambda: in_processes(base / "store", [ids[1]] * 2, count, lanes),
            ),
            (
                f"2 processes x {lanes} senders, own mailboxes",
                lambda: in_processes(base / "store", ids[1:3], count, lanes),
            ),
        ]
        for name, run in cases:
            report(name, run(), one)
    finally:
        shutil.rmtree(base)


if __name__ == "__main__":
    main()
