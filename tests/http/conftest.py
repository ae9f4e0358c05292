"""Fixture `open_host`: starts hosts with the routes and settings of a test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest_asyncio

from rmail_kernel.clock import Clock
from rmail_kernel.http.routes import Route
from tests.http import site

OpenHost = Callable[..., Awaitable[site.Site]]


@pytest_asyncio.fixture
async def open_host(tmp_path: Path) -> AsyncIterator[OpenHost]:
    """`await open_host(*routes, clock=None, **sections)` gives a started `Site`."""
    opened: list[site.Site] = []

    async def open_one(*routes: Route, clock: Clock | None = None, **sections: Any) -> site.Site:
        settings = site.settings(tmp_path, **sections)
        opened.append(await site.open_site(settings, list(routes), clock))
        return opened[-1]

    yield open_one
    for one in opened:
        await one.close()
