"""No password is shown of what a client says, however it is cut into pieces."""

from __future__ import annotations

import random

import pytest
from rmail_imap.masking import HELD_BYTES, Mask


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (b"a LOGIN u secret\r\nb NOOP\r\n", b"a LOGIN ***\r\nb NOOP\r\n"),
        (b"a login {1}\r\nu {6+}\r\nsecret\r\nb NOOP\r\n", b"a login ***\r\nb NOOP\r\n"),
        (b"a LOGIN u {8+}\r\nse\r\ncret\r\nb NOOP\r\n", b"a LOGIN ***\r\nb NOOP\r\n"),
        (b"a  LOGIN u secret\r\n", b"a  LOGIN ***\r\n"),
        (b" a\tLOGIN u secret\r\n", b"a\tLOGIN ***\r\n"),
        (b"a" * 300 + b" LOGIN u secret\r\n", b"a" * 300 + b" LOGIN ***\r\n"),
        (b"a AUTHENTICATE PLAIN secret\r\n", b"a AUTHENTICATE ***\r\n"),
        (
            b"a AUTHENTICATE LOGIN\r\nsecret\r\nsecret\r\nb NOOP\r\n",
            b"a AUTHENTICATE ***\r\n***\r\n***\r\nb NOOP\r\n",
        ),
        (b"a LOGIN\r\nDONE\r\n", b"a LOGIN ***\r\nDONE\r\n"),
        (b"a LOGIN u secret\nb NOOP\n", b"a LOGIN ***\r\nb NOOP\n"),
        (b"a SEARCH TEXT LOGIN\r\n", b"a SEARCH TEXT LOGIN\r\n"),
        (b"a APPEND x {9}\r\nno secret\r\n", b"a APPEND x {9}\r\nno secret\r\n"),
        (b"a LOGIN " + b"secret" * 5000 + b"\r\nb NOOP\r\n", b"a LOGIN ***\r\nb NOOP\r\n"),
    ],
)
def test_what_logs_in_is_masked_wherever_it_is_cut(said: bytes, shown: bytes) -> None:
    assert Mask()(said) == shown
    for seed in range(200):
        draw, mask, found, at = random.Random(seed), Mask(), b"", 0
        while at < len(said):
            size = draw.choice([1, 2, 5, 40, HELD_BYTES])
            found += mask(said[at : at + size])
            at += size
        assert found == shown


def test_no_more_is_held_back_than_the_start_of_a_line() -> None:
    mask = Mask()
    start = b"a SEARCH TEXT ".ljust(HELD_BYTES, b"x")
    assert mask(start[:-1]) == b""
    assert mask(start[-1:]) == start
    assert mask(b"y" * 5) == b"y" * 5


def test_a_line_whose_command_cannot_be_told_is_masked() -> None:
    mask = Mask()
    assert mask(b"a" * HELD_BYTES + b" LOG") == b"***\r\n"
    assert mask(b"IN u secret\r\nb NOOP\r\n") == b"b NOOP\r\n"
