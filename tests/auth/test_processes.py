"""Several processes on one store: what one does, the others know."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from rmail_kernel.auth.lockout import unban
from rmail_kernel.auth.service import AuthService
from rmail_kernel.clock import Clock
from rmail_kernel.errors import AuthFailed, LockedOut
from rmail_kernel.kernel import Kernel
from tests.auth.conftest import LOCAL, PASSWORD, CountedPasswords, session

PEER = "192.0.2.1"
WORKER = """
import asyncio, sys
from pathlib import Path
from rmail_kernel.auth.passwords import hash_password
from rmail_kernel.auth.service import AuthService
from rmail_kernel.errors import AuthFailed
from rmail_kernel.clock import Clock
from tests.auth.conftest import close_kernel, open_kernel, session

async def main():
    kernel = await open_kernel(Path(sys.argv[1]), Clock())
    service = AuthService(kernel)
    for line in sys.stdin:
        verb, _, argument = line.strip().partition(" ")
        if verb == "passwd":
            account = await kernel.directory.by_id("alice@example.com")
            await kernel.directory.update(account, password_hash=hash_password(argument, 4))
            print("answer changed", flush=True)
        elif verb == "login":
            peer, _, secret = argument.partition(" ")
            try:
                await service.authenticate("alice", secret, session(peer))
                print("answer ok", flush=True)
            except AuthFailed as error:
                print("answer", type(error).__name__, flush=True)
    await close_kernel(kernel)

asyncio.run(main())
"""


class Worker:
    """Another process with an auth service of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def ask(self, line: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line.encode() + b"\n")
        async for raw_line in self._process.stdout:
            if raw_line.startswith(b"answer "):  # the rest is the log
                return raw_line.decode().removeprefix("answer ").strip()
        return "no answer"


@asynccontextmanager
async def worker(root: Path) -> AsyncIterator[Worker]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", WORKER, str(root)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    try:
        yield Worker(process)
    finally:
        await process.communicate(b"")  # closes its standard input
    assert process.returncode == 0


@pytest.fixture
def clock() -> Clock:
    """The wall clock, as in the other process."""
    return Clock()


async def test_a_password_changed_in_another_process_ends_remembered_logins_at_once(
    service: AuthService, passwords: CountedPasswords, root: Path
) -> None:
    async with worker(root) as other:
        principal = await service.authenticate("alice", PASSWORD, LOCAL)
        token, _ = service.issue_token(principal)
        await service.authenticate("alice", PASSWORD, LOCAL)
        assert len(passwords.checked) == 1
        assert await other.ask("passwd new password") == "changed"
        assert not await service.is_current(principal)
        with pytest.raises(AuthFailed):
            await service.check_token(token)
        with pytest.raises(AuthFailed):
            await service.authenticate("alice", PASSWORD, LOCAL)
        await service.authenticate("alice", "new password", LOCAL)
        assert len(passwords.checked) == 3


async def test_processes_lock_out_together_and_unban_reaches_all(
    service: AuthService, kernel: Kernel, root: Path
) -> None:
    async with worker(root) as other:
        for _ in range(2):
            assert await other.ask(f"login {PEER} wrong") == "AuthFailed"
            with pytest.raises(AuthFailed):
                await service.authenticate("alice", "wrong", session(PEER))
        assert await other.ask(f"login {PEER} wrong") == "AuthFailed"
        assert await other.ask(f"login {PEER} {PASSWORD}") == "LockedOut"
        with pytest.raises(LockedOut):
            await service.authenticate("alice", PASSWORD, session(PEER))
        await unban(kernel.state, PEER)
        assert await other.ask(f"login {PEER} {PASSWORD}") == "ok"
