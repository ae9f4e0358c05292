"""Laws of the header parsers and of the character sets that hold for any bytes at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmail_kernel.mime import addresses, decode_words, envelope_wire, field_block, fields
from rmail_kernel.mime import parse_envelope as envelope
from rmail_kernel.mime.addresses import _SIMPLE, _List
from rmail_kernel.mime.charsets import _KNOWN, codec_of, decode_text
from rmail_kernel.mime.headers import decode_base64
from rmail_kernel.mime.parameters import MAX_PARAMETERS, parse_parameters

ADDRESS_PIECES = st.lists(
    st.sampled_from([b'"', b"(", b")", b"<", b">", b"@", b",", b";", b":", b".", b"\\", b"[", b"]"])
    | st.sampled_from([b"a", b" ", b"\r\n ", b"=?utf-8?q?=C3=A9?=", b"=?", b"\0", b"\xe9"]),
    max_size=25,
).map(b"".join)
HEADERS = st.lists(
    st.sampled_from([b"A: b\r\n", b"A: c", b"To: d\n", b" folded\r\n", b"junk\r\n", b"\r", b"\n"])
    | st.binary(max_size=6),
    max_size=12,
).map(b"".join)


@given(ADDRESS_PIECES)
def test_any_bytes_are_an_address_list_that_has_a_wire_form(raw: bytes) -> None:
    addresses(raw)
    folded = b"From: " + raw + b"\r\nTo: " + raw + b"\r\n\r\n"
    assert envelope_wire(envelope(folded)).endswith(b" NIL NIL NIL NIL)")


@given(ADDRESS_PIECES)
def test_a_short_way_through_an_address_list_leads_to_the_same(raw: bytes) -> None:
    for one in (raw, b"a@" + raw, raw + b"@b"):
        assert addresses(one) == _List(one).items() or _SIMPLE.fullmatch(one)


@given(ADDRESS_PIECES)
def test_any_bytes_are_text(raw: bytes) -> None:
    assert isinstance(decode_words(raw), str)


@given(HEADERS)
def test_named_fields_and_the_others_are_all_fields(raw: bytes) -> None:
    named = list(fields(field_block(raw, [b"a"])))
    others = list(fields(field_block(raw, [b"A"], exclude=True)))
    assert sorted(named + others) == sorted(fields(raw))


@given(HEADERS)
def test_a_field_block_of_a_field_block_is_itself(raw: bytes) -> None:
    block = field_block(raw, [b"a", b"to"])
    assert field_block(block, [b"a", b"to"]) == block
    assert block.endswith(b"\n")


@given(st.binary(max_size=60))
def test_any_bytes_are_base64(raw: bytes) -> None:
    assert len(decode_base64(raw)) <= len(raw)


@given(st.lists(st.sampled_from(list(b"ab=;*01'\"\\( %\xe9")), max_size=30).map(bytes))
def test_any_bytes_are_parameters_with_each_name_once(raw: bytes) -> None:
    names = [name for name, _ in parse_parameters(raw, 0)]
    assert len(set(names)) == len(names) <= MAX_PARAMETERS


EVERY_BYTE = bytes(range(256)) * 2


@pytest.mark.parametrize(
    "charset",
    [
        "utf-8",
        "utf-7",
        "utf-16",
        "utf-32",
        "us-ascii",
        "iso-8859-1",
        "ISO_8859-15",
        "iso-8859-8-i",
        "windows-1252",
        "cp437",
        "koi8-r",
        "big5",
        "gb2312",
        "gbk",
        "gb18030",
        "hz-gb-2312",
        "euc-jp",
        "iso-2022-jp",
        "iso-2022-kr",
        "shift_jis",
        "euc-kr",
        "ks_c_5601-1987",
        "macintosh",
        "utf8mb4",
        "tis-620",
        "viscii",
    ],
)
def test_a_known_charset_decodes_every_byte(charset: str) -> None:
    assert charset == "viscii" or codec_of(charset) is not None
    assert decode_text(EVERY_BYTE, charset)


@pytest.mark.parametrize(
    "name",
    ["idna", "punycode", "unicode_escape", "zip", "hex", "rot13", "", "a" * 41, "ütf-8", "\0"],
)
def test_codecs_that_are_no_charsets_are_not_known(name: str) -> None:
    assert codec_of(name) is None
    assert decode_text(b"\xe9", name) == "é"


def test_every_charset_on_the_table_can_be_used() -> None:
    for codec in set(_KNOWN.values()):
        assert isinstance(EVERY_BYTE.decode(codec, "replace"), str), codec
