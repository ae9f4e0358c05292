"""The server's own retry task."""

from __future__ import annotations

from typing import Any

from rmail_kernel.delivery.recovery import PAUSES_S
from rmail_kernel.model import Defer
from rmail_kernel.testing import FakeClock, HookRecorder, RunningServer

RAW = b"Subject: hello\r\n\r\nbody\r\n"
BOTH = ("alice@example.com", "bob@example.com")


async def test_the_server_recovers_by_itself(
    server: RunningServer, sorter: Any, rmail_clock: FakeClock, rmail_hooks: HookRecorder
) -> None:
    sorter.rules["bob"] = lambda _: Defer("later")
    await server.deliver(RAW, *BOTH)
    sorter.rules.clear()
    rmail_clock.advance(PAUSES_S[0])
    await server.deliver(RAW, "alice@example.com")
    sorter.rules["alice"] = lambda _: Defer("later")
    await server.deliver(RAW, *BOTH)  # an entry that stays has the task look again
    calls = await rmail_hooks.wait_for("on_store", 4)
    assert sum(call["stored"].delivery.account == "bob@example.com" for call in calls) == 2
