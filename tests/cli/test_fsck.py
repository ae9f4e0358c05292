"""`rmail fsck` finds what is wrong with an account, and repairs it when told to."""

from __future__ import annotations

import asyncio
import io
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
    assert rmail("fsck", ALICE, "--json").data == {"accounts": 1, "messages": 1, "findings": []}


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
