"""Random commands of several sessions against a real server, compared with a simple model.

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
from rmail_kernel.testing import RunningServer
from rmail_kernel.testing.server import make_settings

EXAMPLES: Final = int(os.environ.get("RMAIL_IMAP_MODEL_EXAMPLES", "15"))


@pytest.mark.timeout(max(60, EXAMPLES * 4))
def test_sessions_believe_what_the_model_says(tmp_path: Path) -> None:
    options = {"rate_limit": {"enabled": False}, "log": {"level": "error"}}
    server = RunningServer(make_settings(tmp_path / "mailstore", ["imap"], options), {})
    runs = itertools.count()

    async def connect(_: int) -> Streams:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.ports["imap"])
        await reader.readline()
        return reader, writer

    with asyncio.Runner() as runner:
        runner.run(server.start())
        try:

            @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
            @given(steps)
            def check(found: list[Step]) -> None:
                world = World(connect, "alice secret", f"r{next(runs)}")
                runner.run(world.run([*START, *found]))

            check()
        finally:
            runner.run(server.stop())
