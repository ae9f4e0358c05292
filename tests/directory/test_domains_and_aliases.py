"""Domains and alias rules."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rmail_kernel.clock import Clock
from rmail_kernel.errors import ConfigError, Conflict, Corrupt, Invalid, NotFound
from rmail_kernel.process.events import LocalEvents
from rmail_kernel.storage.accounts import Alias
from rmail_kernel.storage.filesystem.directory import (
    MAX_ALIAS_TARGETS,
    MAX_ALIASES,
    FilesystemDirectory,
)
from rmail_kernel.storage.ids import AccountId
from rmail_kernel.storage.patterns import MAX_PATTERN_CHARS


async def test_domains_are_lower_case_a_labels(directory: FilesystemDirectory) -> None:
    await directory.add_domain("Bücher.Example")
    assert await directory.domains() == ["example.com", "xn--bcher-kva.example"]
    for name in ("bücher.example", "XN--BCHER-KVA.example.", "EXAMPLE.COM"):
        assert await directory.has_domain(name)
    for name in ("", "..", ".staging", "[127.0.0.1]", "other.example"):
        assert not await directory.has_domain(name)


async def test_a_domain_is_made_once_and_removed_when_empty(
    directory: FilesystemDirectory,
) -> None:
    with pytest.raises(Conflict):
        await directory.add_domain("EXAMPLE.com")
    with pytest.raises(Invalid):
        await directory.add_domain("../x")
    with pytest.raises(Conflict):
        await directory.remove_domain("example.com")
    await directory.delete(AccountId("alice@example.com"))
    await directory.remove_domain("example.com")
    assert await directory.domains() == []
    with pytest.raises(NotFound):
        await directory.remove_domain("example.com")
    with pytest.raises(NotFound):
        await directory.users("example.com")


async def test_a_folder_is_a_domain(directory: FilesystemDirectory, tmp_path: Path) -> None:
    (tmp_path / "domains/old.example").mkdir()
    other = FilesystemDirectory(tmp_path, clock=Clock(), events=LocalEvents())
    assert await other.has_domain("old.example")
    assert await other.users("old.example") == []
    await other.close()


async def test_a_store_of_a_newer_version_is_refused_and_left_alone(
    directory: FilesystemDirectory, tmp_path: Path
) -> None:
    path = tmp_path / "domains/example.com/domain.json"
    path.write_text('{"version": 2}')
    with pytest.raises(ConfigError, match="has version 2, this rmail reads up to 1"):
        FilesystemDirectory(tmp_path, clock=Clock(), events=LocalEvents())
    assert path.read_text() == '{"version": 2}'


async def test_aliases_apply_as_declared_with_catch_alls_last(
    directory: FilesystemDirectory,
) -> None:
    for pattern in (".*", "sales-.*", "info|office"):
        await directory.add_alias("Example.com", Alias(pattern, "Alice"))
    await directory.add_alias("example.com", Alias("x", "Bob@Elsewhere.Example"))
    rules = await directory.aliases("example.com")
    assert [rule.pattern for rule in rules] == ["sales-.*", "info|office", "x", ".*"]
    assert [rule.target for rule in rules] == ["alice", "alice", "Bob@elsewhere.example", "alice"]
    assert await directory.aliases("example.com") is rules
    await directory.remove_alias("example.com", ".*")
    assert len(await directory.aliases("example.com")) == 3
    assert await directory.aliases("other.example") == ()


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(a", "missing \\)"),
        ("(?=a)b", "invalid perl operator"),
        (r"(a)\1", "invalid escape sequence"),
        ("((a{100}){100}){100}", "repetition size"),
        ("", "1 to 256"),
        ("a" * (MAX_PATTERN_CHARS + 1), "1 to 256"),
        ("\udcff", "not valid text"),
    ],
)
async def test_a_bad_pattern_is_refused_with_its_reason(
    directory: FilesystemDirectory, pattern: str, reason: str
) -> None:
    with pytest.raises(Invalid, match=reason):
        await directory.add_alias("example.com", Alias(pattern, "alice"))
    assert await directory.aliases("example.com") == ()


@pytest.mark.parametrize("target", ["nobody", "", "a b@example.com", "@", "../alice"])
async def test_a_bad_target_is_refused(directory: FilesystemDirectory, target: str) -> None:
    with pytest.raises(Invalid):
        await directory.add_alias("example.com", Alias("x", target))


async def test_alias_errors_name_what_is_wrong(directory: FilesystemDirectory) -> None:
    await directory.add_alias("example.com", Alias("x", "alice"))
    with pytest.raises(Conflict):
        await directory.add_alias("example.com", Alias("x", "alice"))
    with pytest.raises(NotFound):
        await directory.remove_alias("example.com", "y")
    with pytest.raises(NotFound):
        await directory.add_alias("other.example", Alias("x", "alice"))


async def test_the_number_of_aliases_is_bounded(
    directory: FilesystemDirectory, tmp_path: Path
) -> None:
    rows = [{"pattern": f"p{number}", "target": "alice"} for number in range(MAX_ALIASES)]
    path = tmp_path / "domains/example.com/aliases.json"
    path.write_text(json.dumps({"version": 1, "aliases": rows}))
    with pytest.raises(Invalid, match=str(MAX_ALIASES)):
        await directory.add_alias("example.com", Alias("x", "alice"))


@pytest.mark.parametrize(
    "old",
    [
        [{"pattern": "a", "target": "alice"}, {"pattern": "b", "target": "alice"}],
        {"a": "alice", "b": "alice"},
    ],
)
async def test_the_original_alias_files_are_read_and_upgraded(
    directory: FilesystemDirectory, tmp_path: Path, old: object
) -> None:
    path = tmp_path / "domains/example.com/aliases.json"
    path.write_text(json.dumps(old))
    await directory.add_alias("example.com", Alias("c", "alice"))
    assert [rule.pattern for rule in await directory.aliases("example.com")] == ["a", "b", "c"]
    stored = json.loads(path.read_bytes())
    assert sorted(stored) == ["aliases", "version"]


async def test_a_rule_keeps_several_targets_each_once(
    directory: FilesystemDirectory, tmp_path: Path
) -> None:
    targets = ["Alice", "Carol@Elsewhere.Example", "alice", "carol@elsewhere.example"]
    await directory.add_alias("example.com", Alias.to("all", targets[:3]))
    (rule,) = await directory.aliases("example.com")
    assert rule.targets == ("alice", "Carol@elsewhere.example")
    again = FilesystemDirectory(tmp_path, clock=Clock(), events=LocalEvents())
    assert list(await again.aliases("example.com")) == [rule]
    await again.close()


async def test_a_rule_with_one_bad_target_is_refused_as_a_whole(
    directory: FilesystemDirectory,
) -> None:
    for targets in (["alice", "nobody"], ["alice", ""], ["alice"] * (MAX_ALIAS_TARGETS + 1), []):
        with pytest.raises(Invalid):
            await directory.add_alias("example.com", Alias.to("all", targets))
    assert await directory.aliases("example.com") == ()
    full = [f"u{number}@elsewhere.example" for number in range(MAX_ALIAS_TARGETS)]
    await directory.add_alias("example.com", Alias.to("all", full))


async def test_rules_of_version_1_are_read_and_written_as_version_2(
    directory: FilesystemDirectory, tmp_path: Path
) -> None:
    path = tmp_path / "domains/example.com/aliases.json"
    row = {"pattern": "a", "target": "alice"}
    path.write_text(json.dumps({"version": 1, "aliases": [row], "note": "kept"}))
    await directory.add_alias("example.com", Alias("b", "alice", ("x@elsewhere.example",)))
    assert json.loads(path.read_bytes()) == {
        "version": 2,
        "aliases": [row, {"pattern": "b", "targets": ["alice", "x@elsewhere.example"]}],
        "note": "kept",
    }


@pytest.mark.parametrize(
    "row",
    [
        {"pattern": "a"},
        {"pattern": "a", "targets": []},
        {"pattern": "a", "targets": "alice"},
        {"pattern": "a", "targets": ["alice", 1]},
        {"targets": ["alice"]},
        "a",
    ],
)
async def test_a_rule_that_says_nothing_is_never_guessed_at(
    directory: FilesystemDirectory, tmp_path: Path, row: object
) -> None:
    path = tmp_path / "domains/example.com/aliases.json"
    path.write_text(json.dumps({"version": 2, "aliases": [row]}))
    with pytest.raises(Corrupt, match=r"aliases\.json"):
        await directory.add_alias("example.com", Alias("b", "alice"))


async def test_rules_of_a_newer_version_are_left_alone(
    directory: FilesystemDirectory, tmp_path: Path
) -> None:
    path = tmp_path / "domains/example.com/aliases.json"
    path.write_text('{"version": 3, "aliases": []}')
    with pytest.raises(Corrupt, match="version 3, this rmail reads up to 2"):
        await directory.add_alias("example.com", Alias("b", "alice"))
