"""The typed writer (RFC 3501 9)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st
from rmail_imap import write
from rmail_imap.mailbox_names import decode_name
from rmail_imap.parse.cursor import Cursor
from rmail_imap.parse.dates import date_time
from rmail_imap.parse.sets import number_set


@given(st.binary().map(lambda raw: raw.replace(b"\0", b"")))
def test_strings_read_back(raw: bytes) -> None:
    assert Cursor(write.string(raw)).string() == raw
    assert Cursor(write.astring(raw)).astring() == raw


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1))
def test_names_read_back(name: str) -> None:
    assert Cursor(write.mailbox(name, is_utf8=True)).string() == name.encode()
    assert decode_name(Cursor(write.mailbox(name)).string()) == name


def test_a_nul_in_a_name_that_is_there_spoils_no_response() -> None:
    assert Cursor(write.mailbox("a\0", is_utf8=True)).string() == "a\ufffd".encode()


@given(st.lists(st.integers(1, 50), unique=True).map(sorted))
def test_sets_read_back(numbers: list[int]) -> None:
    raw = write.number_set(numbers)
    if not numbers:
        assert raw == b""
        return
    ranges = number_set(Cursor(raw)).ranges
    assert [n for low, high in ranges for n in range(low, high + 1)] == numbers


def test_numbers_keep_their_order() -> None:
    assert write.number_set([5, 6, 7, 3, 9]) == b"5:7,3,9"


def test_dates_are_in_utc() -> None:
    at = datetime(2026, 2, 3, 1, 2, 3, tzinfo=timezone(timedelta(hours=2)))
    assert write.date_time(at) == b'"02-Feb-2026 23:02:03 +0000"'
    assert date_time(Cursor(write.date_time(at))) == at.astimezone(UTC)


def test_texts_are_one_ascii_line() -> None:
    assert write.status(b"* OK", "a\r\nb ü", b"X 1") == b"* OK [X 1] a b ?"
