"""rmail's kernel: configuration, hooks, storage, accounts and delivery, on which every protocol
is a plugin.

The names below are what plugin authors use; importing them is cheap and loads nothing else.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from rmail_kernel.config import Section
    from rmail_kernel.hooks import hookimpl
    from rmail_kernel.kernel import Kernel
    from rmail_kernel.model import (
        Accept,
        Address,
        Annotate,
        Defer,
        Delivery,
        Discard,
        Envelope,
        Principal,
        Reject,
        SessionInfo,
        Stored,
        Submission,
    )

_LAZY = {
    "Accept": "model",
    "Address": "model",
    "Annotate": "model",
    "Defer": "model",
    "Delivery": "model",
    "Discard": "model",
    "Envelope": "model",
    "Kernel": "kernel",
    "Principal": "model",
    "Reject": "model",
    "Section": "config",
    "SessionInfo": "model",
    "Stored": "model",
    "Submission": "model",
    "hookimpl": "hooks",
}
__all__ = [
    "Accept",
    "Address",
    "Annotate",
    "Defer",
    "Delivery",
    "Discard",
    "Envelope",
    "Kernel",
    "Principal",
    "Reject",
    "Section",
    "SessionInfo",
    "Stored",
    "Submission",
    "__version__",
    "hookimpl",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
