"""Whole servers as real processes, with the probe plugin installed beside them."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

LAUNCH = """
import json, sys
from pathlib import Path
from rmail_kernel.process import reload
from rmail_kernel.process.main import run

path = Path(sys.argv[1])
try:
    sys.exit(run(reload.load_file(path), path, int(sys.argv[2]),
                 lambda ports: print(json.dumps(ports), flush=True)))
except BrokenPipeError:
    sys.exit(1)
"""
WAIT_S = 30.0


class Client:
    """A connection to the probe: sends a word, reads a line."""

    def __init__(self, port: int, context: ssl.SSLContext | None = None) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=WAIT_S)
        if context is not None:
            self.socket = context.wrap_socket(self.socket)
        self._lines = self.socket.makefile("r")

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._lines.close()
        self.socket.close()

    def ask(self, word: str) -> str:
        """The answer to a word; empty when the server closed the connection."""
        self.socket.sendall(f"{word}\n".encode())
        return self.line()

    def line(self) -> str:
        """The next line."""
        with suppress(ConnectionError):
            return self._lines.readline().strip()
        return ""


class ServerProcess:
    """A server of its own process; the log lies in `log`."""

    def __init__(self, folder: Path, environ: dict[str, str]) -> None:
        self.mail_root = folder / "store"
        self.config = folder / "config.json"
        self.log = folder / "server.log"
        self.environ = environ
        self.ports: dict[str, int] = {}
        self._processes: list[subprocess.Popen[str]] = []

    def configure(self, **keys: Any) -> None:
        """Writes the config file; `keys` are of its top level."""
        data: dict[str, Any] = {"mail_root": "store", "plugins": ["probe"]}
        data |= {"process": {"drain_s": 20}, "log": {"format": "json"}}
        self.config.write_text(json.dumps(data | keys))

    def spawn(self, workers: int, *prefix: str, pass_fds: tuple[int, ...] = ()) -> None:
        """Starts a server without waiting; `prefix` is a command that runs it."""
        with self.log.open("a") as log:
            self._processes.append(
                subprocess.Popen(
                    [*prefix, sys.executable, "-c", LAUNCH, str(self.config), str(workers)],
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                    env=self.environ,
                    pass_fds=pass_fds,
                )
            )

    def start(self, workers: int, *prefix: str, pass_fds: tuple[int, ...] = ()) -> None:
        """Starts a server and waits until all its workers accept."""
        self.spawn(workers, *prefix, pass_fds=pass_fds)
        stdout = self.process.stdout
        assert stdout is not None
        readable, _, _ = select.select([stdout], [], [], WAIT_S)
        line = stdout.readline() if readable else ""
        assert line, self.log.read_text()
        self.ports = json.loads(line)

    @property
    def process(self) -> subprocess.Popen[str]:
        """The supervisor started last."""
        return self._processes[-1]

    def connect(self, listener: str = "probe", context: ssl.SSLContext | None = None) -> Client:
        """A new connection to the probe."""
        return Client(self.ports[listener], context)

    def pid(self) -> int:
        """The pid of a worker that accepts."""
        with self.connect() as client:
            return int(client.ask("pid"))

    def pids(self, count: int) -> set[int]:
        """The pids of `count` workers; asks new connections until all have answered."""
        found: set[int] = set()
        while len(found) < count:
            found.add(self.pid())
        return found

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal to the supervisor."""
        self.process.send_signal(number)

    def end(self) -> int:
        """The exit code of the supervisor, once it ended."""
        return self.process.wait(WAIT_S)

    def errors(self) -> str:
        """What the server wrote to standard error."""
        return self.log.read_text()

    def close(self) -> None:
        """Ends what is left."""
        for process in self._processes:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


def wait_for_end(pid: int) -> None:
    """Returns when a process that is not our child has ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        readable, _, _ = select.select([descriptor], [], [], WAIT_S)
        assert readable, f"process {pid} lives on"
    finally:
        os.close(descriptor)


@pytest.fixture
def probe_path(tmp_path: Path) -> Path:
    """A folder for PYTHONPATH that holds the probe as an installed distribution."""
    site = tmp_path / "site"
    info = site / "rmail_probe-1.0.dist-info"
    info.mkdir(parents=True)
    shutil.copy(Path(__file__).with_name("probe.py"), site / "rmail_probe.py")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: rmail-probe\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[rmail.plugins]\nprobe = rmail_probe:ProbePlugin\n")
    return site


@pytest.fixture
def server(tmp_path: Path, probe_path: Path) -> Iterator[ServerProcess]:
    """A server, not started, with the probe as its only plugin."""
    known = os.environ.get("PYTHONPATH", "")
    environ = {**os.environ, "PYTHONPATH": f"{probe_path}{os.pathsep}{known}"}
    made = ServerProcess(tmp_path, environ)
    made.configure()
    yield made
    made.close()


@pytest.fixture
def notifications(tmp_path: Path, server: ServerProcess) -> Iterator[socket.socket]:
    """What the server tells systemd."""
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(path))
        channel.settimeout(WAIT_S)
        server.environ["NOTIFY_SOCKET"] = str(path)
        yield channel
