"""/admin/users and what lies under it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from .conftest import Api

CAROL: dict[str, Any] = {"username": "carol", "password": "secret123", "domain": "example.com"}


async def test_a_created_user_can_log_in_and_is_listed(api: Api) -> None:
    answer = await api.post("/admin/users", CAROL | {"quota_mb": 2048}, user="admin")
    assert answer.status == 201
    created = answer.json.pop("created")
    assert datetime.fromisoformat(created).utcoffset() is not None
    assert answer.json == {
        "username": "carol",
        "domain": "example.com",
        "enabled": True,
        "admin": False,
        "quota_mb": 2048,
    }
    assert await api.token("carol", "secret123")
    listed = (await api.get("/admin/users?domain=example.com", user="admin")).json["users"]
    assert [user["username"] for user in listed] == ["admin", "alice", "bob", "carol"]
    assert (await api.get("/admin/users", user="admin")).json["users"] == listed
    assert set(listed[0]) == {"username", "domain", "enabled", "admin", "quota_mb", "created"}


async def test_defaults_are_the_documented_ones(api: Api) -> None:
    answer = await api.post("/admin/users", CAROL, user="admin")
    assert (answer.json["admin"], answer.json["quota_mb"]) == (False, 1024)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"username": ""}, "username"),
        ({"username": "Carol"}, "username"),
        ({"username": "a/b"}, "username"),
        ({"username": ".."}, "username"),
        ({"username": ".a"}, "username"),
        ({"username": "a\n"}, "username"),
        ({"username": "x" * 65}, "username"),
        ({"username": "ünï"}, "username"),
        ({"password": ""}, "password"),
        ({"password": "x" * 1025}, "password"),
        ({"password": "é" * 513}, "password"),
        ({"password": 5}, "password"),
        ({"domain": ""}, "domain"),
        ({"domain": "not a domain"}, "domain"),
        ({"domain": "../etc"}, "domain"),
        ({"domain": "example.net"}, "domain"),
        ({"quota_mb": 0}, "quota_mb"),
        ({"quota_mb": 1_048_577}, "quota_mb"),
        ({"quota_mb": "5"}, "quota_mb"),
        ({"quota_mb": 10**30}, "quota_mb"),
        ({"admin": "yes"}, "admin"),
        ({"enabled": True}, "enabled"),
    ],
)
async def test_a_bad_field_is_400_and_names_it(
    api: Api, change: dict[str, Any], field: str
) -> None:
    answer = await api.post("/admin/users", CAROL | change, user="admin")
    assert (answer.status, answer.error.split(":")[0]) == (400, field)
    assert len((await api.get("/admin/users", user="admin")).json["users"]) == 3


@pytest.mark.parametrize("field", ["username", "password", "domain"])
async def test_required_fields_are_required(api: Api, field: str) -> None:
    body = {name: value for name, value in CAROL.items() if name != field}
    answer = await api.post("/admin/users", body, user="admin")
    assert (answer.status, answer.error) == (400, f"{field}: is required")


async def test_the_longest_password_works_to_its_last_byte(api: Api) -> None:
    await api.post("/admin/users", CAROL | {"password": "x" * 1024}, user="admin")
    assert await api.token("carol", "x" * 1024)
    body = {"username": "carol", "password": "x" * 1023 + "y"}
    assert (await api.post("/auth/login", body, user=None)).status == 401


async def test_an_existing_user_is_409(api: Api) -> None:
    body = CAROL | {"username": "alice"}
    assert (await api.post("/admin/users", body, user="admin")).status == 409


async def test_only_given_fields_are_changed(api: Api) -> None:
    path = "/admin/users/bob?domain=example.com"
    answer = await api.call("PATCH", path, {"quota_mb": 5}, user="admin")
    assert (answer.status, answer.json["quota_mb"], answer.json["enabled"]) == (200, 5, True)
    answer = await api.call("PATCH", path, {"enabled": False, "admin": True}, user="admin")
    assert (answer.json["quota_mb"], answer.json["enabled"]) == (5, False)
    assert answer.json["admin"] is True
    assert (await api.get(path, user="admin")).json == answer.json
    assert (await api.call("PATCH", path, {}, user="admin")).json == answer.json


@pytest.mark.parametrize(
    "body",
    [{"quota_mb": 0}, {"enabled": None}, {"enabled": 1}, {"username": "x"}, {"password": "x"}, []],
)
async def test_a_bad_change_is_400(api: Api, body: Any) -> None:
    assert (await api.call("PATCH", "/admin/users/bob", body, user="admin")).status == 400


async def test_a_deleted_user_is_gone_with_mail_and_token(api: Api) -> None:
    await api.append(b"Subject: x\r\n\r\n", user="bob")
    answer = await api.call("DELETE", "/admin/users/bob?domain=example.com", user="admin")
    assert (answer.status, answer.json) == (200, {"deleted": "bob", "domain": "example.com"})
    assert (await api.get("/admin/users/bob", user="admin")).status == 404
    assert (await api.get("/folders", user="bob")).status == 401
    again = CAROL | {"username": "bob", "password": "secret"}
    assert (await api.post("/admin/users", again, user="admin")).status == 201
    assert (await api.get("/folders", user="bob")).status == 401
    api.tokens.pop("bob")
    assert (await api.get("/folders/INBOX/messages", user="bob")).json["total"] == 0


async def test_a_new_password_replaces_the_old_one(api: Api) -> None:
    path = "/admin/users/bob/password?domain=example.com"
    answer = await api.call("PUT", path, {"password": "new-secure-password"}, user="admin")
    assert answer.status == 200
    assert await api.token("bob", "new-secure-password")
    old = {"username": "bob", "password": "secret"}
    assert (await api.post("/auth/login", old, user=None)).status == 401
    for body in ({"password": ""}, {"password": 1}, {}):
        assert (await api.call("PUT", path, body, user="admin")).status == 400


@pytest.mark.parametrize(
    "path",
    [
        "/admin/users/nobody",
        "/admin/users/alice?domain=example.net",
        "/admin/users/..%2Falice",
        "/admin/users/alice%00",
        "/admin/users/%2E%2E",
    ],
)
async def test_users_who_are_not_there_are_404(api: Api, path: str) -> None:
    name, _, query = path.partition("?")
    for method, target, body in (
        ("GET", path, None),
        ("PATCH", path, {}),
        ("DELETE", path, None),
        ("PUT", f"{name}/password?{query}", {"password": "x"}),
    ):
        assert (await api.call(method, target, body, user="admin")).status == 404


async def test_an_unknown_or_malformed_domain_in_the_query_is_404_or_400(api: Api) -> None:
    assert (await api.get("/admin/users?domain=example.net", user="admin")).status == 404
    for bad in ("a%20b", "..%2F..", "%00"):
        assert (await api.get(f"/admin/users?domain={bad}", user="admin")).status == 400


async def test_administration_is_for_administrators(api: Api) -> None:
    for method, path in (
        ("GET", "/admin/users"),
        ("POST", "/admin/users"),
        ("GET", "/admin/users/bob"),
        ("PATCH", "/admin/users/bob"),
        ("DELETE", "/admin/users/bob"),
        ("PUT", "/admin/users/bob/password"),
    ):
        answer = await api.call(method, path, {})
        assert (answer.status, answer.error) == (403, "Admin privileges required")
        assert (await api.call(method, path, {}, user=None)).status == 401


async def test_an_admin_manages_users_of_other_domains(api: Api) -> None:
    await api.server.kernel.directory.add_domain("example.org")
    body = CAROL | {"domain": "EXAMPLE.org"}
    assert (await api.post("/admin/users", body, user="admin")).json["domain"] == "example.org"
    listed = (await api.get("/admin/users?domain=example.org", user="admin")).json["users"]
    assert [user["username"] for user in listed] == ["carol"]
