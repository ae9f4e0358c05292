"""How the interpreter of a server process takes turns and collects garbage: for short waits."""

from __future__ import annotations

import gc
import sys
from typing import Final

SWITCH_S: Final = 0.001
"""After so long a thread that computes lets the event loop go on; Python's default is five times
as long, and the loop waits for it after each call into the system.
"""
_YOUNG: Final = 10_000
_OLDER: Final = 20


def settle() -> None:
    """To be called when everything is imported: that is not looked through again."""
    sys.setswitchinterval(SWITCH_S)
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, _OLDER, _OLDER)
