"""The kit for plugin authors: a whole server in process, fake DNS and MX, a clock, transcripts.

The fixtures are in `plugin.py` and active in every pytest run where rmail is installed; names load
when they are first used, so that a pytest run that needs none of them pays nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rmail_kernel.testing.clock import FakeClock
    from rmail_kernel.testing.dns import FakeDns
    from rmail_kernel.testing.hooks import HookRecorder
    from rmail_kernel.testing.mx import FakeMx
    from rmail_kernel.testing.mx_script import Received
    from rmail_kernel.testing.mx_steps import Drop, Endless, Hang, Raw, Take
    from rmail_kernel.testing.postfix import Postfix
    from rmail_kernel.testing.server import RunningServer, make_settings
    from rmail_kernel.testing.transcript import Transcript, trusting_context

_LAZY = {
    "Drop": "mx_steps",
    "Endless": "mx_steps",
    "FakeClock": "clock",
    "FakeDns": "dns",
    "FakeMx": "mx",
    "Hang": "mx_steps",
    "HookRecorder": "hooks",
    "Postfix": "postfix",
    "Raw": "mx_steps",
    "Received": "mx_script",
    "RunningServer": "server",
    "Take": "mx_steps",
    "Transcript": "transcript",
    "make_settings": "server",
    "trusting_context": "transcript",
}
__all__ = [
    "Drop",
    "Endless",
    "FakeClock",
    "FakeDns",
    "FakeMx",
    "Hang",
    "HookRecorder",
    "Postfix",
    "Raw",
    "Received",
    "RunningServer",
    "Take",
    "Transcript",
    "make_settings",
    "trusting_context",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
