"""Two workers as real processes: what one does the other's sessions see, and one may die."""

from __future__ import annotations

import asyncio
import os
import signal
import smtplib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from rmail_kernel.testing import Transcript
from tests.installation import PASSWORD, USER, Installation, worker_of

MAX_SESSIONS = 80  # the kernel decides who accepts; so many never land on one worker


@pytest_asyncio.fixture
async def installation(tmp_path: Path) -> AsyncIterator[Installation]:
    made = await asyncio.to_thread(Installation, tmp_path)
    await asyncio.to_thread(made.start)
    try:
        yield made
    finally:
        await asyncio.to_thread(made.stop)


async def idle(installation: Installation) -> Transcript:
    """A session that waits in IDLE on an empty INBOX."""
    client = Transcript("127.0.0.1", installation.ports()["imap"])
    await client.__aenter__()
    await client.run(f"S: * OK *\nC: a LOGIN {USER} {PASSWORD}")
    await client.until("a OK *")
    await client.run("C: b SELECT INBOX")
    await client.until("b OK *")
    await client.run("C: c IDLE\nS: + *")
    return client


async def on_both(installation: Installation) -> dict[int, list[Transcript]]:
    """Waiting sessions by worker, at least one on each."""
    workers = installation.workers()
    found: dict[int, list[Transcript]] = {pid: [] for pid in workers}
    for _ in range(MAX_SESSIONS):
        client = await idle(installation)
        found[worker_of(client, workers)].append(client)
        if len(found) > 1 and all(found.values()):
            return found
    raise AssertionError("one worker takes every connection")


def send(installation: Installation) -> None:
    with smtplib.SMTP("127.0.0.1", installation.ports()["smtp"], timeout=10) as client:
        client.sendmail("x@remote.test", [USER], b"Subject: x\r\n\r\nHi\r\n")


async def test_idle_is_pushed_to_the_sessions_of_every_worker(installation: Installation) -> None:
    sessions = await on_both(installation)
    await asyncio.to_thread(send, installation)
    for client in [one for some in sessions.values() for one in some]:
        assert "* 1 EXISTS" in await client.until("* EXISTS")
        client.writer.close()


async def test_a_worker_that_dies_leaves_the_others_sessions_alone(
    installation: Installation,
) -> None:
    sessions = await on_both(installation)
    victim, survivor = sessions
    os.kill(victim, signal.SIGKILL)
    await asyncio.to_thread(send, installation)
    for client in sessions[survivor]:
        await client.until("* EXISTS")
        await client.run("C: DONE")
        await client.until("c OK *")
    for client in [*sessions[victim], *sessions[survivor]]:
        client.writer.close()
