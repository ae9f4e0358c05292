"""pytest fixtures for rmail and its plugins; active as soon as rmail is installed.

Override `rmail_plugins`, `rmail_extra_plugins` or `rmail_settings` to shape `rmail_server`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

if TYPE_CHECKING:
    from rmail_kernel.testing.clock import FakeClock
    from rmail_kernel.testing.dns import FakeDns
    from rmail_kernel.testing.hooks import HookRecorder
    from rmail_kernel.testing.mx import FakeMx
    from rmail_kernel.testing.postfix import Postfix
    from rmail_kernel.testing.server import RunningServer


def pytest_configure(config: pytest.Config) -> None:
    """Declares the marker of tests that need a program."""
    config.addinivalue_line("markers", "tool(*names): needs these programs to be installed")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A missing program skips a test by name, and fails it in CI."""
    for marker in item.iter_markers("tool"):
        for program in marker.args:
            _need(program)


def _need(program: str) -> None:
    if shutil.which(program) is None:
        text = f"needs the program {program}, which is not installed"
        if os.environ.get("CI"):
            pytest.fail(text)
        pytest.skip(text)


@pytest.fixture
def rmail_plugins() -> list[str]:
    """Plugins that `rmail_server` loads by name: all of smtp, imap and api that are installed."""
    from rmail_kernel.plugins import installed

    known = {plugin.name for plugin in installed()}
    return [name for name in ("smtp", "imap", "api") if name in known]


@pytest.fixture
def rmail_extra_plugins() -> dict[str, object]:
    """Plugin objects that `rmail_server` loads besides, by name."""
    return {}


@pytest.fixture
def rmail_settings() -> dict[str, Any]:
    """Settings in which `rmail_server` differs from its defaults, as in config.json."""
    return {}


@pytest.fixture
def rmail_hooks() -> HookRecorder:
    """A recorder of all hooks, loaded into `rmail_server`."""
    from rmail_kernel.testing.hooks import HookRecorder

    return HookRecorder()


@pytest.fixture
def rmail_clock() -> FakeClock:
    """A clock under the test's control; pass it on where it is wanted."""
    from rmail_kernel.testing.clock import FakeClock

    return FakeClock()


@pytest_asyncio.fixture
async def rmail_dns() -> AsyncIterator[FakeDns]:
    """A fake DNS server."""
    from rmail_kernel.testing.dns import FakeDns

    async with FakeDns() as server:
        yield server


@pytest_asyncio.fixture
async def rmail_mx() -> AsyncIterator[FakeMx]:
    """A fake mail exchanger."""
    from rmail_kernel.testing.mx import FakeMx

    async with FakeMx() as server:
        yield server


@pytest.fixture(scope="session")
def rmail_postfix() -> Iterator[Postfix]:
    """A real Postfix. Without root, which it needs, and without the program a test is skipped; in
    CI the program must be there.
    """
    _need("postfix")
    if os.geteuid() != 0:
        pytest.skip("needs root, to run Postfix")
    from rmail_kernel.testing.postfix import running

    with running() as postfix:
        yield postfix


@pytest_asyncio.fixture
async def rmail_server(
    tmp_path: Path,
    rmail_plugins: list[str],
    rmail_extra_plugins: dict[str, object],
    rmail_settings: dict[str, Any],
    rmail_hooks: HookRecorder,
) -> AsyncIterator[RunningServer]:
    """A whole server in this process, on free ports, with the accounts alice and bob."""
    from rmail_kernel.testing.server import RunningServer, make_settings

    settings = make_settings(tmp_path / "mailstore", rmail_plugins, rmail_settings)
    server = RunningServer(settings, {"recorder": rmail_hooks, **rmail_extra_plugins})
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
