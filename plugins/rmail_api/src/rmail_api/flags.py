"""PATCH /folders/{folder}/messages/{uid}/flags: replaces a message's flags (RFC 9051 2.3.2)."""

from __future__ import annotations

from functools import partial

from aiohttp import web

from rmail_api.addressing import find_message
from rmail_kernel.errors import Invalid
from rmail_kernel.http import PRINCIPAL, Route, json_response, read_json
from rmail_kernel.http.payload import Body
from rmail_kernel.kernel import Kernel
from rmail_kernel.storage.mail import SYSTEM_FLAGS

MAX_FLAGS = 64
_SYSTEM = {name.lower(): name for name in SYSTEM_FLAGS}


def routes(kernel: Kernel) -> list[Route]:
    """The flags."""
    return [
        Route(
            "PATCH",
            "/folders/{folder}/messages/{uid}/flags",
            partial(replace_flags, kernel),
            summary="Replace the flags of a message.",
        )
    ]


class Flags(Body):
    """The flags and keywords that the message has from now on."""

    flags: list[str]


async def replace_flags(kernel: Kernel, request: web.Request) -> web.Response:
    """Sets the flags to exactly these.

    Raises:
        Invalid: not a flag. NotFound: no such folder or message.
    """
    body = await read_json(request, Flags)
    if len(body.flags) > MAX_FLAGS:
        raise Invalid(f"flags: are more than {MAX_FLAGS}")
    flags = sorted({_flag(name) for name in body.flags}, key=_order)
    view, uid = await find_message(kernel, request)
    await kernel.mail.store_flags(
        request[PRINCIPAL].account, view.mailbox, [uid], "set", frozenset(flags)
    )
    return json_response({"uid": uid, "flags": flags})


def _flag(name: str) -> str:
    """A flag as it is stored: system flags in their one spelling, whatever the case was."""
    if not name.startswith("\\"):
        return name
    if name.lower() not in _SYSTEM:
        raise Invalid(f"flags: {name[:40]!r} is not a flag that can be set")
    return _SYSTEM[name.lower()]


def _order(name: str) -> tuple[int, str]:
    known = list(SYSTEM_FLAGS)
    return (known.index(name) if name in SYSTEM_FLAGS else len(known), name)
