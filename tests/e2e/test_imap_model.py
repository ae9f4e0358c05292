"""The model test of IMAP with the sessions on two workers, which see each other's changes only in
the store.

RMAIL_IMAP_MODEL_EXAMPLES sets how many runs there are.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings

from plugins.rmail_imap.tests.model import START, Step, Streams, World, steps
from rmail_kernel.testing import Transcript
from tests.installation import PASSWORD, USER, Installation, worker_of

EXAMPLES: Final = int(os.environ.get("RMAIL_IMAP_MODEL_EXAMPLES", "10"))
MAX_CONNECTIONS: Final = 80
"""The kernel decides who accepts; so many never land on one worker."""


async def connect(installation: Installation, number: int) -> Streams:
    """A connection to one worker or the other, by the number of its session."""
    workers = installation.workers()
    wanted = workers[number // 2 % len(workers)]
    spare: list[Transcript] = []
    try:
        for _ in range(MAX_CONNECTIONS):
            client = Transcript("127.0.0.1", installation.ports()["imap"])
            await client.__aenter__()
            await client.line()
            if worker_of(client, workers) == wanted:
                return client.reader, client.writer
            spare.append(client)
    finally:
        for client in spare:
            client.writer.close()
    raise AssertionError("one worker takes every connection")


@pytest.mark.timeout(max(120, EXAMPLES * 10))
def test_sessions_of_two_workers_believe_what_the_model_says(tmp_path: Path) -> None:
    installation = Installation(tmp_path, {"rate_limit": {"enabled": False}})
    runs = itertools.count()
    installation.start()
    try:
        with asyncio.Runner() as runner:

            @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
            @given(steps)
            def check(found: list[Step]) -> None:
                world = World(
                    lambda number: connect(installation, number),
                    f"{USER} {PASSWORD}",
                    f"r{next(runs)}",
                )
                runner.run(world.run([*START, *found]))

            check()
    finally:
        installation.stop()
    assert "Traceback" not in (tmp_path / "log").read_text()
