"""Errors as HTTP answers: one table from the kernel's error classes to status codes, and JSON
bodies `{"error": "..."}`. Never the text of a foreign exception, never a traceback.

RFC 9110 15 (status codes), RFC 6585 4 (429).
"""

from __future__ import annotations

import math
import secrets

import structlog
from aiohttp import web

from rmail_kernel import errors
from rmail_kernel.errors import RmailError
from rmail_kernel.http.payload import json_response

_log = structlog.get_logger("rmail.http")

STATUS: dict[type[RmailError], int] = {
    errors.RmailError: 500,
    errors.Invalid: 400,
    errors.LimitReached: 400,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.Denied: 403,
    errors.AuthFailed: 401,
    errors.LockedOut: 429,
    errors.QuotaExceeded: 413,
    errors.TooLarge: 413,
    errors.RateLimited: 429,
    errors.ReadOnly: 403,
    errors.Temporary: 503,
    errors.Unsupported: 501,
    errors.Corrupt: 500,
    errors.ConfigError: 500,
    errors.PluginError: 500,
}
"""Status of each error class; a class that is not named has that of its nearest base."""

TEMPORARY_RETRY_S = 5.0
_TEXTS = {
    404: "Not found",
    405: "Method not allowed",
    408: "The request took too long",
    413: "The body is too large",
}


def status_of(error: RmailError | type[RmailError]) -> int:
    """The HTTP status of an error, looked up along its classes."""
    kind = error if isinstance(error, type) else type(error)
    return next(STATUS[base] for base in kind.__mro__ if base in STATUS)


def known_error(error: RmailError, challenge: str = "Bearer") -> web.Response:
    """The answer to an error that rmail raised on purpose.

    Args:
        challenge: value of WWW-Authenticate when the answer is 401 (RFC 9110 11.6.1).
    """
    status = status_of(error)
    if status == 500:
        return unexpected_error(error)
    _log.debug("request refused", status=status, error=error.safe, **_prefixed(error.fields))
    headers: dict[str, str] = {}
    if status == 401:
        headers["WWW-Authenticate"] = challenge
    if isinstance(error, errors.LockedOut | errors.RateLimited):
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
    elif status == 503:
        headers["Retry-After"] = str(math.ceil(TEMPORARY_RETRY_S))
    return json_response({"error": error.safe}, status, headers)


def unexpected_error(error: BaseException) -> web.Response:
    """The answer to an error that nobody foresaw: its traceback goes to the log under an id, the
    id to the client.
    """
    error_id = secrets.token_hex(6)
    fields = _prefixed(error.fields) if isinstance(error, RmailError) else {}
    _log.error("request failed", error_id=error_id, exc_info=error, **fields)
    return json_response({"error": "Internal server error", "id": error_id}, 500)


def http_error(error: web.HTTPException) -> web.Response:
    """aiohttp's own 4xx and 5xx (no such route, body too large, ...) as JSON, with its headers."""
    text = _TEXTS.get(error.status, error.reason)
    headers = {
        name: value
        for name, value in error.headers.items()
        if name.lower() not in ("content-type", "content-length")
    }
    return json_response({"error": text}, error.status, headers)


def is_plain(error: web.HTTPException) -> bool:
    """Whether the exception is an error with aiohttp's default text, rather than a page of a
    plugin or a redirect.
    """
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return True  # raised by request.read() beyond client_max_size
    return error.status >= 400 and error.text == f"{error.status}: {error.reason}"


def _prefixed(fields: dict[str, object]) -> dict[str, object]:
    """Fields of an error must not clash with the log's own names."""
    return {f"error_{name}": value for name, value in fields.items()}
