"""OAUTHBEARER and XOAUTH2 with the server's own tokens."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rmail_kernel.auth.sasl import Challenge
from rmail_kernel.auth.service import AuthService
from rmail_kernel.errors import AuthFailed, Invalid, LockedOut
from rmail_kernel.model import Principal
from rmail_kernel.storage.ids import AccountId
from rmail_kernel.testing.clock import FakeClock
from tests.auth.conftest import LOCAL, PASSWORD, session

ALICE = AccountId("alice@example.com")
FORMS = {
    "OAUTHBEARER": "n,a={login},\x01host=mail.test\x01port=993\x01auth=Bearer {token}\x01\x01",
    "XOAUTH2": "user={login}\x01auth=Bearer {token}\x01\x01",
}


@pytest.fixture
def clock() -> FakeClock:
    # Accounts are made a moment later, by the true time; no token may be older than its account.
    return FakeClock(datetime.now(UTC) + timedelta(minutes=1))


@pytest.fixture
def sections() -> dict[str, Any]:
    return {"rate_limit": {"max_auth_failures": 1}}


async def token_of(service: AuthService) -> str:
    return service.issue_token(await service.authenticate("alice", PASSWORD, LOCAL))[0]


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("login", ["alice@example.com", "alice"])
async def test_a_token_of_ours_lets_its_owner_in(
    service: AuthService, name: str, login: str
) -> None:
    raw = FORMS[name].format(login=login, token=await token_of(service)).encode()
    principal = await service.exchange(name, LOCAL).step(raw)
    assert isinstance(principal, Principal)
    assert principal.account == ALICE


async def test_the_name_may_be_left_to_the_token(service: AuthService) -> None:
    raw = f"n,,\x01auth=bearer {await token_of(service)}\x01\x01".encode()
    assert isinstance(await service.exchange("OAUTHBEARER", LOCAL).step(raw), Principal)


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("login", ["bob@example.com", "alice@example.com"])
async def test_a_refusal_is_told_before_the_exchange_fails(
    service: AuthService, name: str, login: str
) -> None:
    token = await token_of(service) + ("" if login.startswith("bob") else "x")
    exchange = service.exchange(name, LOCAL)
    told = await exchange.step(FORMS[name].format(login=login, token=token).encode())
    assert isinstance(told, Challenge)
    assert told.raw.startswith(b'{"status":')
    with pytest.raises(AuthFailed):
        await exchange.step(b"\x01")


async def test_wrong_tokens_lock_out(service: AuthService) -> None:
    peer = session("192.0.2.7")
    raw = FORMS["XOAUTH2"].format(login="alice", token="x.y.z").encode()
    await service.exchange("XOAUTH2", peer).step(raw)
    with pytest.raises(LockedOut):
        await service.exchange("XOAUTH2", peer).step(raw)


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("raw", [b"", b"user=alice", b"n,,\x01auth", b"\xff", b"y,,\x01auth=x\x01"])
async def test_what_is_no_response_is_refused(service: AuthService, name: str, raw: bytes) -> None:
    with pytest.raises(Invalid):
        await service.exchange(name, LOCAL).step(raw)


async def test_without_an_initial_response_the_client_is_asked(service: AuthService) -> None:
    for name in service.mechanisms():
        found = await service.exchange(name, LOCAL).step(None)
        assert isinstance(found, Challenge)
