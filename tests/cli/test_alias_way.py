"""`rmail alias test` shows the way that mail for an address takes."""

from __future__ import annotations

import pytest

from rmail_kernel.cli.way import Way
from tests.cli.conftest import Rmail


def _store(rmail: Rmail) -> None:
    rmail("init", "--domain", "example.com", "--admin", "alice", "--password", "secret")
    rmail("alias", "add", "example.com", "sales-.*", "info@example.com")
    rmail("alias", "add", "example.com", "info", "alice")
    rmail("alias", "add", "example.com", "loop", "loop2@example.com")
    rmail("alias", "add", "example.com", "loop2", "loop@example.com")
    rmail("alias", "add", "example.com", "away", "dave@remote.test")


def test_each_alias_on_the_way_is_shown(rmail: Rmail) -> None:
    _store(rmail)
    found = rmail("alias", "test", "sales-x@example.com", "--json").data
    assert found["steps"] == [
        ["sales-x@example.com", ["info@example.com"]],
        ["info@example.com", ["alice@example.com"]],
    ]
    assert (found["accounts"], found["refusal"]) == (["alice@example.com"], None)
    shown = rmail("alias", "test", "sales-x@example.com").out
    assert shown.split()[-3:] == ["alice@example.com", "the", "mailbox"]


def test_what_would_be_refused_says_why_and_fails(rmail: Rmail) -> None:
    _store(rmail)
    for address, why in (("nobody@example.com", "550 5.1.1"), ("loop@example.com", "550 5.4.6")):
        found = rmail("alias", "test", address)
        assert found.code == 1
        assert why in found.out


def test_mail_that_nobody_sends_out_is_told(rmail: Rmail) -> None:
    _store(rmail)
    found = rmail("alias", "test", "away@example.com", "--json")
    assert list(found.data["elsewhere"]) == ["dave@remote.test"]


@pytest.mark.parametrize(
    ("routes", "is_refused"),
    [([["mx", "a.test"]], False), ([["mx", "a.test"], None], True), ([["refused: no MX"]], True)],
)
def test_a_way_without_a_route_is_refused(routes: list[list[str] | None], is_refused: bool) -> None:
    way = Way("a@b.test", elsewhere={f"{n}@c.test": route for n, route in enumerate(routes)})
    assert way.is_refused == is_refused


def test_what_is_no_address_is_named(rmail: Rmail) -> None:
    assert rmail("alias", "test", "nonsense").refusal().startswith("'nonsense': not a mail address")


def test_every_target_of_a_rule_is_shown(rmail: Rmail) -> None:
    _store(rmail)
    rmail("alias", "add", "example.com", "all", "alice", "away@example.com", "x@remote.test")
    found = rmail("alias", "test", "all@example.com", "--json").data
    assert found["steps"] == [
        ["all@example.com", ["alice@example.com", "away@example.com", "x@remote.test"]],
        ["away@example.com", ["dave@remote.test"]],
    ]
    assert found["accounts"] == ["alice@example.com"]
    assert sorted(found["elsewhere"]) == ["dave@remote.test", "x@remote.test"]
