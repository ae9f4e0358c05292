"""PUT /admin/users/{username}/password: a new password, which ends sessions and tokens."""

from __future__ import annotations

from functools import partial

from aiohttp import web

from rmail_api.account_form import PATH, credentials_of, find_account, form_of
from rmail_kernel.http import Access, Route, json_response, read_json
from rmail_kernel.http.payload import Body
from rmail_kernel.kernel import Kernel


def routes(kernel: Kernel) -> list[Route]:
    """The password."""
    return [
        Route(
            "PUT",
            PATH + "/{username}/password",
            partial(change_password, kernel),
            Access.ADMIN,
            summary="Change a user's password.",
        )
    ]


class NewPassword(Body):
    """The password from now on."""

    password: str


async def change_password(kernel: Kernel, request: web.Request) -> web.Response:
    """Sets the password.

    Raises:
        Invalid: a password that cannot be one. NotFound.
    """
    body = await read_json(request, NewPassword)
    account = await find_account(kernel, request)
    kept = await credentials_of(kernel, body.password)
    changed = await kernel.directory.update(
        account, password_hash=kept.password_hash, scram=kept.scram
    )
    return json_response(form_of(changed))
