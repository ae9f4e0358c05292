"""Domains, accounts and aliases on the command line."""

from __future__ import annotations

import asyncio
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest

from rmail_kernel.auth.lockout import Lockout
from rmail_kernel.auth.passwords import Passwords
from rmail_kernel.cli.session import load_settings, open_session
from rmail_kernel.kernel import Kernel
from rmail_kernel.plugins import new_bus
from tests.cli.conftest import Rmail, tree

pytestmark = pytest.mark.usefixtures("store")
ALICE = "alice@example.com"


def record(store: Path, user: str = "alice") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        (store / f"domains/example.com/users/{user}/account.json").read_text()
    )
    return found


def hashes(store: Path) -> str:
    (found,) = [value for value in record(store).values() if str(value).startswith("$2")]
    return str(found)


def test_an_account_is_added_listed_and_shown(rmail: Rmail) -> None:
    words = ("--password", "secret", "--admin", "--quota-mb", "7")
    assert rmail("user", "add", ALICE, *words).out == "account alice@example.com added\n"
    (listed,) = rmail("user", "list", "--json").data
    assert listed["address"] == ALICE
    shown = rmail("user", "show", ALICE, "--json").data
    assert shown == {**listed, "used_bytes": 0, "messages": 0}
    assert (shown["admin"], shown["enabled"], shown["quota_mb"]) == (True, True, 7)
    assert ALICE in rmail("user", "list").out
    assert ALICE in rmail("user", "show", ALICE).out


def test_a_bare_name_belongs_to_the_only_domain(rmail: Rmail) -> None:
    assert rmail("user", "add", "alice", "--password", "x").code == 0
    assert rmail("user", "show", ALICE).code == 0
    rmail("domain", "add", "example.org")
    assert "has no domain; the domains here are: example.com, example.org" in (
        rmail("user", "add", "bob", "--password", "x").refusal()
    )


def test_a_second_account_of_one_address_is_refused(rmail: Rmail) -> None:
    rmail("user", "add", ALICE, "--password", "x")
    assert "already" in rmail("user", "add", "Alice@EXAMPLE.com", "--password", "y").failure()


def test_an_account_needs_a_domain_of_this_server(rmail: Rmail, store: Path) -> None:
    before = tree(store)
    line = rmail("user", "add", "alice@example.org", "--password", "x").refusal()
    assert line == "there is no domain example.org; `rmail domain add example.org` makes it"
    assert tree(store) == before


@pytest.mark.parametrize("name", ["al ice@example.com", "@example.com", "-a@example.com"])
def test_a_bad_name_is_refused(rmail: Rmail, name: str) -> None:
    rmail("user", "add", "--password", "x", "--", name).refusal()


def test_an_absent_account_is_told(rmail: Rmail) -> None:
    for words in (("show", ALICE), ("delete", ALICE, "--yes"), ("set", ALICE, "--admin")):
        assert rmail("user", *words).failure().startswith(f"there is no account {ALICE}")


def test_an_account_is_changed(rmail: Rmail) -> None:
    rmail("user", "add", ALICE, "--password", "x")
    rmail("user", "set", ALICE, "--admin", "--disabled", "--quota-mb", "5")
    shown = rmail("user", "show", ALICE, "--json").data
    assert (shown["admin"], shown["enabled"], shown["quota_mb"]) == (True, False, 5)
    rmail("user", "set", ALICE, "--no-admin", "--enabled")
    shown = rmail("user", "show", ALICE, "--json").data
    assert (shown["admin"], shown["enabled"], shown["quota_mb"]) == (False, True, 5)
    assert "nothing to change" in rmail("user", "set", ALICE).refusal()


def test_a_quota_of_messages_is_set_and_lifted(rmail: Rmail) -> None:
    rmail("user", "add", ALICE, "--password", "x", "--quota-messages", "9")
    assert rmail("user", "show", ALICE, "--json").data["quota_messages"] == 9
    rmail("user", "set", ALICE, "--quota-mb", "5")
    assert rmail("user", "show", ALICE, "--json").data["quota_messages"] == 9
    rmail("user", "set", ALICE, "--quota-messages", "0")
    assert rmail("user", "show", ALICE, "--json").data["quota_messages"] is None


