"""Who may call a route: Bearer tokens (RFC 6750) and, where a route allows it, Basic (RFC 7617)."""

from __future__ import annotations

import base64
import binascii
from dataclasses import replace

from aiohttp import web

from rmail_kernel.errors import AuthFailed, Denied
from rmail_kernel.http.routes import PRINCIPAL, SESSION, Access, Route
from rmail_kernel.kernel import Kernel
from rmail_kernel.model import Principal

REALM = "rmail"
_REQUIRED = "Authentication required"


def challenge(route: Route) -> str:
    """The WWW-Authenticate value of a route (RFC 9110 11.6.1)."""
    bearer = f'Bearer realm="{REALM}"'
    # RFC 7617 2.1: user names and passwords are UTF-8.
    return f'Basic realm="{REALM}", charset="UTF-8", {bearer}' if route.allow_basic else bearer


async def check_access(kernel: Kernel, route: Route, request: web.Request) -> None:
    """Sets `request[PRINCIPAL]` and the session's principal, as the route asks.

    Raises:
        AuthFailed, LockedOut: nobody, or not who they say. Denied: not an administrator.
    """
    if route.access is Access.PUBLIC:
        return
    principal = await _principal(kernel, route, request)
    if route.access is Access.ADMIN and not principal.is_admin:
        raise Denied("Admin privileges required")
    request[PRINCIPAL] = principal
    request[SESSION] = replace(request[SESSION], principal=principal)


async def _principal(kernel: Kernel, route: Route, request: web.Request) -> Principal:
    scheme, _, credentials = request.headers.get("Authorization", "").strip().partition(" ")
    credentials = credentials.strip()
    if scheme.lower() == "bearer" and credentials:
        return await kernel.auth.check_token(credentials)
    if scheme.lower() == "basic" and credentials and route.allow_basic:
        login, secret = _basic(credentials)
        return await kernel.auth.authenticate(login, secret, request[SESSION])
    raise AuthFailed(_REQUIRED)


def _basic(credentials: str) -> tuple[str, str]:
    """User name and password of Basic credentials (RFC 7617 2)."""
    try:
        text = base64.b64decode(credentials, validate=True).decode("utf-8")
    except (binascii.Error, ValueError) as error:
        raise AuthFailed("Malformed credentials") from error
    login, colon, secret = text.partition(":")
    if not colon:
        raise AuthFailed("Malformed credentials")
    return login, secret
