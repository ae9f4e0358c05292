"""Memory of a worker while large messages pass through it: SMTP DATA, IMAP APPEND and FETCH, the
API both ways.

`python -m benchmarks.large_messages [--megabytes 5 100] [--directory DIR]`
A server with one worker; each figure is what the worker's peak (VmHWM) lies above its memory
right before, beside the bound.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import aiohttp

from benchmarks import servers
from benchmarks.imap_client import Client

BOUND_MB = 32.0
LIMIT_BYTES = 128 << 20
_CHUNK = 1 << 18
_LINE = b"VGhlIHF1aWNrIGJyb3duIGZveCBqdW1wcyBvdmVyIHRoZSBsYXp5IGRvZyBhbmQgYWdhaW4gYQ==\r\n"
_HEAD = (
    b"From: Sender <sender@remote.test>\r\nTo: u0@example.com\r\nSubject: Large\r\n"
    b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n'
    b"--b\r\nContent-Type: text/plain\r\n\r\nSee the file.\r\n--b\r\n"
    b'Content-Type: application/octet-stream; name="large.bin"\r\n'
    b"Content-Transfer-Encoding: base64\r\n\r\n"
)
_END = b"--b--\r\n"


def size_of(megabytes: int) -> int:
    """The size of the message of about so many MB."""
    return len(_HEAD) + (megabytes << 20) // len(_LINE) * len(_LINE) + len(_END)


async def pieces(megabytes: int) -> AsyncIterator[bytes]:
    """The message, never whole in memory."""
    yield _HEAD
    lines = (megabytes << 20) // len(_LINE)
    at_once = _CHUNK // len(_LINE)
    for start in range(0, lines, at_once):
        yield _LINE * min(at_once, lines - start)
    yield _END


class Worker:
    """The only worker of a server."""

    def __init__(self, supervisor: int) -> None:
        children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
        (self.pid,) = map(int, children)

    def restart_peak(self) -> float:
        """Begins a new peak; what is in use now, in MB."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")
        return self._mb("VmRSS")

    def peak_mb(self) -> float:
        """The peak since."""
        return self._mb("VmHWM")

    def _mb(self, field: str) -> float:
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1]) / 1024
        raise AssertionError(field)


async def smtp_data(port: int, megabytes: int) -> None:
    """Delivers the message to u0."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def answer(code: bytes) -> None:
        while (line := await reader.readline())[3:4] == b"-":
            pass
        assert line.startswith(code), line

    await answer(b"220")
    for line, code in (
        (b"EHLO client.test", b"250"),
        (b"MAIL FROM:<sender@remote.test>", b"250"),
        (b"RCPT TO:<u0@example.com>", b"250"),
        (b"DATA", b"354"),
    ):
        writer.write(line + b"\r\n")
        await answer(code)
    async for piece in pieces(megabytes):
        writer.write(piece)
        await writer.drain()
    writer.write(b".\r\n")
    await answer(b"250")
    writer.write(b"QUIT\r\n")
    await answer(b"221")
    writer.close()


async def imap_append(port: int, megabytes: int) -> None:
    """Appends the message to u0's INBOX."""
    client = await Client.login(port, *servers.users(range(1))[0])
    client.writer.write(b"a APPEND INBOX {%d+}\r\n" % size_of(megabytes))
    async for piece in pieces(megabytes):
        client.writer.write(piece)
        await client.writer.drain()
    client.writer.write(b"\r\n")
    while not (line := await client.reader.readline()).startswith(b"a "):
        assert line, "closed"
    assert line.startswith(b"a OK"), line
    await client.close()


async def imap_fetch(port: int, megabytes: int) -> None:
    """Fetches the newest message of u0, the large one, and drops the bytes."""
    client = await Client.login(port, *servers.users(range(1))[0])
    await client.command(b"SELECT INBOX")
    client.writer.write(b"f FETCH * (BODY.PEEK[])\r\n")
    first = await client.reader.readline()
    left = int(first.rpartition(b"{")[2].rstrip(b"}\r\n"))
    assert left > megabytes << 19, first
    while left:
        left -= len(await client.reader.read(min(left, _CHUNK)))
    while not (line := await client.reader.readline()).startswith(b"f "):
        assert line, "closed"
    assert line.startswith(b"f OK"), line
    await client.close()


async def _logged_in(session: aiohttp.ClientSession) -> dict[str, str]:
    user, password = servers.users(range(1))[0]
    body = {"username": user, "password": password}
    async with session.post("/auth/login", json=body) as answer:
        found = await answer.json()
        assert answer.status == 200, found
    return {"Authorization": f"Bearer {found['token']}"}


async def api_upload(port: int, megabytes: int) -> None:
    """Uploads the message to u0's INBOX."""
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        headers = await _logged_in(session) | {"Content-Length": str(size_of(megabytes))}
        path = "/folders/INBOX/messages"
        async with session.post(path, data=pieces(megabytes), headers=headers) as answer:
            assert answer.status == 201, await answer.text()


async def api_download(port: int, megabytes: int) -> None:
    """Downloads the newest message of u0."""
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        headers = await _logged_in(session)
        path = "/folders/INBOX/messages"
        async with session.get(f"{path}?limit=1", headers=headers) as answer:
            uid = (await answer.json())["messages"][0]["uid"]
        async with session.get(f"{path}/{uid}", headers=headers) as answer:
            count = 0
            async for piece in answer.content.iter_chunked(_CHUNK):
                count += len(piece)
    assert count > megabytes << 19, count


WAYS: list[tuple[str, str, Callable[[int, int], Awaitable[None]]]] = [
    ("SMTP DATA", "smtp", smtp_data),
    ("IMAP FETCH BODY[]", "imap", imap_fetch),
    ("IMAP APPEND", "imap", imap_append),
    ("API upload", "http", api_upload),
    ("API download", "http", api_download),
]


async def measure(worker: Worker, ports: dict[str, int], megabytes: int) -> list[tuple[str, float]]:
    """MB of growth by way."""
    found = []
    for name, listener, way in WAYS:
        before = worker.restart_peak()
        await way(ports[listener], megabytes)
        found.append((f"{name}, {megabytes} MB", worker.peak_mb() - before))
    return found


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, nargs="+", default=[5, 100])
    parser.add_argument("--directory", type=Path, default=None)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="rmail-bench-", dir=options.directory) as base,
        servers.large(Path(base) / "rmail", LIMIT_BYTES) as (process, ports),
    ):
        worker = Worker(process)
        asyncio.run(measure(worker, ports, 1))  # what is loaded once is loaded by now
        for megabytes in options.megabytes:
            for name, grown in asyncio.run(measure(worker, ports, megabytes)):
                ratio = grown / BOUND_MB
                print(f"{name:<28} {grown:7.1f} MB   bound {BOUND_MB:.0f}   {ratio:5.2f} x")


if __name__ == "__main__":
    main()
