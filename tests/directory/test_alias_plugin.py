"""Alias rules at delivery (`on_resolve`)."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from rmail_kernel import config
from rmail_kernel.delivery.aliases import AliasPlugin
from rmail_kernel.kernel import Kernel
from rmail_kernel.model import Address
from rmail_kernel.plugins import new_bus
from rmail_kernel.storage.accounts import Alias
from rmail_kernel.storage.filesystem.directory import FilesystemDirectory


@pytest.fixture
def kernel(directory: FilesystemDirectory) -> Kernel:
    found = Kernel(config.build({}, {}, environ={}), new_bus())
    found.directory = directory
    found.bus.register(AliasPlugin(found), "aliases")
    return found


async def resolve(kernel: Kernel, local: str, domain: str = "example.com") -> list[str] | None:
    found: list[Address] | None = await kernel.bus.first(
        "on_resolve", address=Address(local, domain)
    )
    return None if found is None else [str(address) for address in found]


async def test_the_first_rule_that_matches_the_whole_local_part_wins(
    kernel: Kernel, directory: FilesystemDirectory
) -> None:
    await directory.add_alias("example.com", Alias("sales-.*", "alice"))
    await directory.add_alias("example.com", Alias("sales-x|x", "Bob@elsewhere.example"))
    assert await resolve(kernel, "sales-x") == ["alice@example.com"]
    assert await resolve(kernel, "SALES-y") == ["alice@example.com"]
    assert await resolve(kernel, "x") == ["Bob@elsewhere.example"]
    assert await resolve(kernel, "presales-x") is None
    assert await resolve(kernel, "xy") is None
    assert await resolve(kernel, "x", "other.example") is None


async def test_a_catch_all_comes_last_wherever_it_was_declared(
    kernel: Kernel, directory: FilesystemDirectory
) -> None:
    await directory.add_alias("example.com", Alias("^.*$", "alice"))
    await directory.add_alias("example.com", Alias("x", "bob@elsewhere.example"))
    assert await resolve(kernel, "x") == ["bob@elsewhere.example"]
    assert await resolve(kernel, "anything") == ["alice@example.com"]


async def test_rules_change_at_once(kernel: Kernel, directory: FilesystemDirectory) -> None:
    assert await resolve(kernel, "x") is None
    await directory.add_alias("example.com", Alias("x", "alice"))
    assert await resolve(kernel, "x") == ["alice@example.com"]
    await directory.remove_alias("example.com", "x")
    assert await resolve(kernel, "x") is None


async def test_a_rule_edited_into_nonsense_costs_only_itself(
    kernel: Kernel, tmp_path: Path
) -> None:
    rows = [
        {"pattern": "(", "target": "alice"},
        {"pattern": "x", "target": "no user"},
        {"pattern": "x", "target": "alice"},
    ]
    path = tmp_path / "domains/example.com/aliases.json"
    path.write_text(json.dumps({"version": 1, "aliases": rows}))
    assert await resolve(kernel, "x") == ["alice@example.com"]


async def test_a_rule_gives_all_its_targets_but_those_edited_into_nonsense(
    kernel: Kernel, directory: FilesystemDirectory, tmp_path: Path
) -> None:
    await directory.add_alias("example.com", Alias.to("all", ["alice", "bob@elsewhere.example"]))
    everyone = ["alice@example.com", "bob@elsewhere.example"]
    assert await resolve(kernel, "all") == everyone
    path = tmp_path / "domains/example.com/aliases.json"
    edited = {"pattern": "all", "targets": ["no user", *everyone, "alice"]}
    path.write_text(json.dumps({"version": 2, "aliases": [edited]}))
    await directory.add_alias("example.com", Alias("x", "alice"))  # tells of the change
    assert await resolve(kernel, "all") == everyone


async def test_matching_takes_linear_time(kernel: Kernel, directory: FilesystemDirectory) -> None:
    await directory.add_alias("example.com", Alias("(a|aa)+(a|aa)+(a|aa)+b", "alice"))
    before = time.process_time()
    assert await resolve(kernel, "a" * 64) is None
    assert time.process_time() - before < 1  # a backtracking engine takes hours
