"""i;unicode-casemap (RFC 5051 2)."""

from __future__ import annotations

import sys
import unicodedata

import pytest

from rmail_kernel.casemap import casemap


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("hello", "HELLO"),
        ("é", "e\u0301"),
        ("É", "é"),
        ("ǆ", "ǅ"),
        ("①", "1"),
        ("σ", "ς"),
        ("한", "\u1112\u1161\u11ab"),
    ],
)
def test_texts_that_differ_in_case_and_composition_are_equal(one: str, other: str) -> None:
    assert casemap(one) == casemap(other)


@pytest.mark.parametrize(("one", "other"), [("ß", "ss"), ("ﬁ", "FI"), ("ı", "l")])
def test_only_simple_mappings_make_texts_equal(one: str, other: str) -> None:
    assert casemap(one) != casemap(other)


def test_the_example_of_the_rfc() -> None:
    assert casemap("\u01c4") == "\u0044\u007a\u030c"


def test_a_character_with_a_diacritic_begins_with_the_one_without() -> None:
    assert casemap("cafe") in casemap("Un Café")


def test_what_comes_of_it_is_decomposed() -> None:
    for code in range(sys.maxunicode + 1):
        found = casemap(chr(code))
        assert unicodedata.is_normalized("NFKD", found)


def test_a_rare_character_becomes_what_it_becomes_alone() -> None:
    filler = "abc" * 200
    for code in range(0x80, sys.maxunicode, 37):  # some of them are half of a pair
        rare = chr(code)
        assert casemap(filler + rare + filler) == filler.upper() + casemap(rare) + filler.upper()
