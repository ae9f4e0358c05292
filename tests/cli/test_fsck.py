"""`rmail fsck` finds what is wrong with an account, and repairs it when told to."""

from __future__ import annotations

import asyncio
import io
import os
from pathlib import Path

import pytest

from rmail_kernel.cli.session import load_settings, open_session
from rmail_kernel.content import Content
from rmail_kernel.storage.ids import AccountId
from rmail_kernel.storage.mail import AppendItem
from tests.cli.conftest import Rmail

ALICE = "alice@example.com"


async def append(folder: Path) -> None:
    async with open_session(load_settings(folder / "config.json")) as session:
        item = AppendItem("INBOX", Content.of(b"Subject: a\r\n\r\nHi\r\n"))
        await session.mail.append(AccountId(ALICE), [item])


@pytest.fixture
def message(rmail: Rmail, store: Path, folder: Path) -> Path:
    """The file of alice's only message."""
    rmail("user", "add", ALICE, "--password", "x")
    asyncio.run(append(folder))
    (path,) = store.rglob("*.eml")
    return path


def test_a_good_store_is_clean(rmail: Rmail, message: Path) -> None:
    outcome = rmail("fsck")
    assert (outcome.code, outcome.out) == (0, "1 accounts, 1 messages: clean\n")
    assert rmail("fsck", ALICE, "--json").data == {
        "accounts": 1,
        "messages": 1,
        "spooled": 0,
        "queued": 0,
        "findings": [],
    }


def test_a_lost_file_is_found_and_repaired_only_when_told(rmail: Rmail, message: Path) -> None:
    message.rename(message.with_suffix(".lost"))
    found = rmail("fsck", "--json")
    assert found.code == 1
    assert {finding["repaired"] for finding in found.data["findings"]} == {False}
    again = rmail("fsck")
    assert again.code == 1
    assert "`rmail fsck --repair` repairs what can be" in again.out
    repaired = rmail("fsck", "--repair")
    assert repaired.code == 0
    assert f"repaired: {ALICE} INBOX: " in repaired.out
    assert rmail("fsck").code == 0


def test_an_absent_account_is_told(rmail: Rmail, message: Path) -> None:
    assert "there is no account bob@example.com" in rmail("fsck", "bob@example.com").failure()


class Terminal(io.StringIO):
    """Standard error of a person."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_sees_how_far_it_is(
    rmail: Rmail, message: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    assert rmail("fsck").out == "1 accounts, 1 messages: clean\n"
    assert ALICE in terminal.getvalue()


def test_the_spool_is_looked_at_and_what_needs_a_person_stays(
    rmail: Rmail, message: Path, store: Path
) -> None:
    spool = store / "spool"
    spool.mkdir(exist_ok=True)
    (spool / "a.bad").write_text("a message nobody could read")
    (spool / "b.msg").write_text("not json\n\n")
    (spool / "c.json").write_text("{}")
    found = rmail("fsck", "--repair", "--json")
    assert found.code == 1
    assert [(one["severity"], one["repaired"]) for one in found.data["findings"]] == [
        ("error", False),
        ("error", False),
        ("warning", True),
    ]
    assert "b.msg cannot be read" in found.data["findings"][0]["text"]
    assert sorted(path.name for path in spool.iterdir()) == ["a.bad", "b.msg"]
    assert "error: spool: a.bad was accepted and cannot be delivered" in rmail("fsck").out
    assert rmail("fsck", ALICE).code == 0


def test_the_queue_is_looked_at_and_leftovers_go(rmail: Rmail, message: Path, store: Path) -> None:
    spool = store / "queue/spool"
    spool.mkdir(parents=True)
    (spool / f"{'a' * 32}.bad").write_text("a message nobody could read")
    (spool / f"{'b' * 32}.log").write_text("{}")
    os.utime(spool / f"{'b' * 32}.log", (0, 0))
    assert "warning: queue: bbb" in rmail("fsck").out
    found = rmail("fsck", "--repair", "--json")
    assert (found.code, found.data["queued"]) == (1, 0)
    assert [(one["place"], one["repaired"]) for one in found.data["findings"]] == [
        ("queue", True),
        ("queue", False),
    ]
    assert [path.suffix for path in spool.iterdir()] == [".bad"]


def test_indexes_are_made_anew_when_asked_for(rmail: Rmail, message: Path) -> None:
    index = message.parents[3] / "search.db"
    assert "give --repair" in rmail("fsck", "--reindex").refusal()
    assert rmail("fsck", "--repair").code == 0
    before = index.stat().st_ino, index.stat().st_mtime_ns
    assert rmail("fsck", "--repair", "--reindex").code == 0
    assert (index.stat().st_ino, index.stat().st_mtime_ns) != before


def test_a_damaged_full_text_index_is_told_and_made_anew(rmail: Rmail, message: Path) -> None:
    assert rmail("fsck", "--repair").code == 0
    index = message.parents[3] / "search.db"
    index.write_bytes(b"this is no database" * 500)
    found = rmail("fsck", "--json")
    assert found.code == 1
    assert "search.db" in found.data["findings"][0]["text"]
    assert rmail("fsck", "--repair").code == 0
    assert rmail("fsck").code == 0
