"""Named steps at which a test can have the process die, as if by kill -9. Does nothing in a server.

`RMAIL_FAILPOINT=name:count` ends the process with status 137 the count-th time it gets there.
"""

from __future__ import annotations

import os

_armed: dict[str, int] = {}


def arm(name: str, count: int) -> None:
    """Has the process die at the `count`-th time of a step."""
    _armed[name] = count


def reach(name: str) -> None:
    """Marks a step."""
    if _armed and name in _armed:
        _armed[name] -= 1
        if _armed[name] <= 0:
            os._exit(137)


def _arm_from(given: str) -> None:
    name, _, count = given.partition(":")
    if name:
        arm(name, int(count or 1))


_arm_from(os.environ.get("RMAIL_FAILPOINT", ""))
