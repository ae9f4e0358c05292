"""/folders/{folder}/messages/{uid}: GET gives the raw message (RFC 5322), whole, in a range or
only when it is new to the client (RFC 9110 13, 14); DELETE removes it for good.
"""

from __future__ import annotations

from functools import partial

from aiohttp import web

from rmail_api.addressing import find_folder, find_message, uid_of
from rmail_kernel.content import CHUNK_BYTES
from rmail_kernel.errors import NotFound
from rmail_kernel.http import PRINCIPAL, Route, json_response
from rmail_kernel.kernel import Kernel
from rmail_kernel.storage.mail import Field
from rmail_kernel.storage.reader import MessageReader

PATH = "/folders/{folder}/messages/{uid}"

_CACHE = {"Cache-Control": "private, no-cache"}  # kept by the client only, and asked for again


def routes(kernel: Kernel) -> list[Route]:
    """Read and delete."""
    return [
        Route("GET", PATH, partial(get_message, kernel), summary="Fetch a raw message."),
        Route("DELETE", PATH, partial(delete_message, kernel), summary="Delete a message."),
    ]


async def get_message(kernel: Kernel, request: web.Request) -> web.StreamResponse:
    """Streams the message. A message never changes, so its ETag is its UID and UIDVALIDITY.

    Raises:
        NotFound: no such folder or message.
    """
    view, uid = await find_message(kernel, request)
    etag = f'"{view.uidvalidity}-{uid}"'
    if _matches(request.headers.get("If-None-Match"), etag):
        return web.Response(status=304, headers={"ETag": etag, **_CACHE})
    account = request[PRINCIPAL].account
    async for batch in kernel.mail.fetch(account, view.mailbox, [uid], Field.CONTENT):
        for row in batch:
            if row.content is not None:
                return await _send(request, row.content, etag)
    raise NotFound("There is no such message")  # it was removed after the look at the folder


async def delete_message(kernel: Kernel, request: web.Request) -> web.Response:
    """Removes the message, with no way back.

    Raises:
        NotFound: no such folder or message.
    """
    account, uid = request[PRINCIPAL].account, uid_of(request)
    mailbox = await find_folder(kernel, request)
    removed, _ = await kernel.mail.expunge(account, mailbox.id, [uid], only_deleted=False)
    if not removed:
        raise NotFound("There is no such message")
    return json_response({"deleted": uid})


async def _send(request: web.Request, content: MessageReader, etag: str) -> web.StreamResponse:
    try:
        span = _range(request, content.size, etag)
        headers = {"ETag": etag, "Accept-Ranges": "bytes", **_CACHE}
        if span is not None and span.start >= span.stop:
            where = {"Content-Range": f"bytes */{content.size}", "ETag": etag}
            return json_response({"error": "The range is outside of the message"}, 416, where)
        response = web.StreamResponse(status=200 if span is None else 206, headers=headers)
        response.content_type = "message/rfc822"
        if span is not None:
            last = span.stop - 1
            response.headers["Content-Range"] = f"bytes {span.start}-{last}/{content.size}"
        await _stream(request, response, content, span or range(content.size))
        return response
    finally:
        content.close()


async def _stream(
    request: web.Request, response: web.StreamResponse, content: MessageReader, span: range
) -> None:
    response.content_length = len(span)
    await response.prepare(request)
    if request.method == "HEAD":
        return
    for start in range(span.start, span.stop, CHUNK_BYTES):
        await response.write(await content.read(start, min(start + CHUNK_BYTES, span.stop)))
    await response.write_eof()


def _range(request: web.Request, size: int, etag: str) -> range | None:
    """The one range that is asked for (RFC 9110 14.2); None: all, an empty one: unsatisfiable.

    A range that does not parse, or stands for another version (If-Range), is as if absent.
    """
    if request.method != "GET" or request.headers.get("If-Range", etag) != etag:
        return None
    try:
        asked = request.http_range
    except ValueError:
        return None
    if asked.start is None and asked.stop is None:
        return None
    if asked.start == 0 and asked.stop is None and "=-" in request.headers["Range"]:
        return range(0)  # RFC 9110 14.1.2: of the last 0 bytes nothing can be sent
    start, stop, _ = asked.indices(size)
    return range(start, stop)


def _matches(value: str | None, etag: str) -> bool:
    """If-None-Match: any of the listed tags, compared weakly (RFC 9110 13.1.2)."""
    if value is None:
        return False
    tags = [tag.strip().removeprefix("W/") for tag in value.split(",")]
    return "*" in tags or etag in tags
