"""The one HTTP host that plugins mount their routes on.

Plugins use these names; importing them is cheap and starts nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rmail_kernel.http.client import base_url
    from rmail_kernel.http.errors import status_of
    from rmail_kernel.http.payload import json_response, query_int, read_json
    from rmail_kernel.http.routes import PRINCIPAL, SESSION, Access, Route

_LAZY = {
    "PRINCIPAL": "routes",
    "SESSION": "routes",
    "Access": "routes",
    "Route": "routes",
    "base_url": "client",
    "json_response": "payload",
    "query_int": "payload",
    "read_json": "payload",
    "status_of": "errors",
}
__all__ = [
    "PRINCIPAL",
    "SESSION",
    "Access",
    "Route",
    "base_url",
    "json_response",
    "query_int",
    "read_json",
    "status_of",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
