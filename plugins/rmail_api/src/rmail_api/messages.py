"""/folders/{folder}/messages: GET lists, newest first; POST appends a raw message (RFC 5322)."""

from __future__ import annotations

from functools import partial

from aiohttp import web

from rmail_api.addressing import find_folder, view_folder
from rmail_api.config import ApiSettings
from rmail_api.line_ends import LineEnds
from rmail_api.summary import SUMMARY_FIELDS, summary_of
from rmail_kernel.content import Content
from rmail_kernel.errors import Invalid, TooLarge
from rmail_kernel.http import PRINCIPAL, Route, json_response, query_int
from rmail_kernel.kernel import Kernel
from rmail_kernel.storage.ids import Uid
from rmail_kernel.storage.mail import AppendItem, Fetched

PATH = "/folders/{folder}/messages"
MAX_LIMIT = 1000
DEFAULT_LIMIT = 100
MAX_OFFSET = (1 << 32) - 1


def routes(kernel: Kernel) -> list[Route]:
    """List and append."""
    return [
        Route(
            "GET", PATH, partial(list_messages, kernel), summary="List messages, the newest first."
        ),
        Route(
            "POST",
            PATH,
            partial(append_message, kernel),
            max_body_bytes=None,
            summary="Append a raw message.",
        ),
    ]


async def list_messages(kernel: Kernel, request: web.Request) -> web.Response:
    """One page of a folder by descending UID, from the cached headers; no message is opened.

    Raises:
        Invalid: a bad offset or limit. NotFound: no such folder.
    """
    offset = query_int(request, "offset", 0, 0, MAX_OFFSET)
    limit = query_int(request, "limit", DEFAULT_LIMIT, 1, MAX_LIMIT)
    account = request[PRINCIPAL].account
    view = await view_folder(kernel, request)
    end = max(view.total - offset, 0)
    uids = [Uid(uid) for uid in view.uids[max(end - limit, 0) : end]]
    rows: list[Fetched] = []
    async for batch in kernel.mail.fetch(account, view.mailbox, uids, SUMMARY_FIELDS):
        rows.extend(batch)
    messages = [summary_of(row, view) for row in reversed(rows)]
    return json_response(
        {"messages": messages, "total": view.total, "offset": offset, "limit": limit}
    )


async def append_message(kernel: Kernel, request: web.Request) -> web.Response:
    """Stores the body as a message; durable when answered.

    Raises:
        NotFound: no such folder. Invalid: an empty body. TooLarge, QuotaExceeded: no room.
    """
    account = request[PRINCIPAL].account
    mailbox = await find_folder(kernel, request)
    content = await _receive(kernel, request)
    (stored,) = await kernel.mail.append(account, [AppendItem(mailbox.name, content)])
    return json_response(
        {"uid": stored.uid, "folder": mailbox.name, "uidvalidity": stored.uidvalidity}, 201
    )


async def _receive(kernel: Kernel, request: web.Request) -> Content:
    """The body, spooled while it arrives."""
    limit = kernel.section("api", ApiSettings).max_message_bytes
    if (request.content_length or 0) > limit:
        raise TooLarge(f"The message is larger than {limit} bytes")
    lines = LineEnds()
    with kernel.writer(limit) as writer:
        async for piece in request.content.iter_any():
            writer.write(lines.normalise(piece))
        if not writer.size:
            raise Invalid("The message is empty")
        return writer.finish()
