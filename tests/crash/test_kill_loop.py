"""kill -9 of workers and supervisors under load: what was acknowledged is stored, once and whole.

`RMAIL_KILLS=200 pytest tests/crash` runs the long form.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rmail_kernel.auth import create_user
from tests.crash.ledger import (
    PASSWORD,
    USER,
    Clients,
    Ledger,
    check,
    flag_some,
    name_of,
    read_all,
)

KILLS = int(os.environ.get("RMAIL_KILLS", "6"))
READY_S = 30.0


class Installation:
    """A store and the server processes on it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.config = root / "config.json"
        self.process: subprocess.Popen[bytes] | None = None
        data = {
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
        self.config.write_text(json.dumps(data))

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

    def kill_one(self, chance: random.Random) -> None:
        """kill -9 of a random worker, or of the supervisor, which is then started anew."""
        assert self.process is not None
        workers = self.workers()
        if workers and chance.random() < 0.75:
            try:
                os.kill(chance.choice(workers), signal.SIGKILL)
            except ProcessLookupError:
                return
        else:
            self.process.kill()
            self.process.wait()
            self.start()

    def stop(self) -> None:
        """SIGTERM, and the end of it."""
        assert self.process is not None
        self.process.terminate()
        assert self.process.wait(60) == 0


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    made = Installation(tmp_path)
    user, _, domain = USER.partition("@")
    making = create_user(tmp_path / "store", user, domain, PASSWORD, quota_mb=10_000, bcrypt_cost=4)
    asyncio.run(making)
    return made


@pytest.mark.timeout(60 + 4 * KILLS)
def test_nothing_acknowledged_is_lost_and_no_uid_is_reused(installation: Installation) -> None:
    chance = random.Random(20260102)
    ledger = Ledger()
    installation.start()
    with Clients(installation.ports, ledger):
        for _ in range(KILLS):
            time.sleep(chance.uniform(0.1, 0.6))  # load between two kills is the test itself
            installation.kill_one(chance)
    for uid, _, raw in read_all(installation.ports()["imap"]):
        ledger.observe(uid, name_of(raw) or "torn")
    installation.stop()
    assert len(ledger.acknowledged) > KILLS
    before = _lose_database(installation, ledger)
    assert installation.rmail("fsck").returncode == 0
    installation.start()
    stored = read_all(installation.ports()["imap"])
    installation.stop()
    assert [(uid, flags) for uid, flags, _ in stored] == before
    assert before[0][1] == b"$Forwarded \\Flagged"
    check(ledger, stored)
    kept = len(ledger.acknowledged)
    print(f"{KILLS} kills, {kept} acknowledged, {len(stored)} stored")


def _lose_database(installation: Installation, ledger: Ledger) -> list[tuple[int, bytes]]:
    """Deletes the account's database between two runs; UIDs and flags as they were."""
    installation.start()
    flag_some(installation.ports()["imap"])
    before = read_all(installation.ports()["imap"])
    check(ledger, before)
    installation.stop()
    for path in (installation.root / "store/domains/example.com/users/alice").glob("account.db*"):
        path.unlink()
    return [(uid, flags) for uid, flags, _ in before]
