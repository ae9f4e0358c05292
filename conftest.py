"""All tests run on the event loop that workers use; none fails because the machine is slow."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import uvloop
from hypothesis import HealthCheck, settings

settings.register_profile(
    "unhurried", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("unhurried")


class _Loop(uvloop.Loop):
    """As workers have it, but that a test which takes too long is ended: its time limit is an
    exception in the handler of a signal, which uvloop would log and nothing else.
    """

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, pytest.fail.Exception):
            raise error
        super().call_exception_handler(context)


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """uvloop, whose transports differ from asyncio's in details that protocols can trip over."""
    return {"uvloop": _Loop}
