"""Bad configuration: one clear line, exit code 2, nothing changed."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Rmail, tree

COMMANDS = (("run", "--workers", "0"), ("user", "list"), ("config", "check"), ("dev",))


def write(folder: Path, **data: Any) -> None:
    settings = {"domains": ["example.com"], "plugins": [], **data}
    (folder / "config.json").write_text(json.dumps(settings))


def refusal(rmail: Rmail, folder: Path, *words: str) -> str:
    """The line of a refused command, which left the folder as it was."""
    before = tree(folder)
    line = rmail(*words).refusal()
    assert tree(folder) == before
    return line


@pytest.mark.parametrize("words", COMMANDS)
def test_an_unknown_key_names_its_path_and_a_near_match(
    rmail: Rmail, folder: Path, words: tuple[str, ...]
) -> None:
    write(folder, http={"prot": 80})
    line = refusal(rmail, folder, *words)
    assert line == "http.prot: unknown setting; did you mean 'port'?"


@pytest.mark.parametrize("port", [70000, "x"])
def test_a_bad_port_names_its_path(rmail: Rmail, folder: Path, port: object) -> None:
    write(folder, http={"port": port})
    line = refusal(rmail, folder, "run")
    assert line.startswith("http.port: should be")
    assert json.dumps(port) in line


def test_a_bad_variable_names_the_path(
    rmail: Rmail, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder)
    monkeypatch.setenv("RMAIL_SMTP__PORT", "abc")
    assert refusal(rmail, folder, "run").startswith("smtp.port: should be")
    monkeypatch.setenv("RMAIL_SMTP__PORT", "2526")
    assert rmail("config", "show", "--json").data["smtp"]["port"] == 2526


@pytest.mark.parametrize("words", COMMANDS[:3])
def test_a_missing_configuration_names_init(
    rmail: Rmail, folder: Path, words: tuple[str, ...]
) -> None:
    assert "config.json does not exist; `rmail init` makes one" in refusal(rmail, folder, *words)


@pytest.mark.parametrize("words", COMMANDS)
@pytest.mark.parametrize(
    ("raw_text", "reason"),
    [
        (b'{"domains": ["exa', "is not valid JSON: line 1 column"),
        (b'{"workers": 1, "workers": 2}', "the key 'workers' stands twice"),
        (b'{"hostname": "\xff"}', "is not UTF-8"),
    ],
)
def test_a_broken_file_is_told_with_its_place(
    rmail: Rmail, folder: Path, words: tuple[str, ...], raw_text: bytes, reason: str
) -> None:
    (folder / "config.json").write_bytes(raw_text)
    assert reason in refusal(rmail, folder, *words)


@pytest.mark.parametrize("words", COMMANDS)
def test_an_unreadable_configuration_is_told(
    rmail: Rmail, folder: Path, words: tuple[str, ...]
) -> None:
    (folder / "config.json").mkdir()
    assert refusal(rmail, folder, *words) == "config.json cannot be read: Is a directory"


def test_a_server_without_a_domain_does_not_start(rmail: Rmail, folder: Path) -> None:
    write(folder, domains=[])
    assert refusal(rmail, folder, "run").startswith("domains: there is no domain")


def test_an_unknown_plugin_names_a_near_one(rmail: Rmail, folder: Path) -> None:
    write(folder, plugins=["smpt"])
    for words in (("run",), ("config", "check"), ("dev",)):
        line = refusal(rmail, folder, *words)
        assert line == "plugin smpt: is not installed; did you mean 'smtp'?"


def test_a_plugin_of_the_command_line_is_checked_like_one_of_the_file(
    rmail: Rmail, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RMAIL_PLUGINS", "[]")  # restored after the test
    write(folder)
    assert "plugin imapp: is not inst" in refusal(rmail, folder, "run", "--plugins", "smtp,imapp")


@pytest.mark.parametrize("words", [("run", "--workers", "0"), ("run", "--workers", "1"), ("dev",)])
def test_a_port_in_use_is_told(rmail: Rmail, folder: Path, words: tuple[str, ...]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        write(
            folder,
            plugins=["imap"],
            imap={"host": "127.0.0.1", "port": port, "imaps_port": None},
        )
        line = refusal(rmail, folder, *words)
    assert str(port) in line
    assert "in use" in line


def test_a_store_that_does_not_exist_is_told(rmail: Rmail, folder: Path) -> None:
    write(folder)
    line = refusal(rmail, folder, "user", "list")
    assert line == f"mail_root: there is no store at {folder}/mailstore; `rmail init` makes one"


def test_a_store_that_is_a_file_is_told(rmail: Rmail, folder: Path) -> None:
    write(folder)
    (folder / "mailstore").write_text("not a store")
    for words in (("user", "list"), ("run", "--workers", "0"), ("dev",)):
        assert "mailstore" in refusal(rmail, folder, *words)


def test_a_store_that_cannot_be_written_is_told(rmail: Rmail, folder: Path) -> None:
    write(folder, mail_root="/proc/rmail")  # where not even root can make a folder
    for words in (("run", "--workers", "0"), ("dev",)):
        assert "/proc/rmail" in refusal(rmail, folder, *words)


def test_secrets_stay_out_of_errors(rmail: Rmail, folder: Path) -> None:
    write(folder, exchange_api={"token_secret": "hunter2"})
    assert "hunter2" not in refusal(rmail, folder, "run")
