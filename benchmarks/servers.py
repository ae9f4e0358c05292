"""The servers that are measured: rmail on a store of its own, and Dovecot where it is installed."""

from __future__ import annotations

import asyncio
import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rmail_kernel.auth import create_user

USERS = 9
PASSWORD = "secret"
_READY_S = 30.0
_DOVECOT = """
base_dir = {dir}/run
state_dir = {dir}/run
log_path = {dir}/log
protocols = imap
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
mail_location = maildir:~/Maildir
first_valid_uid = 1
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid={user} gid={group} home={dir}/mail/%n
}}
namespace inbox {{
  inbox = yes
}}
service imap-login {{
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
"""


def users(names: range) -> list[tuple[str, str]]:
    """Logins u0, u1, ..."""
    return [(f"u{number}@example.com", PASSWORD) for number in names]


_LISTENER = {"host": "127.0.0.1", "port": 0}
_SETTINGS: dict[str, Any] = {
    "mail_root": "store",
    "domains": ["example.com"],
    "plugins": ["smtp", "imap"],
    "imap": {**_LISTENER, "imaps_port": None},
    "smtp": {**_LISTENER, "submission_port": None, "smtps_port": None},
    "log": {"level": "error"},
    "auth": {"bcrypt_cost": 4},
}


@contextmanager
def rmail(folder: Path) -> Iterator[int]:
    """A running rmail with the users of `users`; gives its IMAP port."""
    with _running(folder, _SETTINGS) as (_, ports):
        yield ports["imap"]


@contextmanager
def large(folder: Path, limit_bytes: int) -> Iterator[tuple[int, dict[str, int]]]:
    """A running rmail of one worker, all protocols, that takes messages of `limit_bytes`; gives its
    process id and ports.
    """
    more = {
        "plugins": ["smtp", "imap", "api"],
        "workers": 1,
        "http": _LISTENER | {"tls_port": None},
        "api": {"max_message_bytes": limit_bytes},
    }
    for plugin in ("imap", "smtp"):
        more[plugin] = _SETTINGS[plugin] | {"max_message_bytes": limit_bytes}
    with _running(folder, _SETTINGS | more) as found:
        yield found


@contextmanager
def relaying(
    folder: Path, smarthost_port: int, workers: int
) -> Iterator[tuple[dict[str, int], Callable[..., None]]]:
    """A running rmail that sends all foreign mail to a port of loopback; gives its ports and a
    function that runs a command of `rmail` beside it.
    """
    more = {
        "plugins": ["smtp", "relay"],
        "workers": workers,
        "tls": {"enabled": False},
        "smtp": _LISTENER | {"submission_port": 0, "smtps_port": None},
        "relay": {"smarthost": {"host": "127.0.0.1", "port": smarthost_port, "tls": "none"}},
    }

    def command(*words: str) -> None:
        end = ["--config", str(folder / "config.json")]
        subprocess.run([sys.executable, "-m", "rmail_kernel.cli", *words, *end], check=True)

    with _running(folder, {**_SETTINGS, **more}) as (_, ports):
        yield ports, command


@contextmanager
def _running(folder: Path, settings: Mapping[str, Any]) -> Iterator[tuple[int, dict[str, int]]]:
    folder.mkdir()
    config = folder / "config.json"
    config.write_text(json.dumps(settings))
    command = [sys.executable, "-m", "rmail_kernel.cli"]
    end = ["--config", str(config)]
    for user, password in users(range(USERS)):
        name, _, domain = user.partition("@")
        asyncio.run(create_user(folder / "store", name, domain, password, bcrypt_cost=4))
    with subprocess.Popen([*command, "run", *end]) as process:
        try:
            yield process.pid, _ports(folder / "store/run/ports.json", process)
        finally:
            process.terminate()


def _ports(path: Path, process: subprocess.Popen[bytes]) -> dict[str, int]:
    deadline = time.monotonic() + _READY_S
    while not path.exists():
        assert process.poll() is None, "rmail ended"
        assert time.monotonic() < deadline, "rmail is not ready"
        time.sleep(0.05)
    found: dict[str, int] = json.loads(path.read_text())
    return found


@contextmanager
def dovecot(folder: Path) -> Iterator[int | None]:
    """A running Dovecot (Maildir, default fsync) with the same users; None where there is none."""
    program = shutil.which("dovecot")
    if program is None or os.geteuid() != 0:
        yield None
        return
    (folder / "mail").mkdir(parents=True)
    (folder / "run").mkdir()
    owner = pwd.getpwnam("mail")
    os.chown(folder / "mail", owner.pw_uid, owner.pw_gid)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    values = {"dir": folder, "password": PASSWORD, "user": owner.pw_uid, "group": owner.pw_gid}
    (folder / "dovecot.conf").write_text(_DOVECOT.format(**values, port=port))
    with subprocess.Popen([program, "-F", "-c", str(folder / "dovecot.conf")]) as process:
        try:
            _wait(port)
            yield port
        finally:
            process.terminate()


def _wait(port: int) -> None:
    deadline = time.monotonic() + _READY_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            assert time.monotonic() < deadline, "not ready"
            time.sleep(0.05)
        else:
            return
