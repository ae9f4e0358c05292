"""RFC 5256 2.1: what is taken off a subject."""

from __future__ import annotations

import time

import pytest

from rmail_kernel.mime import base_subject


@pytest.mark.parametrize(
    ("subject", "base", "is_reply"),
    [
        ("", "", False),
        ("Hello", "Hello", False),
        (" a\t b \r\n  c ", "a b c", False),
        ("Re: Hello", "Hello", True),
        ("RE : re:Hello", "Hello", True),
        ("Fw: Fwd: Hello", "Hello", True),
        ("Re[2]: Hello", "Hello", True),
        ("Re [x] : Hello", "Hello", True),
        ("[list] Re: [list] Hello", "Hello", True),
        ("[list] Hello", "Hello", False),
        ("[a] [b]", "[b]", False),
        ("[a]", "[a]", False),
        ("Re: [a]", "[a]", True),
        ("[a] re:", "", True),
        ("Re:", "", True),
        ("Hello (fwd) (FWD) ", "Hello", True),
        ("(fwd)", "", True),
        ("[fwd: Re: [x] Hello (fwd)]", "Hello", True),
        ("[Fwd: [fwd: Hello]]", "Hello", True),
        ("[fwd: Hello] again", "again", False),
        ("[a[b] Hello", "[a[b] Hello", False),
        ("Refer: Hello", "Refer: Hello", False),
        ("Hello Re: you", "Hello Re: you", False),
    ],
)
def test_the_base_subject(subject: str, base: str, is_reply: bool) -> None:
    assert base_subject(subject) == (base, is_reply)


@pytest.mark.parametrize("piece", ["[a]", "re:", "[", "re[", "(fwd)", " ", "[fwd:", "[fwd: ]"])
def test_any_subject_takes_little_time(piece: str) -> None:
    started_at = time.process_time()
    base_subject(piece * 100_000)
    assert time.process_time() - started_at < 0.5
