"""A real installation: a store, a config file and the server's own processes."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from rmail_kernel.auth import create_user
from rmail_kernel.testing import Transcript

USER = "alice@example.com"
PASSWORD = "secret"
READY_S = 90.0
"""A start takes a second, and ten times as long on a machine that does much else."""


class Installation:
    """A store with the account USER, and two workers on it once started.

    Args:
        changes: settings that differ; sections are merged key by key.
    """

    def __init__(self, root: Path, changes: Mapping[str, Any] | None = None) -> None:
        self.root = root
        self.config = root / "config.json"
        self.process: subprocess.Popen[bytes] | None = None
        data: dict[str, Any] = {
            "mail_root": "store",
            "hostname": "mail.example.com",
            "domains": ["example.com"],
            "plugins": ["smtp", "imap", "api"],
            "workers": 2,
            "auth": {"bcrypt_cost": 4},
            "exchange_api": {"token_secret": "k" * 64},
            "process": {"drain_s": 5},
            "http": {"host": "127.0.0.1", "port": 0, "tls_port": None},
            "smtp": {"host": "127.0.0.1", "port": 0, "submission_port": None, "smtps_port": None},
            "imap": {"host": "127.0.0.1", "port": 0, "imaps_port": None},
            "log": {"level": "error"},
        }
        for key, value in (changes or {}).items():
            data[key] = {**data.get(key, {}), **value} if isinstance(value, Mapping) else value
        self.config.write_text(json.dumps(data))
        user, _, domain = USER.partition("@")
        store = root / "store"
        asyncio.run(create_user(store, user, domain, PASSWORD, quota_mb=10_000, bcrypt_cost=4))

    def rmail(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs a command on this installation."""
        command = [
            sys.executable,
            "-m",
            "rmail_kernel.cli",
            *arguments,
            "--config",
            str(self.config),
        ]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)

    def start(self) -> None:
        """Starts the server and waits until it says that it accepts."""
        ports = self.root / "store/run/ports.json"
        ports.unlink(missing_ok=True)
        command = [sys.executable, "-m", "rmail_kernel.cli", "run", "--config", str(self.config)]
        with (self.root / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stderr=log)
        deadline = time.monotonic() + READY_S
        while not ports.exists():
            assert self.process.poll() is None, (self.root / "log").read_text()[-2000:]
            assert time.monotonic() < deadline, "not ready in time"
            time.sleep(0.02)  # a file of another process: there is no event to wait for

    def ports(self) -> dict[str, int]:
        """Real ports by listener name."""
        found: dict[str, int] = json.loads((self.root / "store/run/ports.json").read_text())
        return found

    def workers(self) -> list[int]:
        """Process ids of the workers."""
        assert self.process is not None
        pid = self.process.pid
        try:
            return [int(x) for x in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        except FileNotFoundError:
            return []

    def stop(self) -> None:
        """SIGTERM, and the end of it."""
        assert self.process is not None
        self.process.terminate()
        assert self.process.wait(60) == 0


def worker_of(client: Transcript, workers: list[int]) -> int:
    """The process that has the other end of a connection."""
    host, port = client.writer.get_extra_info("sockname")[:2]
    mine = f"{int.from_bytes(bytes(map(int, host.split('.'))), 'little'):08X}:{port:04X}"
    inodes = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[2] == mine:
            inodes.add(f"socket:[{fields[9]}]")
    for pid in workers:
        for fd in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # it was closed meanwhile
                if os.readlink(fd) in inodes:
                    return pid
    raise AssertionError("no worker has this connection")
