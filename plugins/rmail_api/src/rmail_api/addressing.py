"""Folders and UIDs in URLs: `/folders/{folder}/messages/{uid}`."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web

from rmail_kernel.errors import Invalid, NotFound
from rmail_kernel.http import PRINCIPAL
from rmail_kernel.kernel import Kernel
from rmail_kernel.storage.ids import Uid
from rmail_kernel.storage.mail import MailboxStatus, MailboxView

MAX_UID = (1 << 32) - 1  # RFC 9051 9, uniqueid
_UID = re.compile(r"[1-9][0-9]{0,9}\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


async def find_folder(kernel: Kernel, request: web.Request) -> MailboxStatus:
    """The folder that the URL names, with its counters.

    Raises:
        NotFound: there is none.
    """
    with _folder(request) as name:
        return await kernel.mail.status(request[PRINCIPAL].account, name)


async def view_folder(kernel: Kernel, request: web.Request) -> MailboxView:
    """The messages of the folder that the URL names.

    Raises:
        NotFound: there is none.
    """
    with _folder(request) as name:
        return await kernel.mail.view(request[PRINCIPAL].account, name)


@contextmanager
def _folder(request: web.Request) -> Iterator[str]:
    """The name in the URL; one that no folder can have is one that is not there."""
    name = request.match_info["folder"]
    if _CONTROL.search(name):
        raise NotFound("There is no such folder")
    try:
        yield name
    except Invalid as error:
        raise NotFound("There is no such folder") from error


def uid_of(request: web.Request) -> Uid:
    """The UID that the URL names.

    Raises:
        NotFound: not a UID.
    """
    text = request.match_info["uid"]
    if not _UID.match(text) or int(text) > MAX_UID:
        raise NotFound("There is no such message")
    return Uid(int(text))


async def find_message(kernel: Kernel, request: web.Request) -> tuple[MailboxView, Uid]:
    """The folder and UID of the message that the URL names.

    Raises:
        NotFound: no such folder, or no such message in it.
    """
    uid = uid_of(request)
    view = await view_folder(kernel, request)
    at = bisect_left(view.uids, uid, 0, view.total)
    if at == view.total or view.uids[at] != uid:
        raise NotFound("There is no such message")
    return view, uid
