"""Mailbox patterns of LIST (RFC 3501 6.3.8)."""

from __future__ import annotations

import asyncio

import pytest
from rmail_imap.errors import BadSyntax
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
    ],
)
def test_patterns(pattern: bytes, name: str, expected: bool) -> None:
    assert Pattern(pattern).matches(name) is expected


def test_a_pattern_of_many_wildcards_takes_linear_time() -> None:
    assert not Pattern(b"*a" * (MAX_PATTERN_BYTES // 2)).matches("a" * 500 + "b")


def test_patterns_are_limited() -> None:
    with pytest.raises(BadSyntax):
        Pattern(b"a" * (MAX_PATTERN_BYTES + 1))


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
