"""The authenticator as an installed plugin of a whole server, against a real HTTP service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer

from rmail_kernel.errors import AuthFailed, Temporary
from rmail_kernel.model import SessionInfo
from rmail_kernel.testing import RunningServer

SESSION = SessionInfo("test", "imap", peer_host="192.0.2.7")


class LoginService:
    """Answers with `status` and remembers what it was asked."""

    def __init__(self) -> None:
        self.status = 200
        self.asked: list[dict[str, Any]] = []

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(await request.json())
        return web.Response(status=self.status)


@pytest.fixture
def service() -> LoginService:
    return LoginService()


@pytest_asyncio.fixture
async def service_url(service: LoginService) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/check", service.answer)
    async with TestServer(app) as server:
        yield str(server.make_url("/check"))


@pytest.fixture
def rmail_plugins() -> list[str]:
    return ["imap", "http_auth"]


@pytest.fixture
def rmail_settings(service_url: str) -> dict[str, Any]:
    return {"http_auth": {"url": service_url}}


async def test_the_service_lets_a_user_in_with_its_own_secret(
    rmail_server: RunningServer, service: LoginService
) -> None:
    auth = rmail_server.kernel.auth
    principal = await auth.authenticate("alice@example.com", "one-time", SESSION)
    assert str(principal.address) == "alice@example.com"
    assert service.asked[0]["login"] == "alice@example.com"
    assert service.asked[0]["peer"] == "192.0.2.7"


async def test_the_service_refuses_even_the_right_password(
    rmail_server: RunningServer, service: LoginService
) -> None:
    service.status = 403
    with pytest.raises(AuthFailed):
        await rmail_server.kernel.auth.authenticate("alice@example.com", "secret", SESSION)


async def test_a_login_that_is_not_its_own_is_left_to_rmail(
    rmail_server: RunningServer, service: LoginService
) -> None:
    service.status = 404
    auth = rmail_server.kernel.auth
    assert await auth.authenticate("alice@example.com", "secret", SESSION)
    with pytest.raises(AuthFailed):
        await auth.authenticate("alice@example.com", "wrong", SESSION)


async def test_a_failing_service_is_a_temporary_failure(
    rmail_server: RunningServer, service: LoginService
) -> None:
    service.status = 500
    with pytest.raises(Temporary):
        await rmail_server.kernel.auth.authenticate("alice@example.com", "secret", SESSION)


async def test_a_bare_user_name_is_asked_as_an_address(
    rmail_server: RunningServer, service: LoginService
) -> None:
    await rmail_server.kernel.auth.authenticate("alice", "one-time", SESSION)
    assert service.asked[0]["login"] == "alice@example.com"
    with pytest.raises(AuthFailed):
        await rmail_server.kernel.auth.authenticate("no address", "secret", SESSION)
