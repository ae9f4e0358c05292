"""docs/storage.md against the code: versions, tables and fields of everything on disk."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rmail_kernel.model import Address
from rmail_kernel.storage.accounts import Account, ScramKeys
from rmail_kernel.storage.filesystem import (
    annotating,
    fulltext,
    keyword_file,
    records,
    schema,
    state,
    subscriptions,
)
from rmail_kernel.storage.filesystem.rebuild import new_row
from rmail_kernel.storage.filesystem.tables import AccountRow
from rmail_kernel.storage.ids import AccountId

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/storage.md").read_text("utf-8")
_COUNTERS = AccountRow(1, 1, 1, 1, 0, 0)
_CONSTANT = re.compile(r"^([A-Z_]*VERSION)(?:: Final)? = (\d+)$", re.M)
_ROW = re.compile(r"^\| .* \| `(\w+)` in `([\w/.]+)` \| (\d+) \|$", re.M)


def _versions_in_code() -> set[tuple[str, str, str]]:
    kernel = ROOT / "rmail_kernel"
    return {
        (name, str(path.relative_to(kernel)), number)
        for folder in ("storage", "delivery")
        for path in (kernel / folder).rglob("*.py")
        for name, number in _CONSTANT.findall(path.read_text("utf-8"))
    }


def test_every_version_of_something_on_disk_is_on_the_page() -> None:
    in_code = _versions_in_code()
    assert len(in_code) >= 6
    assert set(_ROW.findall(PAGE)) == in_code


def _tables(sql: str) -> list[str]:
    return re.findall(r"CREATE TABLE (?:IF NOT EXISTS )?(\w+)", sql)


def test_every_table_of_the_account_database_is_described() -> None:
    section = PAGE.partition("## account.db\n")[2].partition("\n## ")[0]
    described = re.findall(r"^\| `(\w+)` \|", section, re.M)
    assert described == _tables(schema.TABLES)


def test_every_table_of_the_full_text_index_is_described() -> None:
    section = PAGE.partition("## search.db\n")[2].partition("\n## ")[0]
    described = re.findall(r"^\| `(\w+)` \|", section, re.M)
    assert described == re.findall(r"CREATE (?:VIRTUAL )?TABLE (\w+)", fulltext.TABLES)


def test_every_table_of_the_shared_state_is_described() -> None:
    for table in _tables(state._SCHEMA):
        assert f"`{table}`" in PAGE


def _account_fields() -> set[str]:
    keys = ScramKeys(4096, b"", b"", b"")
    account = Account(AccountId("a@example.com"), Address("a", "example.com"), "", scram=keys)
    return set(records.dump_account(account, {}))


@pytest.mark.parametrize(
    ("file", "fields"),
    [
        ("account.json", _account_fields()),
        ("mail.json", set(_COUNTERS.as_json())),
        ("status.json", {*new_row(_COUNTERS, "INBOX", 0).as_json(), annotating.FIELD}),
        ("keywords.json", {"version", keyword_file.FIELD}),
        ("annotations.json", {"version", annotating.FIELD}),
        ("subscriptions.json", {"version", subscriptions.FIELD}),
        ("aliases.json", set(records.dump_aliases([], {}))),
    ],
)
def test_every_field_of_a_record_is_described_in_its_table(file: str, fields: set[str]) -> None:
    section = re.search(rf"^`[\w/]*{re.escape(file)}`.*?\n\n(\|.*?)\n\n", PAGE, re.M | re.S)
    assert section is not None, f"no table for {file}"
    cells = re.findall(r"^\| (`.*?) \|", section[1], re.M)
    assert set(re.findall(r"`(\w+)`", " ".join(cells))) == fields
