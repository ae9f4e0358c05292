"""Modified UTF-7 (RFC 3501 5.1.3)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rmail_imap.mailbox_names import canonical, decode_name, encode_name, parents

from rmail_kernel.errors import Invalid

_TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@given(_TEXT)
def test_names_survive_the_wire(name: str) -> None:
    raw = encode_name(name)
    assert raw.isascii()
    assert decode_name(raw) == name


@given(st.binary())
def test_any_bytes_give_a_name_or_an_error(raw: bytes) -> None:
    try:
        name = decode_name(raw)
    except Invalid:
        return
    assert decode_name(encode_name(name)) == name


def test_the_examples_of_the_rfc() -> None:
    assert encode_name("~peter/mail/台北/日本語") == b"~peter/mail/&U,BTFw-/&ZeVnLIqe-"
    assert encode_name("Rock & Roll") == b"Rock &- Roll"
    assert decode_name(b"Rock &- Roll") == "Rock & Roll"


@pytest.mark.parametrize("raw", [b"a&b", b"&Jjo!", b"&AB-", b"&2D0-", b"a\tb", b"\xff"])
def test_broken_names_are_refused(raw: bytes) -> None:
    with pytest.raises(Invalid):
        decode_name(raw)


def test_raw_utf8_is_forgiven() -> None:
    assert decode_name("Entwürfe".encode()) == "Entwürfe"


def test_forms() -> None:
    assert canonical("inBox") == "INBOX"
    assert canonical("a/b/") == "a/b"
    assert parents("a/b/c") == ["a", "a/b"]
