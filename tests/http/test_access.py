"""Who gets in: bearer tokens, Basic where a route allows it, administrators."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web

from rmail_kernel import hookimpl
from rmail_kernel.http import PRINCIPAL, SESSION, Access, Route
from rmail_kernel.kernel import Kernel
from rmail_kernel.testing import HookRecorder, RunningServer


async def _who(request: web.Request) -> web.Response:
    session = request[SESSION].principal
    assert session == request[PRINCIPAL]
    return web.Response(text=str(request[PRINCIPAL].address))


async def _anyone(request: web.Request) -> web.Response:
    assert PRINCIPAL not in request
    return web.Response(text=str(request[SESSION].principal))


class Doors:
    """One route of each kind."""

    @hookimpl
    def register_routes(self) -> list[Route]:
        return [
            Route("GET", "/public", _anyone, Access.PUBLIC),
            Route("GET", "/user", _who),
            Route("GET", "/basic", _who, allow_basic=True),
            Route("GET", "/admin", _who, Access.ADMIN, allow_basic=True),
        ]


@pytest.fixture
def rmail_plugins() -> list[str]:
    return []


@pytest.fixture
def rmail_extra_plugins() -> dict[str, object]:
    return {"doors": Doors()}


@pytest_asyncio.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


async def bearer(kernel: Kernel, user: str = "alice") -> str:
    from rmail_kernel.model import Address, Principal

    account = await kernel.directory.get(Address(user, "example.com"))
    assert account is not None
    principal = Principal(account.id, account.address, account.is_admin, account.credential_version)
    return "Bearer " + kernel.auth.issue_token(principal)[0]


class Caller:
    """Asks the server's doors."""

    def __init__(self, server: RunningServer, client: aiohttp.ClientSession) -> None:
        self.server, self.client = server, client

    async def get(self, path: str, authorization: str | None) -> tuple[int, str, Any]:
        headers = {} if authorization is None else {"Authorization": authorization}
        async with self.client.get(self.server.url(path), headers=headers) as answer:
            return answer.status, await answer.text(), answer.headers


@pytest.fixture
def caller(rmail_server: RunningServer, client: aiohttp.ClientSession) -> Caller:
    return Caller(rmail_server, client)


async def test_a_public_route_asks_nobody(caller: Caller) -> None:
    for authorization in (None, "Bearer rubbish"):
        assert (await caller.get("/public", authorization))[:2] == (200, "None")


async def test_a_token_opens_routes_of_users(caller: Caller) -> None:
    token = await bearer(caller.server.kernel)
    for given in (token, token.replace("Bearer", "bearer"), token.replace(" ", "   ")):
        assert (await caller.get("/user", given))[:2] == (200, "alice@example.com")


async def test_basic_is_accepted_only_where_a_route_allows_it(caller: Caller) -> None:
    right = basic("alice@example.com:secret")
    assert (await caller.get("/basic", right))[:2] == (200, "alice@example.com")
    assert (await caller.get("/user", right))[0] == 401
    token = await bearer(caller.server.kernel)
    assert (await caller.get("/basic", token))[0] == 200


async def test_the_challenge_names_what_a_route_takes(caller: Caller) -> None:
    _, _, fields = await caller.get("/user", None)
    assert fields["WWW-Authenticate"] == 'Bearer realm="rmail"'
    _, _, fields = await caller.get("/basic", None)
    assert fields["WWW-Authenticate"].startswith('Basic realm="rmail", charset="UTF-8"')


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Basic",
        "Basic !!!",
        "Basic " + base64.b64encode(b"no-colon").decode(),
        "Basic " + base64.b64encode(b"\xff\xfe:x").decode(),
        basic("alice@example.com:wrong"),
        basic("nobody@example.com:secret"),
        basic("alice@example.com\x00:secret"),
        basic(":"),
        "Bearer " + "x" * 8000,
        "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbGljZUBleGFtcGxlLmNvbSJ9.",
        "Digest username=alice",
    ],
)
async def test_everything_else_is_401(caller: Caller, authorization: str | None) -> None:
    status, body, fields = await caller.get("/basic", authorization)
    assert status == 401
    assert body.startswith('{"error":')
    assert "WWW-Authenticate" in fields


async def test_a_colon_in_the_password_and_unicode_are_part_of_it(caller: Caller) -> None:
    await caller.server.add_user("carol", password="pä:ss:wörd")
    assert (await caller.get("/basic", basic("carol@example.com:pä:ss:wörd")))[0] == 200


async def test_admin_routes_are_403_for_users(caller: Caller) -> None:
    await caller.server.add_user("root", admin=True)
    kernel = caller.server.kernel
    assert (await caller.get("/admin", await bearer(kernel)))[0] == 403
    assert (await caller.get("/admin", basic("alice:secret")))[0] == 403
    assert (await caller.get("/admin", await bearer(kernel, "root")))[0] == 200
    assert (await caller.get("/admin", None))[0] == 401


async def test_a_basic_login_is_told_to_plugins_with_protocol_and_peer(
    caller: Caller, rmail_hooks: HookRecorder
) -> None:
    await caller.get("/basic", basic("alice@example.com:secret"))
    (call,) = await rmail_hooks.wait_for("on_login")
    assert call["session"].protocol == "http"
    assert call["session"].peer_host == "127.0.0.1"


@pytest.mark.parametrize("rmail_settings", [{"rate_limit": {"whitelist": []}}])
async def test_failed_basic_logins_lock_out_with_429(caller: Caller) -> None:
    wrong = basic("alice@example.com:wrong")
    found = [(await caller.get("/basic", wrong))[0] for _ in range(6)]
    assert found == [401] * 5 + [429]
    status, _, fields = await caller.get("/basic", basic("alice@example.com:secret"))
    assert status == 429
    assert int(fields["Retry-After"]) > 0


async def test_https_serves_the_same_routes(caller: Caller) -> None:
    from rmail_kernel.testing import trusting_context

    url = f"https://127.0.0.1:{caller.server.ports['https']}/public"
    async with caller.client.get(url, ssl=trusting_context()) as answer:
        assert answer.status == 200


@pytest.mark.parametrize("rmail_extra_plugins", [{}])
async def test_without_routes_there_is_no_http(rmail_server: RunningServer) -> None:
    assert rmail_server.ports == {}
