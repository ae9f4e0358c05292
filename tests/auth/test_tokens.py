"""Bearer tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jwt
import pytest

from rmail_kernel import auth
from rmail_kernel.auth.passwords import hash_password
from rmail_kernel.auth.service import AuthService
from rmail_kernel.auth.tokens import MAX_TOKEN_CHARS
from rmail_kernel.errors import AuthFailed, ConfigError
from rmail_kernel.kernel import Kernel
from rmail_kernel.model import Principal
from rmail_kernel.settings import TOKEN_SECRET_VARIABLE
from rmail_kernel.storage.ids import AccountId
from rmail_kernel.testing.clock import FakeClock
from tests.auth.conftest import LOCAL, PASSWORD, close_kernel, open_kernel

SECRET = "s" * 64
ALICE = AccountId("alice@example.com")


@pytest.fixture
def sections() -> dict[str, Any]:
    return {"exchange_api": {"token_secret": SECRET}}


async def login(service: AuthService) -> Principal:
    return await service.authenticate("alice", PASSWORD, LOCAL)


async def change(kernel: Kernel, **changes: object) -> None:
    account = await kernel.directory.by_id(ALICE)
    assert account is not None
    await kernel.directory.update(account, **changes)


@pytest.fixture
def clock() -> FakeClock:
    """As the wall clock: accounts here are made by `create_user`, which has no other."""
    from rmail_kernel.clock import Clock

    return FakeClock(Clock().now())


async def test_a_token_gives_back_its_principal_until_it_ends(
    service: AuthService, clock: FakeClock
) -> None:
    clock.advance(10)
    principal = await login(service)
    token, ttl_s = service.issue_token(principal)
    assert ttl_s == 3600
    assert await service.check_token(token) == principal
    clock.advance(3599)
    assert await service.check_token(token) == principal
    clock.advance(1)
    with pytest.raises(AuthFailed, match="expired"):
        await service.check_token(token)


async def test_a_token_tells_account_version_and_times_only(
    service: AuthService, clock: FakeClock
) -> None:
    principal = await login(service)
    token, _ = service.issue_token(principal)
    claims = jwt.decode(token, SECRET, algorithms=["HS256"])
    assert claims == {
        "sub": ALICE,
        "ver": principal.credential_version,
        "iat": int(clock.time()),
        "exp": int(clock.time()) + 3600,
    }


@pytest.mark.parametrize(
    "changes", [{"is_enabled": False}, {"password_hash": hash_password("new", 4)}]
)
async def test_a_token_dies_with_the_change(
    kernel: Kernel, service: AuthService, changes: dict[str, object]
) -> None:
    token, _ = service.issue_token(await login(service))
    await change(kernel, **changes)
    with pytest.raises(AuthFailed):
        await service.check_token(token)


async def test_a_token_survives_other_changes_and_shows_them(
    kernel: Kernel, service: AuthService, clock: FakeClock
) -> None:
    clock.advance(10)
    token, _ = service.issue_token(await login(service))
    await change(kernel, quota_mb=5, is_admin=True)
    assert (await service.check_token(token)).is_admin


async def test_a_token_does_not_fit_a_younger_account_of_the_same_name(
    kernel: Kernel, service: AuthService, root: Path
) -> None:
    token, _ = service.issue_token(await login(service))
    await kernel.directory.delete(ALICE)
    with pytest.raises(AuthFailed):
        await service.check_token(token)
    await auth.create_user(root, "alice", "example.com", PASSWORD, bcrypt_cost=4)
    with pytest.raises(AuthFailed):
        await service.check_token(token)


def forged(clock: FakeClock, algorithm: str = "HS256", **changes: Any) -> str:
    now = int(clock.time())
    claims = {"sub": ALICE, "ver": 2, "iat": now, "exp": now + 60} | changes
    claims = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(claims, SECRET if algorithm != "none" else "", algorithm=algorithm)


async def test_bad_tokens_are_refused(service: AuthService, clock: FakeClock) -> None:
    clock.advance(10)
    good = forged(clock)
    assert await service.check_token(good)
    for token in (
        "",
        "x.y.z",
        "ä" + good,
        good[:-4] + "AAAA",
        good + "x" * MAX_TOKEN_CHARS,
        forged(clock, algorithm="none"),
        forged(clock, algorithm="HS512"),
        forged(clock, sub="bob@example.com"),
        forged(clock, ver=1),
        forged(clock, ver="2"),
        forged(clock, ver=True),
        forged(clock, exp=None),
        forged(clock, iat=None),
        forged(clock, iat=1),
        forged(clock, iat="now"),
        forged(clock, exp=1),
        forged(clock, aud="someone"),
    ):
        with pytest.raises(AuthFailed):
            await service.check_token(token)


async def test_without_a_setting_the_workers_of_one_start_share_a_secret(
    root: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await auth.create_user(root, "alice", "example.com", PASSWORD, bcrypt_cost=4)
    clock.advance(10)
    kernel = await open_kernel(root, clock)
    monkeypatch.delenv(TOKEN_SECRET_VARIABLE, raising=False)
    first, second = AuthService(kernel), AuthService(kernel)
    token, _ = first.issue_token(await login(first))
    assert await first.check_token(token)
    with pytest.raises(AuthFailed):
        await second.check_token(token)
    monkeypatch.setenv(TOKEN_SECRET_VARIABLE, "e" * 64)
    token, _ = AuthService(kernel).issue_token(await login(first))
    assert await AuthService(kernel).check_token(token)
    monkeypatch.setenv(TOKEN_SECRET_VARIABLE, "short")
    with pytest.raises(ConfigError, match=TOKEN_SECRET_VARIABLE):
        AuthService(kernel)
    await close_kernel(kernel)
