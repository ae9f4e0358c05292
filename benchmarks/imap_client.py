"""A bare IMAP client for measuring: it counts and checks answers, and does little else."""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass

MESSAGE_BYTES = 4096


def message(number: int) -> bytes:
    """A message of MESSAGE_BYTES with its own subject."""
    head = (
        f"From: Sender {number} <sender{number}@remote.test>\r\nTo: u0@example.com\r\n"
        f"Subject: Benchmark message {number}\r\nDate: Fri, 2 Jan 2026 03:04:05 +0000\r\n"
        f"Message-ID: <{number}@remote.test>\r\nMIME-Version: 1.0\r\n"
        "Content-Type: text/plain; charset=utf-8\r\n\r\n"
    ).encode()
    line = b"The quick brown fox jumps over the lazy dog, again and again.\r\n"
    return (head + line * (MESSAGE_BYTES // len(line) + 1))[: MESSAGE_BYTES - 2] + b"\r\n"


@dataclass(slots=True)
class Client:
    """One logged-in connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def login(cls, port: int, user: str, password: str) -> Client:
        """Connects and logs in."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 26)
        client = cls(reader, writer)
        await reader.readline()
        await client.command(f"LOGIN {user} {password}".encode())
        return client

    async def command(self, line: bytes) -> list[bytes]:
        """Sends a command; the untagged lines of its answer, literals joined in.

        Raises:
            AssertionError: the answer is not OK.
        """
        self.writer.write(b"t " + line + b"\r\n")
        lines: list[bytes] = []
        while True:
            raw = await self.reader.readline()
            while match := re.search(rb"\{(\d+)\}\r\n$", raw):
                raw += await self.reader.readexactly(int(match[1])) + await self.reader.readline()
            if raw.startswith(b"t "):
                assert raw.startswith(b"t OK"), raw
                return lines
            assert raw, "closed"
            lines.append(raw)

    async def append(self, mailbox: str, raw: bytes) -> None:
        """APPEND with a non-synchronising literal (RFC 7888)."""
        await self.command(b"APPEND %s {%d+}\r\n%s" % (mailbox.encode(), len(raw), raw))

    async def close(self) -> None:
        """Logs out."""
        await self.command(b"LOGOUT")
        self.writer.close()


async def timed_appends(port: int, users: list[tuple[str, str]], count: int) -> float:
    """Messages per second when each of `users` appends `count` messages to its INBOX at once."""
    clients = [await Client.login(port, user, password) for user, password in users]

    async def work(client: Client) -> None:
        for number in range(count):
            await client.append("INBOX", message(number))

    start = time.perf_counter()
    await asyncio.gather(*map(work, clients))
    seconds = time.perf_counter() - start
    for client in clients:
        await client.close()
    return len(users) * count / seconds


async def timed(client: Client, line: bytes, expected: int) -> float:
    """Seconds of one command, which must answer with `expected` untagged FETCH lines."""
    start = time.perf_counter()
    lines = await client.command(line)
    seconds = time.perf_counter() - start
    found = sum(b" FETCH " in line for line in lines)
    assert found == expected, f"{line!r}: {found} answers, not {expected}"
    return seconds
