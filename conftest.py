"""All tests run on the event loop that workers use."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import uvloop


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """uvloop, whose transports differ from asyncio's in details that protocols can trip over."""
    return {"uvloop": uvloop.new_event_loop}
