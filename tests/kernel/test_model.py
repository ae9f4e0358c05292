"""Addresses as RFC 5321 4.1.2 has them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmail_kernel.errors import Invalid
from rmail_kernel.model import Address, normalise_domain


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("Alice@Example.COM", "alice@example.com"),
        ("a.b+tag@example.com", "a.b+tag@example.com"),
        ('"two words"@example.com', '"two words"@example.com'),
        ("x@[192.0.2.1]", "x@[192.0.2.1]"),
        ("x@[IPv6:2001:db8::1]", "x@[ipv6:2001:db8::1]"),
        ("grün@münchen.example", "grün@xn--mnchen-3ya.example"),
        ('"alice"@example.com', "alice@example.com"),
        ('"a\\l\\ice"@example.com', "alice@example.com"),
        ('"a\\b c"@example.com', '"ab c"@example.com'),
        ('"a\\"\\\\ "@example.com', '"a\\"\\\\ "@example.com'),
        ('""@example.com', '""@example.com'),
    ],
)
def test_addresses_that_are(text: str, key: str) -> None:
    assert Address.parse(text).key == key


@pytest.mark.parametrize(
    "text",
    [
        "",
        "alice",
        "@example.com",
        "alice@",
        ".a@example.com",
        "a..b@example.com",
        "a.@example.com",
        "a b@example.com",
        "<a@example.com",
        "(c)a@example.com",
        "a\0@example.com",
        "a\x85b@example.com",
        "a\u2028b@example.com",
        '"a\u2029"@example.com',
        'a"b@example.com',
        "@relay.example:a@example.com",
        "a@-example.com",
        "a@exam_ple.com",
        "a@example..com",
        "a@[192.0.2.1",
        "x" * 65 + "@example.com",
        "x@" + "a." * 128 + "com",
        "a@example.com\r\n",
        "\udcff@example.com",
        '"\udcff"@example.com',
        "a@\udcff.example",
        "a@\u00b8",
    ],
)
def test_addresses_that_are_not(text: str) -> None:
    with pytest.raises(Invalid):
        Address.parse(text)


@given(st.text(max_size=400))
def test_any_text_is_an_address_or_invalid(text: str) -> None:
    try:
        address = Address.parse(text)
    except Invalid:
        return
    assert Address.parse(str(address)) == address


@pytest.mark.parametrize(
    ("written", "domain"),
    [
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.Example.", "xn--bcher-kva.example"),
        ("b\u0075\u0308cher.example", "xn--bcher-kva.example"),
        ("straße.example", "xn--strae-oqa.example"),  # unlike IDNA 2003: not strasse.example
        ("例え\u3002テスト", "xn--r8jz45g.xn--zckzah"),
    ],
)
def test_u_labels_become_a_labels_by_idna_2008(written: str, domain: str) -> None:
    assert normalise_domain(written) == domain


@pytest.mark.parametrize("text", ["\u2603.example", "a\u200db.example", "\u0661a.example"])
def test_labels_that_idna_2008_forbids_are_no_domain(text: str) -> None:
    with pytest.raises(Invalid):
        normalise_domain(text)


def test_a_final_dot_and_case_make_no_difference() -> None:
    assert normalise_domain("Example.COM.") == "example.com"
