"""POST /auth/login, and what a token is worth."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import Api


async def test_a_password_buys_a_token_with_the_documented_fields(api: Api) -> None:
    body = {"username": "alice", "password": "secret", "domain": "example.com"}
    answer = await api.post("/auth/login", body, user=None)
    assert answer.status == 200
    assert answer.json.pop("token").count(".") == 2
    assert answer.json == {"username": "alice", "domain": "example.com", "expires_in": 3600}


@pytest.mark.parametrize(
    "body",
    [
        {"username": "alice@example.com", "password": "secret"},
        {"username": "alice", "password": "secret"},
        {"username": "ALICE@Example.COM", "password": "secret"},
        {"username": "alice@example.com", "password": "secret", "domain": "EXAMPLE.com"},
        {"username": "alice", "password": "secret", "domain": None},
    ],
)
async def test_the_domain_may_be_in_the_name_or_left_out(api: Api, body: dict[str, Any]) -> None:
    answer = await api.post("/auth/login", body, user=None)
    assert (answer.status, answer.json["username"]) == (200, "alice")
    assert answer.json["domain"] == "example.com"


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({}, "username: is required"),
        ({"username": "alice"}, "password: is required"),
        ({"username": 1, "password": "x"}, "username: must be text"),
        ({"username": "a", "password": "x", "x": 1}, "x: unknown field"),
        ([], "The body must be a JSON object"),
        (
            {"username": "alice@example.com", "password": "secret", "domain": "example.org"},
            "domain: is not the domain of username",
        ),
    ],
)
async def test_a_malformed_login_is_400(api: Api, body: Any, error: str) -> None:
    answer = await api.post("/auth/login", body, user=None)
    assert (answer.status, answer.error) == (400, error)


@pytest.mark.parametrize(
    "body",
    [
        {"username": "alice", "password": "wrong"},
        {"username": "nobody", "password": "secret"},
        {"username": "alice", "password": ""},
        {"username": "alice", "password": "secret", "domain": "example.org"},
        {"username": "alice", "password": "x" * 5000},
        {"username": "a\x00b", "password": "secret"},
        {"username": "../alice", "password": "secret"},
    ],
)
async def test_a_wrong_login_is_401_and_always_the_same(api: Api, body: dict[str, str]) -> None:
    answer = await api.post("/auth/login", body, user=None)
    assert (answer.status, answer.error) == (401, "Wrong login or password")
    assert "WWW-Authenticate" in answer.headers


async def test_a_large_login_is_413(api: Api) -> None:
    body = {"username": "alice", "password": "x" * 10_000}
    assert (await api.post("/auth/login", body, user=None)).status == 413


@pytest.mark.parametrize("rmail_settings", [{"rate_limit": {"whitelist": []}}])
async def test_five_failures_lock_an_address_out_with_429(api: Api) -> None:
    body = {"username": "alice", "password": "wrong"}
    found = [(await api.post("/auth/login", body, user=None)).status for _ in range(6)]
    assert found == [401] * 5 + [429]
    right = await api.post("/auth/login", {"username": "bob", "password": "secret"}, user=None)
    assert right.status == 429
    assert 0 < int(right.headers["Retry-After"]) <= 900


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer x", "Bearer a.b.c", "Basic YWxpY2U6c2VjcmV0", "Nonsense"]
)
async def test_no_route_but_the_login_is_open_without_a_token(api: Api, header: str) -> None:
    answer = await api.get("/folders", user=None, headers={"Authorization": header})
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="rmail"'
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


async def test_a_missing_token_is_named_as_documented(api: Api) -> None:
    assert (await api.get("/folders", user=None)).error == "Authentication required"


async def test_a_token_ends_when_its_account_is_disabled_changed_or_deleted(api: Api) -> None:
    for user, change in (
        ("alice", ("PATCH", "/admin/users/alice", {"enabled": False})),
        ("bob", ("PUT", "/admin/users/bob/password", {"password": "other"})),
        ("carol", ("DELETE", "/admin/users/carol", None)),
    ):
        if user == "carol":
            await api.server.add_user(user)
        assert (await api.get("/folders", user=user)).status == 200
        assert (await api.call(*change, user="admin")).status == 200
        assert (await api.get("/folders", user=user)).status == 401


async def test_a_disabled_user_cannot_log_in(api: Api) -> None:
    await api.call("PATCH", "/admin/users/alice", {"enabled": False}, user="admin")
    body = {"username": "alice", "password": "secret"}
    assert (await api.post("/auth/login", body, user=None)).status == 401


async def test_a_demoted_admin_loses_the_rights_at_once(api: Api) -> None:
    await api.server.add_user("deputy", admin=True)
    assert (await api.get("/admin/users", user="deputy")).status == 200
    await api.call("PATCH", "/admin/users/deputy", {"admin": False}, user="admin")
    assert (await api.get("/admin/users", user="deputy")).status in (401, 403)
