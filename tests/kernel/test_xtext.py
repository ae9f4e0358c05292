"""xtext, as RFC 3461 4 and RFC 6533 3 have it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmail_kernel import xtext
from rmail_kernel.errors import Invalid


@pytest.mark.parametrize(
    ("raw", "text"),
    [("", ""), ("QQ314159", "QQ314159"), ("a+2Bb+3D+20c", "a+b= c"), ("<x@y>", "<x@y>")],
)
def test_what_an_xtext_stands_for(raw: str, text: str) -> None:
    assert xtext.decode(raw) == text
    assert xtext.encode(text) == raw


@pytest.mark.parametrize("raw", ["a b", "a=b", "a+2b", "a+", "a+2", "é", "+0D+0A", "+00", "+7F"])
def test_what_is_no_xtext_is_refused(raw: str) -> None:
    with pytest.raises(Invalid):
        xtext.decode(raw)


@pytest.mark.parametrize("text", ["a\r\nb", "\0", "\x7f", "é"])
def test_only_printable_ascii_can_be_said(text: str) -> None:
    with pytest.raises(Invalid):
        xtext.encode(text)


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E)))
def test_encoding_loses_nothing(text: str) -> None:
    assert xtext.decode(xtext.encode(text)) == text


@given(st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S"])))
def test_international_addresses_survive_in_ascii(text: str) -> None:
    raw = xtext.encode_utf8_address(text)
    assert raw.isascii()
    assert not set(raw) & set(" +=")
    assert xtext.decode_utf8_address(raw) == text


@pytest.mark.parametrize("raw", ["\\x{D800}", "\\x{110000}", "\\x{0A}", "a\nb", "\\x{D}", "a\\b"])
def test_an_escape_for_no_character_is_refused(raw: str) -> None:
    with pytest.raises(Invalid):
        xtext.decode_utf8_address(raw)
