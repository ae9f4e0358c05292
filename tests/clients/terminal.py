"""A program at a terminal of its own: what a person would type, when what they wait for shows."""

from __future__ import annotations

import asyncio
import os
import pty
import re
import signal
from collections.abc import Mapping, Sequence

_TIMEOUT_S = 30.0
_ROWS_COLUMNS = {"LINES": "40", "COLUMNS": "120", "TERM": "xterm-256color"}


async def at_terminal(
    command: list[str],
    steps: Sequence[tuple[str, bytes]],
    environment: Mapping[str, str],
) -> None:
    """Runs a program until it ends by itself.

    Args:
        command: the program and its arguments.
        steps: pairs of a pattern that must show on the screen, and what is typed then.
        environment: variables beside those of the terminal.

    Raises:
        AssertionError: a pattern does not show, or the program does not end.
    """
    pid, screen = pty.fork()
    if not pid:
        os.execvpe(command[0], command, {**os.environ, **_ROWS_COLUMNS, **environment})
    os.set_blocking(screen, False)
    try:
        await _play(screen, steps)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(screen)


async def _play(screen: int, steps: Sequence[tuple[str, bytes]]) -> None:
    shown = ""
    for pattern, typed in steps:
        while not (found := re.search(pattern, shown)):
            piece = await _read(screen, shown)
            assert piece is not None, f"{pattern!r} does not show: {shown[-2000:]}"
            shown += piece
        shown = shown[found.end() :]
        os.write(screen, typed)
    while (piece := await _read(screen, shown)) is not None:
        shown += piece


async def _read(screen: int, shown: str) -> str | None:
    """What the program writes next; None when it has ended."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(screen, ready.set)
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            await ready.wait()
    except TimeoutError:
        raise AssertionError(f"nothing happens at the terminal: {shown[-2000:]}") from None
    finally:
        loop.remove_reader(screen)
    try:
        return os.read(screen, 65536).decode("utf-8", "replace") or None
    except OSError:  # the other side is closed
        return None
