"""Mailbox patterns of LIST (RFC 3501 6.3.8, RFC 9051 6.3.9)."""

from __future__ import annotations

import asyncio

import pytest
from rmail_imap.patterns import MAX_PATTERN_BYTES, Pattern, matching


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        (b"*", "a/b", True),
        (b"%", "a", True),
        (b"%", "a/b", False),
        (b"a/%", "a/b", True),
        (b"a/%", "a/b/c", False),
        (b"a*c", "a/b/c", True),
        (b"%/%", "a/b", True),
        (b"*%", "a/b", True),
        (b"a.b", "axb", False),
        (b"inbox", "INBOX", True),
        (b"InB%", "INBOX", True),
        (b"Sent", "sent", False),
        (b"Entw&APw-rfe", "Entwürfe", True),
        (b"Entw*rfe", "Entwürfe", True),
        (b"", "a", False),
        (b"&-&-%", "&&x", True),
        (b"inbox/%", "INBOX/a", True),
        (b"inbox/A", "INBOX/a", False),
        (b"in*", "INBOX/a", True),
        (b"sent/%", "Sent/a", False),
        (b"Cafe&AwE-/%", "Caf\u00e9/b", True),  # in NFD, as some file systems have names
        (b"Caf&AOk-/%", "Caf\u00e9/b", True),
        (b"Caf&A*-/b", "Caf\u00e9/b", True),
        (b"Caf&AO%", "Caf\u00e9", True),
        (b"Cafe/%", "Caf\u00e9/b", False),
    ],
)
def test_patterns(pattern: bytes, name: str, expected: bool) -> None:
    assert Pattern(pattern).matches(name) is expected


def test_a_pattern_of_many_wildcards_takes_linear_time() -> None:
    assert not Pattern(b"*a" * (MAX_PATTERN_BYTES // 2)).matches("a" * 500 + "b")


async def test_others_run_while_many_names_are_compared_with_many_patterns() -> None:
    patterns = [Pattern(b"%x" * 100 + b"%d" % number) for number in range(100)]
    turns = 0

    async def live() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(live())
    assert await matching(["a/b"] * 500, patterns) == []
    other.cancel()
    assert turns > 3


def test_a_pattern_that_is_too_long_matches_nothing() -> None:
    # RFC 9051 6.3.9: silently ignored
    assert Pattern(b"*" * MAX_PATTERN_BYTES).matches("a")
    assert not Pattern(b"*" * (MAX_PATTERN_BYTES + 1)).matches("a")


@pytest.mark.parametrize("raw", ["Caf\u00e9/%", "Cafe\u0301/%", "C*\u00e9/b", "C*e\u0301/b"])
@pytest.mark.parametrize("is_utf8", [False, True])
def test_utf8_patterns_match_composed_or_not(raw: str, is_utf8: bool) -> None:
    # RFC 9051 5.1: denormalized names are accepted wherever names are
    assert Pattern(raw.encode(), is_utf8=is_utf8).matches("Caf\u00e9/b")
    assert not Pattern(raw.encode(), is_utf8=is_utf8).matches("Cafe/b")


def test_only_ascii_letters_make_an_inbox() -> None:
    assert not Pattern("\u0131nbox".encode(), is_utf8=True).matches("INBOX")
