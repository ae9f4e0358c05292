"""What a plugin says about one HTTP resource. Auth, JSON errors, CORS and limits are applied by
the host as middleware.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum

from aiohttp import web

from rmail_kernel.model import Principal, SessionInfo

PRINCIPAL = web.RequestKey("principal", Principal)
"""`request[PRINCIPAL]`: who calls; set on routes that are not public."""
SESSION = web.RequestKey("session", SessionInfo)
"""`request[SESSION]`: where the request comes from; set on every request."""


class Access(StrEnum):
    """Who may call a route."""

    PUBLIC = "public"
    USER = "user"  # Bearer token, or Basic when the route allows it
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Route:
    """One method and path of aiohttp's syntax ("/folders/{folder}/messages").

    Args:
        access: checked before the handler; the Principal is at `request[PRINCIPAL]`, the
            SessionInfo at `request[SESSION]`.
        allow_basic: HTTP Basic (RFC 7617) is accepted beside Bearer.
        max_body_bytes: larger bodies are refused with 413; None: the handler reads the stream and
            keeps its own limit.
        summary: one line for the API reference.
    """

    method: str
    path: str
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    access: Access = Access.USER
    allow_basic: bool = False
    max_body_bytes: int | None = 1 << 20
    summary: str = ""
