"""`rmail config`: what is in force, where it comes from, and the page about it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rmail_kernel import plugins
from rmail_kernel.cli.settings_page import render
from tests.cli.conftest import Rmail

ROOT = Path(__file__).parents[2]
SHIPPED = {path.name.removeprefix("rmail_") for path in (ROOT / "plugins").iterdir()}


def test_show_tells_where_each_value_comes_from(
    rmail: Rmail, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "config.json").write_text('{"workers": 3, "http": {"port": 80}}')
    monkeypatch.setenv("RMAIL_HTTP__TLS_PORT", "443")
    shown = rmail("config", "show").out.splitlines()
    lines = {line.split()[0]: line.split()[1:] for line in shown}
    assert lines["workers"] == ["3", "file"]
    assert lines["http.port"] == ["80", "file"]
    assert lines["http.tls_port"] == ["443", "RMAIL_HTTP__TLS_PORT"]
    assert lines["log.level"] == ['"info"', "default"]


def test_show_as_json_is_a_configuration(rmail: Rmail, folder: Path) -> None:
    (folder / "config.json").write_text('{"workers": 3}')
    shown = rmail("config", "show", "--json")
    assert shown.data["workers"] == 3
    (folder / "again.json").write_text(shown.out)
    again = rmail("config", "show", "--json", "-c", "again.json")
    assert again.data == shown.data


def test_check_warns_of_sections_without_a_plugin(rmail: Rmail, folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps({"plugins": [], "greylist": {"a": 1}}))
    outcome = rmail("config", "check")
    assert outcome.code == 0
    assert outcome.err == ("rmail: warning: section 'greylist' belongs to no installed plugin\n")


def test_docs_name_every_setting_and_default(rmail: Rmail) -> None:
    page = rmail("config", "docs").out
    assert '| `hostname` | text | `"localhost"` |  | Name of this server' in page
    assert "| `process.drain_s` | number ≥ 0 | `30.0` | s |" in page
    assert '`"auto"` or `"json"` or `"console"`' in page


def test_docs_of_one_plugin_leave_out_the_others(rmail: Rmail) -> None:
    page = rmail("config", "docs", "smtp").out
    assert "## `webhook`" not in page
    assert "## `http`" in page


def test_the_page_in_the_repository_is_what_the_declarations_say() -> None:
    shipped = [found for found in plugins.installed() if found.name in SHIPPED]
    page = (ROOT / "docs/settings.md").read_text("utf-8")
    assert page == render(plugins.sections(shipped)), "run `make docs`"
