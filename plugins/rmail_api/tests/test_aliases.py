"""/aliases."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from .conftest import Api

RULE = {"pattern": "sales-.*", "target": "bob"}


async def test_rules_are_listed_in_their_order(api: Api) -> None:
    other = {"pattern": "info", "target": "alice"}
    for rule in (RULE, other):
        answer = await api.post("/aliases", rule, user="admin")
        assert (answer.status, answer.json) == (201, rule)
    assert (await api.get("/aliases")).json == {"aliases": [RULE, other]}


@pytest.mark.parametrize("pattern", ["sales-.*", "a{1,3}", "x/y", "100%", "(a|b)+", "[a-z]+\\.x"])
async def test_a_rule_is_removed_by_its_pattern_in_url_or_body(api: Api, pattern: str) -> None:
    for by_url in (True, False):
        rule = {"pattern": pattern, "target": "bob"}
        assert (await api.post("/aliases", rule, user="admin")).status == 201
        path = f"/aliases/{quote(pattern, safe='')}" if by_url else "/aliases"
        body = None if by_url else {"pattern": pattern}
        answer = await api.call("DELETE", path, body, user="admin")
        assert (answer.status, answer.json) == (200, {"deleted": pattern})
        assert (await api.call("DELETE", path, body, user="admin")).status == 404
    assert (await api.get("/aliases")).json == {"aliases": []}


async def test_a_rule_may_have_several_targets(api: Api) -> None:
    given = {"pattern": "all", "targets": ["bob", "alice", "x@elsewhere.example"]}
    answer = await api.post("/aliases", given, user="admin")
    assert (answer.status, answer.json) == (201, given | {"target": "bob"})
    assert (await api.get("/aliases")).json == {"aliases": [given | {"target": "bob"}]}
    one = {"pattern": "one", "targets": ["bob"]}
    answer = await api.post("/aliases", one, user="admin")
    assert answer.json == {"pattern": "one", "target": "bob"}


async def test_only_administrators_change_rules(api: Api) -> None:
    for method, path, body in (
        ("POST", "/aliases", RULE),
        ("DELETE", "/aliases", {"pattern": "x"}),
        ("DELETE", "/aliases/x", None),
    ):
        answer = await api.call(method, path, body)
        assert (answer.status, answer.error) == (403, "Admin privileges required")


async def test_a_second_rule_for_a_pattern_is_409(api: Api) -> None:
    await api.post("/aliases", RULE, user="admin")
    assert (await api.post("/aliases", RULE, user="admin")).status == 409


@pytest.mark.parametrize(
    "body",
    [
        {"pattern": "(", "target": "bob"},
        {"pattern": "(a)\\1", "target": "bob"},
        {"pattern": "", "target": "bob"},
        {"pattern": "x" * 5000, "target": "bob"},
        {"pattern": "x", "target": ""},
        {"pattern": "x", "target": "a b"},
        {"pattern": "x"},
        {"pattern": "x", "targets": []},
        {"pattern": "x", "targets": ["bob", "nobody"]},
        {"pattern": "x", "targets": "bob"},
        {"pattern": "x", "target": "bob", "targets": ["bob"]},
        {"pattern": "x", "targets": ["bob"] * 101},
        {"pattern": 1, "target": "bob"},
        {"pattern": "x", "target": "bob", "domain": "example.org"},
    ],
)
async def test_a_bad_rule_is_400(api: Api, body: Any) -> None:
    answer = await api.post("/aliases", body, user="admin")
    assert answer.status == 400, answer.body
    assert (await api.get("/aliases")).json == {"aliases": []}
