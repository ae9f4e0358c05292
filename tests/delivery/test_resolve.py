"""Aliases expand within bounds and never loop."""

from __future__ import annotations

import pytest

from rmail_kernel.delivery.resolve import (
    DISABLED,
    LOOP,
    MAX_DEPTH,
    MAX_TARGETS,
    TOO_DEEP,
    TOO_WIDE,
    UNKNOWN,
    Resolver,
)
from rmail_kernel.errors import Temporary
from rmail_kernel.hooks import hookimpl
from rmail_kernel.model import Address
from rmail_kernel.storage.accounts import Alias
from rmail_kernel.testing import RunningServer

DOMAIN = "example.com"


class Lists:
    """`on_resolve` from a table, as a mailing-list plugin would do it."""

    def __init__(self, table: dict[str, list[str]]) -> None:
        self.table = table

    @hookimpl
    async def on_resolve(self, address: Address) -> list[Address] | None:
        members = self.table.get(address.local)
        return None if members is None else [Address.parse(member) for member in members]


async def _resolve(server: RunningServer, local: str) -> tuple[set[str], object]:
    found = await Resolver(server.kernel).resolve(Address(local, DOMAIN))
    return {*found.accounts, *found.external}, found.refusal


async def test_an_account_wins_over_rules(server: RunningServer) -> None:
    await server.kernel.directory.add_alias(DOMAIN, Alias(".*", "bob"))
    assert await _resolve(server, "Alice") == ({"alice@example.com"}, None)
    assert await _resolve(server, "anyone") == ({"bob@example.com"}, None)


async def test_a_subaddress_is_the_users_before_anything_catches_it(server: RunningServer) -> None:
    assert await _resolve(server, "alice+news") == ({"alice@example.com"}, None)
    assert await _resolve(server, "Alice+a+b") == ({"alice@example.com"}, None)
    assert await _resolve(server, "nobody+news") == (set(), UNKNOWN)
    assert await _resolve(server, "+news") == (set(), UNKNOWN)
    add = server.kernel.directory.add_alias
    await add(DOMAIN, Alias(".*", "bob"))
    await add(DOMAIN, Alias("sales", "alice"))
    await add(DOMAIN, Alias(r"alice\+urgent", "bob"))
    assert await _resolve(server, "alice+news") == ({"alice@example.com"}, None)
    assert await _resolve(server, "sales+eu") == ({"alice@example.com"}, None)
    assert await _resolve(server, "alice+urgent") == ({"bob@example.com"}, None)
    assert await _resolve(server, "nobody+news") == ({"bob@example.com"}, None)


async def test_nobody_is_unknown(server: RunningServer) -> None:
    assert await _resolve(server, "nobody") == (set(), UNKNOWN)


async def test_lists_of_lists_reach_each_member_once(server: RunningServer) -> None:
    table = {
        "all": ["team@example.com", "bob@example.com", "eve@elsewhere.test"],
        "team": ["alice@example.com", "bob@example.com"],
        "nobody": [],
    }
    server.kernel.bus.register(Lists(table), "lists")
    everyone = {"alice@example.com", "bob@example.com", "eve@elsewhere.test"}
    assert await _resolve(server, "all") == (everyone, None)
    assert await _resolve(server, "nobody") == (set(), UNKNOWN)


async def test_rules_with_several_targets_reach_each_once_and_never_loop(
    server: RunningServer,
) -> None:
    add = server.kernel.directory.add_alias
    await add(DOMAIN, Alias.to("all", ["alice", "team@example.com", "eve@elsewhere.test"]))
    await add(DOMAIN, Alias.to("team", ["bob", "alice@example.com", "all@example.com"]))
    await add(DOMAIN, Alias.to("only-itself", ["only-itself@example.com", "x-loop@example.com"]))
    await add(DOMAIN, Alias.to("x-loop", ["only-itself@example.com"]))
    everyone = {"alice@example.com", "bob@example.com", "eve@elsewhere.test"}
    assert await _resolve(server, "all") == (everyone, None)
    assert await _resolve(server, "only-itself") == (set(), LOOP)


async def test_a_loop_is_refused_and_a_way_out_of_it_is_taken(server: RunningServer) -> None:
    table = {
        "a": ["b@example.com"],
        "b": ["a@example.com"],
        "self": ["self@example.com"],
        "c": ["d@example.com"],
        "d": ["c@example.com", "alice@example.com"],
    }
    server.kernel.bus.register(Lists(table), "lists")
    assert await _resolve(server, "a") == (set(), LOOP)
    assert await _resolve(server, "self") == (set(), LOOP)
    assert await _resolve(server, "c") == ({"alice@example.com"}, None)


async def test_depth_is_bounded(server: RunningServer) -> None:
    table = {f"n{i}": [f"n{i + 1}@example.com"] for i in range(MAX_DEPTH + 1)}
    table[f"n{MAX_DEPTH + 1}"] = ["alice@example.com"]
    server.kernel.bus.register(Lists(table), "lists")
    assert await _resolve(server, "n0") == (set(), TOO_DEEP)
    assert await _resolve(server, "n2") == ({"alice@example.com"}, None)


async def test_width_is_bounded(server: RunningServer) -> None:
    def wide(count: int) -> list[str]:
        return [f"u{i}@elsewhere.test" for i in range(count)]

    table = {"ok": wide(MAX_TARGETS), "over": wide(MAX_TARGETS + 1), "far": wide(10_000)}
    server.kernel.bus.register(Lists(table), "lists")
    assert len((await _resolve(server, "ok"))[0]) == MAX_TARGETS
    assert await _resolve(server, "over") == (set(), TOO_WIDE)
    assert await _resolve(server, "far") == (set(), TOO_WIDE)


class Rubbish:
    """Answers with something else than addresses."""

    @hookimpl
    async def on_resolve(self) -> list[str]:
        return ["alice@example.com"]


async def test_rubbish_from_a_plugin_is_a_temporary_failure(server: RunningServer) -> None:
    server.kernel.bus.register(Rubbish(), "rubbish")
    with pytest.raises(Temporary):
        await _resolve(server, "anyone")
    assert await _resolve(server, "alice") == ({"alice@example.com"}, None)


async def test_a_disabled_account_is_left_out(server: RunningServer) -> None:
    directory = server.kernel.directory
    bob = await directory.get(Address("bob", DOMAIN))
    assert bob is not None
    await directory.update(bob, is_enabled=False)
    server.kernel.bus.register(Lists({"both": ["alice@example.com", "bob@example.com"]}), "lists")
    assert await _resolve(server, "bob") == (set(), DISABLED)
    assert await _resolve(server, "both") == ({"alice@example.com"}, None)
