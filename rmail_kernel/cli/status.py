"""`rmail status`: whether a server runs, and what the store has. It looks, and changes nothing."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import time
from pathlib import Path
from typing import Any

from rmail_kernel.auth import lockout
from rmail_kernel.cli.options import DEFAULT_CONFIG, AsJson, Config
from rmail_kernel.cli.output import show_fields, show_json
from rmail_kernel.cli.session import Session, load_settings, open_session
from rmail_kernel.config import Settings
from rmail_kernel.process.presence import LOCK_FILE, PORTS_FILE


def status(config: Config = DEFAULT_CONFIG, as_json: AsJson = False) -> int:
    """Tell whether the server runs, with its processes and ports, and what the store has; exit
    code 1 when it does not run.
    """
    settings = load_settings(config)
    record = asyncio.run(_collect(settings))
    if as_json:
        show_json(record)
    else:
        show_fields(record | _in_words(record))
    return 0 if record["running"] else 1


async def _collect(settings: Settings) -> dict[str, Any]:
    pid = server_pid(settings.mail_root)
    async with open_session(settings) as session:
        return {
            "running": pid is not None,
            "pid": pid,
            "workers": children(pid) if pid else [],
            "ports": _ports(settings.mail_root) if pid else {},
            "store": str(settings.mail_root),
            "plugins": settings.plugins,
            "domains": await session.directory.domains(),
            "accounts": await _count_accounts(session),
            "bans": [
                {"ip": ban.ip, "account": ban.login or None, "seconds_left": round(ban.left_s)}
                for ban in await lockout.bans(session.state)
            ],
            "spooled": sum(1 for _ in (settings.mail_root / "spool").glob("*.msg")),
            "queue": [await _tally(session, kind) for kind in await session.queue.kinds()],
        }


def _in_words(record: dict[str, Any]) -> dict[str, Any]:
    bans = [
        f"{ban['ip']}{' as ' + ban['account'] if ban['account'] else ''} ({ban['seconds_left']} s)"
        for ban in record["bans"]
    ]
    queue = [
        f"{jobs['kind']}: {jobs['waiting']} waiting, {jobs['leased']} under way,"
        f" {jobs['held']} held, the oldest for {jobs['oldest_s']} s"
        for jobs in record["queue"]
    ]
    return {
        "ports": [f"{name} {port}" for name, port in record["ports"].items()],
        "bans": bans,
        "queue": queue,
    }


async def _tally(session: Session, kind: str) -> dict[str, Any]:
    """The jobs of a kind; the age of the oldest in seconds."""
    found = await session.queue.tally(kind)
    age_s = 0.0 if found.oldest_at is None else time.time() - found.oldest_at
    return {
        "kind": kind,
        "waiting": found.waiting,
        "leased": found.leased,
        "held": found.held,
        "oldest_s": max(0, round(age_s)),
    }


async def _count_accounts(session: Session) -> int:
    domains = await session.directory.domains()
    return sum([len(await session.directory.users(domain)) for domain in domains])


def server_pid(mail_root: Path) -> int | None:
    """The process that serves a store, or None. Its lock ends with it, so a stale file is harmless.

    Raises:
        OSError: the lock cannot be looked at.
    """
    try:
        descriptor = os.open(mail_root / "run" / LOCK_FILE, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.read(descriptor, 32).decode("ascii", "replace").strip()
        return int(text) if text.isdigit() else None
    finally:
        os.close(descriptor)
    return None


def children(pid: int) -> list[int]:
    """The child processes of a process, where the system tells (Linux)."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii")
    except OSError:
        return []
    return [int(word) for word in text.split()]


def _ports(mail_root: Path) -> dict[str, int]:
    try:
        found: dict[str, int] = json.loads((mail_root / "run" / PORTS_FILE).read_bytes())
    except FileNotFoundError:  # it is starting or ending
        return {}
    return found
