"""Named steps at which a test can have the process die, as if by kill -9. Does nothing in a server.

`RMAIL_FAILPOINT=name:count` ends the process with status 137 the count-th time it gets there.
"""

from __future__ import annotations

import os

_name, _, _count = os.environ.get("RMAIL_FAILPOINT", "").partition(":")
_left = int(_count or 1)


def reach(name: str) -> None:
    """Marks a step."""
    if _name:
        _reached(name)


def _reached(name: str) -> None:
    global _left  # noqa: PLW0603 - the process-wide countdown of a test
    if name != _name:
        return
    _left -= 1
    if _left <= 0:
        os._exit(137)