def test_a_changed_password_is_hashed_and_ends_sessions(
    rmail: Rmail, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rmail("user", "add", ALICE, "--password", "old")
    before = record(store)["credential_version"]
    monkeypatch.setattr("sys.stdin", io.StringIO("new\r\n"))
    assert rmail("user", "passwd", ALICE, "--password-stdin").code == 0
    assert Passwords(4).check("new", hashes(store))
    assert record(store)["credential_version"] > before


@pytest.mark.parametrize(
    ("words", "text", "reason"),
    [
        ((), "", "no password; give --password or --password-stdin"),
        (("--password", "x", "--password-stdin"), "y\n", "not both"),
        (("--password-stdin",), "", "the password is empty"),
        (("--password-stdin",), "x" * 1025, "longer than 1024 bytes"),
        (("--password", "a\x00b"), "", "control characters"),
        (("--password", "\udcff"), "", "not UTF-8"),
    ],
)
def test_an_unusable_password_changes_nothing(
    rmail: Rmail,
    store: Path,
    words: tuple[str, ...],
    text: str,
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rmail("user", "add", ALICE, "--password", "old")
    before = record(store)
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    assert reason in rmail("user", "passwd", ALICE, *words).refusal()
    assert record(store) == before


def test_deleting_needs_a_yes(rmail: Rmail, monkeypatch: pytest.MonkeyPatch) -> None:
    rmail("user", "add", ALICE, "--password", "x")
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert "--yes confirms it" in rmail("user", "delete", ALICE).refusal()
    assert rmail("user", "delete", ALICE, "--yes").code == 0
    assert rmail("user", "list", "--json").data == []


def test_a_domain_is_added_and_removed(rmail: Rmail) -> None:
    assert rmail("domain", "add", "Bücher.example").out == "domain xn--bcher-kva.example added\n"
    assert "already" in rmail("domain", "add", "bücher.example").failure()
    assert rmail("domain", "list").out == "example.com\nxn--bcher-kva.example\n"
    assert rmail("domain", "remove", "bücher.example").code == 0
    assert rmail("domain", "list", "--json").data == ["example.com"]
    assert "there is no domain" in rmail("domain", "remove", "bücher.example").failure()
    assert "is not a domain name" in rmail("domain", "add", "a..b").refusal()


def test_a_domain_in_use_is_not_removed(rmail: Rmail) -> None:
    rmail("domain", "add", "example.org")
    rmail("user", "add", "bob@example.org", "--password", "x")
    assert "still has 1 account" in rmail("domain", "remove", "example.org").failure()
    assert "stands in `domains`" in rmail("domain", "remove", "example.com").failure()


def test_aliases_keep_their_order(rmail: Rmail) -> None:
    rmail("user", "add", ALICE, "--password", "x")
    for pattern, target in (("sales-.*", "alice"), ("info", "bob@example.org")):
        assert rmail("alias", "add", "example.com", pattern, target).code == 0
    rows = rmail("alias", "list", "example.com", "--json").data
    assert [(row["pattern"], row["target"]) for row in rows] == [
        ("sales-.*", "alice"),
        ("info", "bob@example.org"),
    ]
    assert "sales-.*" in rmail("alias", "list").out
    assert rmail("alias", "remove", "example.com", "sales-.*").code == 0
    assert len(rmail("alias", "list", "--json").data) == 1


def test_an_alias_takes_several_targets(rmail: Rmail) -> None:
    rmail("user", "add", ALICE, "--password", "x")
    added = rmail("alias", "add", "example.com", "all", "alice", "bob@example.org")
    assert added.out == "alias all -> alice, bob@example.org added to example.com\n"
    (row,) = rmail("alias", "list", "--json").data
    assert row["targets"] == ["alice", "bob@example.org"]
    assert "alice, bob@example.org" in rmail("alias", "list").out
    assert "nobody" in rmail("alias", "add", "example.com", "b", "alice", "nobody").refusal()
    assert len(rmail("alias", "list", "--json").data) == 1


def test_a_bad_alias_is_refused(rmail: Rmail) -> None:
    assert "no user alice" in rmail("alias", "add", "example.com", "a", "alice").refusal()
    rmail("user", "add", ALICE, "--password", "x")
    assert "pattern" in rmail("alias", "add", "example.com", "(", "alice").refusal().lower()
    assert "no domain" in rmail("alias", "add", "example.org", "a", "alice").refusal()
    rmail("alias", "add", "example.com", "a", "alice")
    rmail("alias", "add", "example.com", "a", "x@example.org").failure()
    assert "has no alias b" in rmail("alias", "remove", "example.com", "b").failure()


def test_unban_tells_whether_there_was_a_lockout(rmail: Rmail) -> None:
    assert rmail("unban", "192.0.2.1").out == (
        "192.0.2.1 was not locked out; `rmail status` shows who is\n"
    )


async def lock_out(folder: Path, peer: str) -> None:
    """Fails to log in as alice from an address until it is locked out."""
    async with open_session(load_settings(folder / "config.json")) as session:
        kernel = Kernel(session.settings, new_bus())
        kernel.state = session.state
        for _ in range(session.settings.rate_limit.max_auth_failures):
            await Lockout(kernel).failed(peer, ALICE)
        await kernel.stop()


def test_a_lockout_is_shown_and_ended(rmail: Rmail, folder: Path) -> None:
    asyncio.run(lock_out(folder, "192.0.2.1"))
    bans = rmail("status", "--json").data["bans"]
    assert [(ban["ip"], ban["account"]) for ban in bans] == [
        ("192.0.2.1", None),
        ("192.0.2.1", ALICE),
    ]
    assert 0 < bans[0]["seconds_left"] <= 900
    assert f"192.0.2.1 as {ALICE} (" in rmail("status").out
    assert rmail("unban", ALICE).out == f"{ALICE} may log in again\n"
    assert rmail("unban", "192.0.2.1").out == "192.0.2.1 may log in again\n"
    assert rmail("status", "--json").data["bans"] == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act for another owner")
def test_what_root_writes_belongs_to_the_owner_of_the_store(rmail: Rmail, store: Path) -> None:
    nobody = 65534
    for path in (store, *store.rglob("*")):
        os.chown(path, nobody, nobody)
    rmail("user", "add", ALICE, "--password", "x")
    rmail("domain", "add", "example.org")
    rmail("alias", "add", "example.com", "a", "alice")
    rmail("user", "show", ALICE)
    rmail("unban", "192.0.2.1")
    others = [path for path in store.rglob("*") if path.stat().st_uid != nobody]
    assert others == []


def test_a_store_of_a_newer_version_is_left_alone(rmail: Rmail, store: Path) -> None:
    path = store / "domains/example.com/domain.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"version": 99}))
    before = tree(store)
    assert "version" in rmail("user", "list").refusal()
    assert tree(store) == before
