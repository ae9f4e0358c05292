"""Background work and shutdown of a kernel."""

from __future__ import annotations

import asyncio

from rmail_kernel.config import build
from rmail_kernel.kernel import Kernel
from rmail_kernel.plugins import new_bus


def kernel() -> Kernel:
    """A kernel with nothing opened."""
    return Kernel(build({"process": {"drain_s": 1}}, {}, environ={}), new_bus())


async def test_a_closer_that_fails_keeps_no_other_from_closing() -> None:
    closed = []

    async def close() -> None:
        closed.append("first opened")

    async def fail() -> None:
        raise OSError("gone")

    one = kernel()
    one.closers += [close, fail]
    await one.stop()
    assert closed == ["first opened"]


async def test_shutdown_waits_for_work_that_tells_others_and_cancels_the_rest() -> None:
    told, cancelled = asyncio.Event(), asyncio.Event()

    async def tell() -> None:
        await asyncio.to_thread(lambda: None)
        told.set()

    async def go_on() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    one = kernel()
    one.spawn(go_on(), "endless")
    one.spawn(tell(), "telling", is_telling=True)
    await asyncio.to_thread(lambda: None)
    await one.stop()
    assert told.is_set()
    assert cancelled.is_set()


async def test_blocking_work_has_the_callers_context() -> None:
    import contextvars

    variable = contextvars.ContextVar("variable", default="none")
    variable.set("session")
    one = kernel()
    assert await one.run(variable.get) == "session"
    await one.stop()
