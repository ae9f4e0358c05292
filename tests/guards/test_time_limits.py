"""A test that hangs is ended by its time limit, on the loop that tests run on."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest


async def _hang() -> None:
    asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGUSR1)
    await asyncio.Event().wait()


def test_a_failure_in_a_signal_handler_ends_what_waits_for_ever(
    request: pytest.FixtureRequest,
) -> None:
    asked = {"config": request.config, "item": request.node}
    factories = request.config.hook.pytest_asyncio_loop_factories(**asked)
    before = signal.signal(signal.SIGUSR1, lambda *_: pytest.fail("the time is over"))
    try:
        with (
            asyncio.Runner(loop_factory=factories["uvloop"]) as runner,
            pytest.raises(pytest.fail.Exception, match="the time is over"),
        ):
            runner.run(_hang())
    finally:
        signal.signal(signal.SIGUSR1, before)
