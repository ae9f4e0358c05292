"""GET /folders: the mailboxes with their counters."""

from __future__ import annotations

from functools import partial

from aiohttp import web

from rmail_kernel.http import PRINCIPAL, Route, json_response
from rmail_kernel.kernel import Kernel


def routes(kernel: Kernel) -> list[Route]:
    """The list of folders."""
    return [
        Route("GET", "/folders", partial(list_folders, kernel), summary="List folders with counts.")
    ]


async def list_folders(kernel: Kernel, request: web.Request) -> web.Response:
    """All folders, INBOX first, the others by name."""
    found = await kernel.mail.mailboxes(request[PRINCIPAL].account)
    folders = [{"name": one.name, "total": one.total, "unread": one.unseen} for one in found]
    return json_response({"folders": folders})
