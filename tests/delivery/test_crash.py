"""Killed at any step of a delivery to several recipients: each has the message once in the end."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from rmail_kernel.testing import HookRecorder, RunningServer, make_settings

RAW = b"Subject: hello\r\n\r\nbody\r\n"
USERS = ("alice", "bob")
# Delivers one message to both accounts and ends; what is killed on the way says nothing.
PROGRAM = """
import asyncio, os, sys
from pathlib import Path
from rmail_kernel import hookimpl
from rmail_kernel.testing import RunningServer, make_settings

class Killer:
    def __init__(self):
        self.alice = asyncio.Event()

    @hookimpl
    async def on_store(self, stored):
        self.alice.set()

    @hookimpl
    async def on_deliver(self, delivery):
        if delivery.account.startswith("bob"):
            await self.alice.wait()
            os._exit(137)

async def main(root, kills):
    plugins = {"killer": Killer()} if kills else {}
    server = RunningServer(make_settings(Path(root), []), plugins)
    await server.start()
    report = await server.deliver(%r, "alice@example.com", "bob@example.com")
    os._exit(0 if report.is_accepted else 1)

asyncio.run(main(sys.argv[1], sys.argv[2] == "kill"))
"""


async def _run(root: Path, *, kill: bool = False, failpoint: str = "") -> int:
    environ = {**os.environ, "RMAIL_FAILPOINT": failpoint}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM % RAW, str(root), "kill" if kill else "", env=environ
    )
    return await process.wait()


@pytest.fixture
async def made(tmp_path: Path) -> Path:
    """A store with its accounts, so that steps of making them are not among those that kill."""
    server = RunningServer(make_settings(tmp_path / "mailstore", []), {})
    await server.start()
    for user in USERS:
        assert await server.messages(user) == []
    await server.stop()
    return tmp_path / "mailstore"


async def _recovered(root: Path, hooks: HookRecorder) -> list[int]:
    """How many messages each account has once the spool is empty."""
    server = RunningServer(make_settings(root, []), {"recorder": hooks})
    waiting = list((root / "spool").glob("*.msg"))
    await server.start()
    try:
        if waiting:
            await hooks.wait_for("on_store", len(USERS))
        async with asyncio.timeout(20):
            while list((root / "spool").glob("*.msg")):  # they go after the hooks
                await asyncio.sleep(0)
        return [len(await server.messages(user)) for user in USERS]
    finally:
        await server.stop()


async def test_killed_between_two_recipients(made: Path, rmail_hooks: HookRecorder) -> None:
    assert await _run(made, kill=True) == 137
    assert len(list((made / "spool").glob("*.msg"))) == 1
    assert await _recovered(made, rmail_hooks) == [1, 1]


@pytest.mark.parametrize(
    "step",
    [
        "spool.written",
        "spool.named",
        "append.written",
        "append.landed",
        "commit.before",
        "commit.after",
        "commit.after:2",
        "spool.removed",
    ],
)
async def test_killed_at_a_step(made: Path, rmail_hooks: HookRecorder, step: str) -> None:
    assert await _run(made, failpoint=step) == 137
    # Before the entry has its name nothing was promised; from then on both get it.
    expected = [0, 0] if step == "spool.written" else [1, 1]
    assert await _recovered(made, rmail_hooks) == expected
