"""/admin/users: GET lists the users of a domain, POST makes one."""

from __future__ import annotations

import re
from functools import partial

from aiohttp import web

from rmail_api.account_form import (
    PATH,
    checked_domain,
    checked_quota,
    credentials_of,
    domain_of,
    form_of,
)
from rmail_kernel.errors import Invalid
from rmail_kernel.http import Access, Route, json_response, read_json
from rmail_kernel.http.payload import Body
from rmail_kernel.kernel import Kernel
from rmail_kernel.model import Address
from rmail_kernel.storage.accounts import Account
from rmail_kernel.storage.ids import AccountId

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?\Z")


def routes(kernel: Kernel) -> list[Route]:
    """List and create."""
    return [
        Route(
            "GET",
            PATH,
            partial(list_users, kernel),
            Access.ADMIN,
            summary="List the users of a domain.",
        ),
        Route("POST", PATH, partial(create_user, kernel), Access.ADMIN, summary="Create a user."),
    ]


class NewUser(Body):
    """An account to make."""

    username: str
    password: str
    domain: str
    admin: bool = False
    quota_mb: int = 1024


async def list_users(kernel: Kernel, request: web.Request) -> web.Response:
    """The users, sorted by name.

    Raises:
        NotFound: no such domain.
    """
    found = await kernel.directory.users(domain_of(request))
    return json_response({"users": [form_of(account) for account in found]})


async def create_user(kernel: Kernel, request: web.Request) -> web.Response:
    """Makes an account.

    Raises:
        Invalid: a bad field, or a domain that is not served here. Conflict: the user exists.
    """
    body = await read_json(request, NewUser)
    if not _NAME.match(body.username):
        raise Invalid(
            "username: must be 1 to 64 of a-z 0-9 . _ - with a letter or digit at both ends"
        )
    address = Address(body.username, checked_domain(body.domain))
    if not await kernel.directory.has_domain(address.domain):
        raise Invalid(f"domain: {address.domain} is not served here")
    kept = await credentials_of(kernel, body.password)
    account = Account(
        AccountId(address.key),
        address,
        kept.password_hash,
        scram=kept.scram,
        is_admin=body.admin,
        quota_mb=checked_quota(body.quota_mb),
    )
    return json_response(form_of(await kernel.directory.create(account)), 201)
