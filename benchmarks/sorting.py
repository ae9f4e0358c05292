"""SORT and THREAD of a large mailbox over IMAP, and how long they make others wait.

`python -m benchmarks.sorting [--messages N] [--directory DIR]`
A server of one worker; while one session sorts, a second one of another process sends NOOP after
NOOP: what it waits for an answer is how long the worker's loop stood still, and the way there and
back. Beside it: the time of the processor that the command took, and the memory of the worker.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import random
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks import servers
from benchmarks.imap_client import Client
from benchmarks.mailbox import link_files, make_shards, note_shards, report
from rmail_kernel.mime import MessageKeys, base_subject, encode_keys, encode_structure, summarise
from rmail_kernel.storage.filesystem import schema
from rmail_kernel.storage.filesystem.layout import AccountPaths
from rmail_kernel.storage.ids import AccountId

BOUND_MS = 20.0
TIMES = 3
_START = datetime(2020, 1, 1, tzinfo=UTC)
_WORDS = ("report", "invoice", "meeting", "über", "minutes", "lunch", "release", "question", "plan")
COMMANDS = (
    "SEARCH ALL",
    "SEARCH MODSEQ 1",
    "SEARCH RETURN (MIN MAX COUNT) ALL",
    "SEARCH RETURN (ALL) UNDELETED",
    "SEARCH RETURN (SAVE) ALL",
    "SORT (ARRIVAL) UTF-8 ALL",
    "SORT (SIZE) UTF-8 ALL",
    "SORT (DATE) UTF-8 ALL",
    "SORT (REVERSE DATE) UTF-8 ALL",
    "SORT (FROM) UTF-8 ALL",
    "SORT (TO) UTF-8 ALL",
    "SORT (CC) UTF-8 ALL",
    "SORT (SUBJECT) UTF-8 ALL",
    "SORT (DISPLAYFROM) UTF-8 ALL",
    "SORT (DISPLAYTO) UTF-8 ALL",
    "SORT (SUBJECT REVERSE DATE) UTF-8 ALL",
    "SORT (REVERSE SUBJECT REVERSE FROM SIZE) UTF-8 ALL",
    "UID SORT (REVERSE ARRIVAL) UTF-8 ALL",
    "UID SORT (DATE) UTF-8 UNSEEN SINCE 1-Jun-2020",
    "UID SORT (DATE) UTF-8 MODSEQ 1",
    "UID SORT RETURN (ALL) (SUBJECT) UTF-8 ALL",
    "UID SORT RETURN (PARTIAL 1:50) (REVERSE DATE) UTF-8 UNDELETED",
    "SORT RETURN (SAVE) (DATE) UTF-8 ALL",
    "THREAD ORDEREDSUBJECT UTF-8 ALL",
    "THREAD REFERENCES UTF-8 ALL",
    "THREAD REFS UTF-8 ALL",
    "UID THREAD REFERENCES UTF-8 UNDELETED SINCE 1-Jun-2020",
)


def messages(count: int) -> Iterator[tuple[MessageKeys, int, int]]:
    """Keys, arrival and size of invented messages: threads of a few, many with one subject."""
    draw = random.Random(1)
    chains: list[tuple[str, tuple[str, ...]]] = []
    for number in range(count):
        own = f"{number}.{draw.getrandbits(48):x}@mail.example.net"
        subject = f"{draw.choice(_WORDS)} {draw.choice(_WORDS)} {number // 20}"
        refers: tuple[str, ...] = ()
        if chains and draw.random() < 0.6:
            place = draw.randrange(len(chains))
            subject, refers = chains[place]
            chains[place] = subject, (*refers, own)[-20:]
            subject = f"Re: {subject}"
        else:
            chains.append((subject, (own,)))
            del chains[:-500]
        base, is_reply = base_subject(subject)
        sent_at = _START + timedelta(seconds=number * 600 + draw.randrange(-9000, 9000))
        sender = f"person{draw.randrange(2000)}"
        to = f"person{draw.randrange(50)}"
        keys = MessageKeys(
            own, refers, base, is_reply, sent_at, sender, to, "",
            f"{sender.title()} Sûrname", f"{to}@example.com",
        )  # fmt: skip
        yield keys, int(_START.timestamp()) + number * 600, draw.randrange(1000, 90_000)


def fill(root: Path, account: AccountId, count: int) -> None:
    """Makes a mailbox of `count` messages by rows, with files by links."""
    paths = AccountPaths.of(root, account)
    raw = b"From: a@example.org\r\nSubject: A message\r\n\r\nHello\r\n"
    make_shards(paths, count)
    link_files(paths, raw, count)
    found = summarise(raw)
    row = (found.raw_envelope, found.raw_body, found.raw_bodystructure, found.raw_headers)
    structure = encode_structure(found.structure)
    with closing(schema.connect(paths.database)) as db, db:
        for uid, (keys, at, size) in enumerate(messages(count), 1):
            db.execute(
                "INSERT INTO message (mailbox, uid, flags, modseq, named, size_bytes,"
                " internal_date, save_date) VALUES (1, ?, 0, 2, 0, ?, ?, ?)",
                (uid, size, at, at),
            )
            db.execute(
                "INSERT INTO digest (key, email, thread, keys) VALUES (?, ?, ?, ?)",
                (1 << 32 | uid, uid.to_bytes(16, "big"), uid, encode_keys(keys)),
            )
            db.execute(
                "INSERT INTO summary (key, envelope, body, bodystructure, headers,"
                " has_all_headers, structure) VALUES (?, ?, ?, ?, ?, 1, ?)",
                (1 << 32 | uid, *row, structure),
            )
        note_shards(db, paths)
        db.execute(
            "UPDATE mailbox SET uidnext=?, uid_reserved=?, total=?, unseen=?, size_bytes=?,"
            " highestmodseq=2 WHERE id=1",
            (count + 1, count + 1001, count, count, count * len(raw)),
        )
        db.execute(
            "UPDATE account SET modseq=2, used_bytes=?, used_messages=?", (count * len(raw), count)
        )


def probe(port: int, user: str, password: str, line: Connection) -> None:
    """A process: NOOP after NOOP; to each `True` it answers with the waits since the last."""
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.recv(4096)
        client.sendall(f"t LOGIN {user} {password}\r\n".encode())
        client.recv(4096)
        client.sendall(b"t SELECT INBOX\r\n")
        while b"t OK" not in client.recv(1 << 16):
            pass
        waits: list[float] = []
        line.send([])
        while True:
            started = time.perf_counter()
            client.sendall(b"t NOOP\r\n")
            client.recv(4096)
            waits.append((time.perf_counter() - started) * 1000)
            time.sleep(0.0005)
            if line.poll():
                if not line.recv():
                    return
                line.send(waits)
                waits = []


def cpu_s(pid: int) -> float:
    """Processor time of a process and its children that run."""
    total = 0.0
    for one in (pid, *_children(pid)):
        words = Path(f"/proc/{one}/stat").read_text().rsplit(")", 1)[1].split()
        total += (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
    return total


def memory_mb(pid: int) -> float:
    """The most memory that a process or one of its children has had."""
    found = []
    for one in (pid, *_children(pid)):
        status = Path(f"/proc/{one}/status").read_text()
        found.append(int(status.split("VmHWM:")[1].split()[0]) / 1024)
    return max(found)


def _children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def measure(client: Client, pid: int, line: Connection, command: str) -> None:
    """Prints what a command takes, and what the other session waits meanwhile."""
    line.send(True)
    line.recv()
    taken = []
    before = cpu_s(pid)
    for _ in range(TIMES):
        started = time.perf_counter()
        await client.command(command.encode())
        taken.append((time.perf_counter() - started) * 1000)
    spent = (cpu_s(pid) - before) * 1000 / TIMES
    line.send(True)
    waits = sorted(line.recv())
    worst, p99 = waits[-1], waits[len(waits) * 99 // 100]
    report(f"{command[:58]:<58}", worst, BOUND_MS)
    print(f"    {min(taken):7.0f} ms, CPU {spent:6.0f} ms, ", end="")
    print(f"p99 {p99:5.1f} ms, memory {memory_mb(pid):4.0f} MB")


async def run(port: int, pid: int, line: Connection) -> None:
    """Every command in turn."""
    (login, password) = servers.users(range(1))[0]
    client = await Client.login(port, login, password)
    await client.command(b"SELECT INBOX")
    await asyncio.sleep(1)
    await measure(client, pid, line, "NOOP")
    for command in COMMANDS:
        await measure(client, pid, line, command)
    await client.close()


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--directory", type=Path, default=None)
    options = parser.parse_args()
    base = Path(tempfile.mkdtemp(prefix="rmail-bench-", dir=options.directory))
    context = multiprocessing.get_context("spawn")
    try:
        with servers.large(base / "rmail", 1 << 20) as (pid, ports):
            (login, password), other = servers.users(range(1))[0], servers.users(range(1, 2))[0]
            asyncio.run(_touch(ports["imap"], login, password))
            fill(base / "rmail/store", AccountId(login), options.messages)
            mine, its = context.Pipe()
            process = context.Process(target=probe, args=(ports["imap"], *other, its))
            process.start()
            mine.recv()
            asyncio.run(run(ports["imap"], pid, mine))
            mine.send(False)
            process.join()
    finally:
        shutil.rmtree(base)


async def _touch(port: int, login: str, password: str) -> None:
    client = await Client.login(port, login, password)
    await client.command(b"SELECT INBOX")
    await client.close()


if __name__ == "__main__":
    main()
