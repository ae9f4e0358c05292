"""/admin/users/{username}: GET, PATCH and DELETE of one user."""

from __future__ import annotations

from functools import partial

import msgspec
from aiohttp import web

from rmail_api.account_form import PATH, checked_quota, find_account, form_of
from rmail_kernel.http import Access, Route, json_response, read_json
from rmail_kernel.http.payload import Body
from rmail_kernel.kernel import Kernel


def routes(kernel: Kernel) -> list[Route]:
    """Read, change and delete."""
    path = PATH + "/{username}"
    return [
        Route("GET", path, partial(get_user, kernel), Access.ADMIN, summary="Get a user."),
        Route("PATCH", path, partial(change_user, kernel), Access.ADMIN, summary="Change a user."),
        Route(
            "DELETE",
            path,
            partial(delete_user, kernel),
            Access.ADMIN,
            summary="Delete a user and all their data.",
        ),
    ]


class UserChange(Body):
    """Only the fields that are given are changed."""

    enabled: bool | msgspec.UnsetType = msgspec.UNSET
    admin: bool | msgspec.UnsetType = msgspec.UNSET
    quota_mb: int | msgspec.UnsetType = msgspec.UNSET


async def get_user(kernel: Kernel, request: web.Request) -> web.Response:
    """One user. NotFound."""
    return json_response(form_of(await find_account(kernel, request)))


async def change_user(kernel: Kernel, request: web.Request) -> web.Response:
    """Changes fields; disabling ends the user's sessions and tokens.

    Raises:
        Invalid: a bad field. NotFound.
    """
    body = await read_json(request, UserChange)
    account = await find_account(kernel, request)
    changes: dict[str, object] = {}
    if body.enabled is not msgspec.UNSET:
        changes["is_enabled"] = body.enabled
    if body.admin is not msgspec.UNSET:
        changes["is_admin"] = body.admin
    if body.quota_mb is not msgspec.UNSET:
        changes["quota_mb"] = checked_quota(body.quota_mb)
    if changes:
        account = await kernel.directory.update(account, **changes)
    return json_response(form_of(account))


async def delete_user(kernel: Kernel, request: web.Request) -> web.Response:
    """Removes the account with its mail. NotFound."""
    account = await find_account(kernel, request)
    await kernel.directory.delete(account.id)
    return json_response({"deleted": account.address.local, "domain": account.address.domain})
