"""`rmail dev`, `rmail run` and `rmail status` as real processes, and commands beside them."""

from __future__ import annotations

import imaplib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from rmail_kernel.cli import dev
from tests.cli.conftest import Rmail

_MAIN = "import sys; from rmail_kernel.cli import main; sys.exit(main())"
_FREE_PORTS = {
    f"RMAIL_{section.upper()}__{key.upper()}": "0"
    for section, keys in dev.PORTS.items()
    for key in keys
}


@pytest.fixture(autouse=True)
def _free_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in _FREE_PORTS.items():
        monkeypatch.setenv(name, value)


@contextmanager
def serving(folder: Path, *words: str) -> Iterator[dict[str, str]]:
    """A server in the folder; what it printed when it was ready, by first word."""
    process = subprocess.Popen(
        [sys.executable, "-c", _MAIN, *words],
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
        env=dict(os.environ),
    )
    assert process.stdout is not None
    try:
        yield _read_until(process.stdout, "login")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def _read_until(lines: Iterator[str], last: str) -> dict[str, str]:
    rows: dict[str, str] = {}
    for line in lines:
        name, _, value = line.strip().partition(" ")
        rows[name] = value.strip()
        if name == last:
            return rows
    raise AssertionError(f"it ended after {rows}")


def log_in(port: int, password: str, user: str = dev.LOGIN) -> str:
    client = imaplib.IMAP4("127.0.0.1", port)
    try:
        return client.login(user, password)[0]
    except imaplib.IMAP4.error as error:
        return str(error)
    finally:
        client.logout()


@pytest.mark.parametrize("workers", ["0", "2"])
def test_dev_makes_a_demo_and_prints_how_to_log_in(
    rmail: Rmail, folder: Path, workers: str
) -> None:
    with serving(folder, "dev", "--workers", workers) as printed:
        assert printed["login"] == "alice@example.com, password wonderland"
        assert {"smtp", "submission", "smtps", "imap", "imaps"} <= printed.keys()
        assert printed["http"].startswith("http://127.0.0.1:")
        assert "web" not in printed  # no plugin has pages
        port = int(printed["imap"].rpartition(":")[2])
        assert log_in(port, dev.PASSWORD) == "OK"

        status = rmail("status", "--json")
        assert status.code == 0
        assert status.data["running"]
        assert status.data["ports"]["imap"] == port
        assert status.data["accounts"] == 1
        assert len(status.data["workers"]) >= int(workers)
        assert "alice" not in rmail("status").err

        for nobody in ("", "bob"):
            assert "`rmail sessions` shows all" in rmail("sessions", "kick", nobody).failure()
        assert "no account bob@" in rmail("trace", "bob", "--seconds", "0.1").failure()
        heard = rmail("trace", "alice", "--seconds", "0.1")
        assert (heard.code, heard.out) == (0, "")
        assert "clients of alice@example.com say, for 0.1 s" in heard.err

        rmail("user", "passwd", dev.LOGIN, "--password", "other")
        assert log_in(port, "other") == "OK"
        assert log_in(port, dev.PASSWORD) != "OK"
        rmail("user", "add", "bob", "--password", "builder")
        assert log_in(port, "builder", "bob@example.com") == "OK"
    for words in (("sessions",), ("sessions", "kick", "alice"), ("trace", "alice")):
        assert "`rmail run` starts it" in rmail(*words).failure()
    stopped = rmail("status", "--json")
    assert stopped.code == 1
    assert not stopped.data["running"]


def test_dev_keeps_what_it_made_before(rmail: Rmail, folder: Path) -> None:
    with serving(folder, "dev", "--workers", "0"):
        config = (folder / "config.json").read_bytes()
    rmail("user", "passwd", dev.LOGIN, "--password", "other")
    with serving(folder, "dev", "--workers", "0") as printed:
        assert printed["login"] == "`rmail user list` shows the accounts"
    assert (folder / "config.json").read_bytes() == config
    data = json.loads(config)
    assert {data[section]["host"] for section in ("smtp", "imap", "http")} == {"127.0.0.1"}


def test_a_second_server_of_one_store_is_refused(rmail: Rmail, folder: Path) -> None:
    with serving(folder, "dev", "--workers", "0"):
        pid = rmail("status", "--json").data["pid"]
        line = rmail("run", "--workers", "0").refusal()
        assert f"process {pid}" in line


def test_status_of_a_store_that_nobody_serves(rmail: Rmail, store: Path) -> None:
    outcome = rmail("status")
    assert outcome.code == 1
    fields = dict(_fields(outcome.out.splitlines()))
    assert fields["running"] == "no"
    assert fields["domains"] == "example.com"
    assert fields["bans"] == "-"


def _fields(lines: Sequence[str]) -> Iterator[tuple[str, str]]:
    for line in lines:
        name, _, value = line.partition(" ")
        yield name, value.strip()


def test_status_looks_without_touching_the_lock(rmail: Rmail, store: Path) -> None:
    (store / "run").mkdir(exist_ok=True)
    (store / "run/supervisor.lock").write_text("12345\n")  # left behind by a killed server
    assert rmail("status", "--json").data["pid"] is None
