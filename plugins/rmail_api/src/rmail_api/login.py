"""POST /auth/login: a password for a bearer token (RFC 6750, RFC 7519)."""

from __future__ import annotations

from functools import partial

from aiohttp import web

from rmail_kernel.errors import Invalid
from rmail_kernel.http import SESSION, Access, Route, json_response, read_json
from rmail_kernel.http.payload import Body
from rmail_kernel.kernel import Kernel

MAX_LOGIN_BYTES = 8192


def routes(kernel: Kernel) -> list[Route]:
    """The login."""
    return [
        Route(
            "POST",
            "/auth/login",
            partial(log_in, kernel),
            Access.PUBLIC,
            max_body_bytes=MAX_LOGIN_BYTES,
            summary="Exchange a user name and password for a token.",
        )
    ]


class Login(Body):
    """A user name, with its domain in it, beside it, or left to the first configured domain."""

    username: str
    password: str
    domain: str | None = None


async def log_in(kernel: Kernel, request: web.Request) -> web.Response:
    """Checks the password.

    Raises:
        Invalid: not such an object. AuthFailed, LockedOut: see the auth service.
    """
    body = await read_json(request, Login)
    principal = await kernel.auth.authenticate(_address(body), body.password, request[SESSION])
    token, expires_in = kernel.auth.issue_token(principal)
    return json_response(
        {
            "token": token,
            "username": principal.address.local,
            "domain": principal.address.domain,
            "expires_in": expires_in,
        }
    )


def _address(body: Login) -> str:
    if "@" in body.username:
        given = body.username.rpartition("@")[2]
        if body.domain and body.domain.lower() != given.lower():
            raise Invalid("domain: is not the domain of username")
        return body.username
    return f"{body.username}@{body.domain}" if body.domain else body.username
