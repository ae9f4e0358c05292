"""`rmail init` makes a configuration and a store, all or nothing, and never replaces one."""

from __future__ import annotations

import io
import json
import stat
from pathlib import Path

import pytest

from tests.cli.conftest import Rmail, tree

ADMIN = ("--admin", "alice", "--password", "secret")


def test_it_writes_a_configuration_that_is_good(rmail: Rmail, folder: Path) -> None:
    assert rmail("init", "--domain", "Example.com", *ADMIN).code == 0
    data = json.loads((folder / "config.json").read_text())
    assert data["domains"] == ["example.com"]
    assert data["hostname"] == "mail.example.com"
    assert data["mail_root"] == "./mailstore"
    assert {"smtp", "imap", "relay", "api"} >= set(data["plugins"])
    assert rmail("config", "check").out == "config.json is good\n"


def test_it_makes_the_domain_and_the_administrator(rmail: Rmail) -> None:
    rmail("init", "--domain", "example.com", *ADMIN)
    assert rmail("domain", "list", "--json").data == ["example.com"]
    (user,) = rmail("user", "list", "--json").data
    assert (user["address"], user["admin"], user["enabled"]) == ("alice@example.com", True, True)


def test_the_file_is_for_its_owner_only_and_has_a_fixed_secret(rmail: Rmail, folder: Path) -> None:
    rmail("init", "--domain", "example.com")
    rmail("init", "--domain", "example.com", "--config", "b.json", "--root", "b")
    one, other = (json.loads((folder / name).read_text()) for name in ("config.json", "b.json"))
    assert stat.S_IMODE((folder / "config.json").stat().st_mode) == 0o600
    assert len(one["exchange_api"]["token_secret"]) >= 32
    assert one["exchange_api"] != other["exchange_api"]


def test_root_hostname_and_file_are_as_told(rmail: Rmail, folder: Path) -> None:
    (folder / "etc").mkdir()
    words = ("--root", str(folder / "data"), "--hostname", "mx.example.com")
    rmail("init", "--domain", "example.com", "--config", "etc/rmail.json", *words)
    data = json.loads((folder / "etc/rmail.json").read_text())
    assert data["mail_root"] == str(folder / "data")
    assert data["hostname"] == "mx.example.com"
    assert rmail("domain", "list", "-c", "etc/rmail.json").out == "example.com\n"


def test_a_relative_root_counts_from_the_current_folder(rmail: Rmail, folder: Path) -> None:
    rmail("init", "--domain", "example.com", "--root", "some/store")
    assert json.loads((folder / "config.json").read_text())["mail_root"] == "./some/store"
    assert (folder / "some/store").is_dir()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ((), "no domain; give --domain"),
        (("--domain", "exa mple"), "'exa mple' is not a domain name"),
        (("--domain", "example.com", "--admin", "alice"), "no password; give --password"),
        (("--domain", "example.com", "--admin", "al ice", "--password", "x"), "Not a mail address"),
        (("--domain", "example.com", "--admin", "a@b.org", "--password", "x"), "is not of the dom"),
        (("--domain", "example.com", "--password", "x"), "a password without an account"),
        (("--domain", "example.com", "--hostname", "a b"), "hostname: "),
        (("--domain", "example.com", "--admin", "a", "--password", "x" * 1025), "longer than 1024"),
        (("--domain", "example.com", "--admin", "a", "--password", ""), "the password is empty"),
        (("--domain", "example.com", "--config", "absent/x.json"), "there is no folder absent"),
    ],
)
def test_wrong_use_writes_nothing(
    rmail: Rmail, folder: Path, words: tuple[str, ...], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert reason in rmail("init", *words).refusal()
    assert tree(folder) == {}


def test_a_name_that_the_store_refuses_leaves_nothing_behind(rmail: Rmail, folder: Path) -> None:
    (folder / "data").mkdir()
    for root in ("data", "new"):
        words = ("--root", root, "--admin", "-alice-", "--password", "x")
        rmail("init", "--domain", "example.com", *words).refusal()
    assert tree(folder) == {"data": None}


def test_an_existing_configuration_is_not_replaced(rmail: Rmail, folder: Path) -> None:
    (folder / "config.json").write_text("precious")
    assert "config.json exists" in rmail("init", "--domain", "example.com").refusal()
    assert tree(folder) == {"config.json": b"precious"}


def test_a_dangling_link_is_not_followed(rmail: Rmail, folder: Path) -> None:
    (folder / "config.json").symlink_to("elsewhere")
    assert "config.json exists" in rmail("init", "--domain", "example.com").refusal()
    assert not (folder / "elsewhere").exists()


def test_a_folder_with_something_in_it_is_no_new_store(rmail: Rmail, folder: Path) -> None:
    (folder / "mailstore").mkdir()
    (folder / "mailstore/precious").write_text("x")
    assert "is not an empty folder" in rmail("init", "--domain", "example.com").refusal()
    assert not (folder / "config.json").exists()


def test_the_password_may_come_from_standard_input(
    rmail: Rmail, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("secret\n"))
    words = ("--admin", "alice", "--password-stdin")
    assert rmail("init", "--domain", "example.com", *words).code == 0


def test_the_secret_is_not_printed(rmail: Rmail, folder: Path) -> None:
    outcome = rmail("init", "--domain", "example.com", *ADMIN)
    secret = json.loads((folder / "config.json").read_text())["exchange_api"]["token_secret"]
    shown = outcome.out + rmail("config", "show").out + rmail("config", "show", "--json").out
    assert secret not in shown
    assert "***" in shown


class Terminal(io.StringIO):
    """Answers typed at a terminal."""

    def isatty(self) -> bool:
        return True


def test_it_asks_for_what_it_is_not_told(rmail: Rmail, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", Terminal("example.org\n\n"))
    assert rmail("init", "--password", "secret").code == 0
    (user,) = rmail("user", "list", "--json").data
    assert user["address"] == "admin@example.org"  # the proposal, taken by an empty answer


def test_an_abandoned_question_writes_nothing(
    rmail: Rmail, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(""))
    assert rmail("init").code != 0
    assert tree(folder) == {}
