"""`python -m benchmarks.outbound`: how fast a full queue empties into a sink, rmail and Postfix.

Both queues are filled while nothing can be sent; then the sink opens, and what counts is the rate
between its first message and its last. The sink is Postfix's own smtp-sink (Debian's package
`postfix`); Postfix needs root. Load goes to loopback only and is bounded.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import smtplib
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from benchmarks import servers
from rmail_kernel.testing.postfix import Postfix, running

FILLERS = 8
LONGEST_S = 180.0
_COUNT = re.compile(rb"mesg=(\d+)")


class Sink:
    """Takes mail and drops it; counts."""

    def __init__(self, port: int) -> None:
        user = ["-u", "nobody"] if os.geteuid() == 0 else []
        command = ["smtp-sink", *user, "-c", f"127.0.0.1:{port}", "256"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        os.set_blocking(self._process.stdout.fileno(), False)
        self._tail = b""

    def count(self) -> int:
        """Messages so far."""
        assert self._process.stdout is not None
        self._tail = (self._tail + (self._process.stdout.read() or b""))[-4096:]
        found = _COUNT.findall(self._tail)
        return int(found[-1]) if found else 0

    def rate(self, messages: int) -> float:
        """Messages a second between the first and the last."""
        begun_at, first = 0.0, 0
        deadline = time.monotonic() + LONGEST_S
        while time.monotonic() < deadline:
            count = self.count()
            if count and not first:
                begun_at, first = time.monotonic(), count
            if count >= messages:
                return (count - first) / (time.monotonic() - begun_at)
            time.sleep(0.005)
        raise SystemExit(f"only {self.count()} of {messages} messages came")

    def stop(self) -> None:
        """Ends it."""
        self._process.terminate()
        self._process.wait()


def fill(port: int, messages: int, size_bytes: int, login: tuple[str, str] | None) -> None:
    """Hands messages to a server, several at a time."""
    line = b"0123456789abcdef" * 4 + b"\r\n"
    raw = b"Subject: x\r\n\r\n" + line * (size_bytes // len(line))

    def some(count: int) -> None:
        with smtplib.SMTP("127.0.0.1", port, timeout=60) as client:
            if login is not None:
                client.login(*login)
            for _ in range(count):
                client.sendmail("u0@example.com", ["x@sink.test"], raw)

    with ThreadPoolExecutor(FILLERS) as pool:
        list(pool.map(some, [messages // FILLERS] * FILLERS))


def measured(sink_port: int, messages: int, release: Callable[[], None]) -> float:
    """Opens the sink, lets the queue go and watches."""
    sink = Sink(sink_port)
    try:
        time.sleep(0.3)  # it says nothing when it is ready
        release()
        return sink.rate(messages)
    finally:
        sink.stop()


def ours(folder: Path, messages: int, size_bytes: int, workers: int) -> float:
    """rmail's rate."""
    port = _free_port()
    with servers.relaying(folder / "rmail", port, workers) as (ports, rmail):
        fill(ports["submission"], messages, size_bytes, servers.users(range(1))[0])
        return measured(port, messages, lambda: rmail("queue", "flush"))


def theirs(messages: int, size_bytes: int) -> float:
    """Postfix's rate."""
    port = _free_port()
    transport = f"transport_maps = inline:{{ sink.test=smtp:[127.0.0.1]:{port} }}\n"
    with running(client_tls="none") as postfix:
        _configure(postfix, transport + "defer_transports = smtp\n")
        fill(postfix.port, messages, size_bytes, None)

        def release() -> None:
            _configure(postfix, transport)
            postfix.command("flush")

        return measured(port, messages, release)


def _configure(postfix: Postfix, more: str) -> None:
    postfix.configure(more)
    time.sleep(1.5)  # its daemons take new settings when they like


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def main() -> None:
    """Prints the rates, interleaved."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--messages", type=int, default=2000)
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    if shutil.which("smtp-sink") is None:
        raise SystemExit("smtp-sink is not installed (Debian: postfix)")
    messages = options.messages // FILLERS * FILLERS
    for _ in range(options.rounds):
        with _folder() as folder:
            rate = ours(folder, messages, options.size, options.workers)
        text = f"{options.size} bytes  rmail {rate:7.0f}/s"
        if os.geteuid() == 0:
            peer = theirs(messages, options.size)
            text += f"  Postfix {peer:7.0f}/s  ratio {rate / peer:5.2f}"
        print(text, flush=True)


if __name__ == "__main__":
    main()
