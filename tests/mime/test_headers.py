"""Fields, unfolding, encoded words and header subsets."""

import pytest

from rmail_kernel.mime import decode_words, field_block, fields, first, unfold
from rmail_kernel.mime.headers import fields_and_block

HEADER = (
    b"Received: from a\r\n\tby b\r\n"
    b"From : Fred <fred@example.org>\r\n"
    b"not a field\r\n"
    b"SUBJECT: one\r\n two\r\n"
    b"subject:\r\n"
    b"\r\n"
    b"Body: not a field\r\n"
)


def test_fields_come_in_order_with_their_names_and_values_as_written() -> None:
    assert list(fields(HEADER)) == [
        (b"Received", b" from a\r\n\tby b"),
        (b"From", b" Fred <fred@example.org>"),
        (b"SUBJECT", b" one\r\n two"),
        (b"subject", b""),
    ]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"", []),
        (b"\r\nA: b", []),
        (b"\nA: b", []),
        (b"A:b", [(b"A", b"b")]),
        (b"A:b\nC:d\n e\n", [(b"A", b"b"), (b"C", b"d\n e")]),
        (b" folded: first line\r\nA: b\r\n", [(b"A", b" b")]),
        (b"From me Sat Jan  3 01:05:34 1996\r\nA: b\r\n", [(b"A", b" b")]),
        (b"A: b\rC: d\r\n", [(b"A", b" b\rC: d")]),
        (b": x\r\n\xe9: y\r\nA\0: z\r\n", []),
        (b"A: \xe9\0\r\n", [(b"A", b" \xe9\0")]),
    ],
)
def test_lines_that_are_no_field_are_passed_over(
    raw: bytes, expected: list[tuple[bytes, bytes]]
) -> None:
    assert list(fields(raw)) == expected


def test_first_finds_a_field_in_any_case() -> None:
    assert first(HEADER, b"subject") == b" one\r\n two"
    assert first(HEADER, b"Body") is None


def test_unfold_removes_line_ends_and_outer_white_space_only() -> None:
    assert unfold(b" one\r\n\ttwo \n three  ") == b"one\ttwo  three"


def test_field_block_holds_the_exact_lines_and_the_blank_line() -> None:
    assert field_block(HEADER, [b"Subject"]) == b"SUBJECT: one\r\n two\r\nsubject:\r\n\r\n"
    assert field_block(HEADER, {b"received", b"x"}) == b"Received: from a\r\n\tby b\r\n\r\n"
    assert field_block(HEADER, [b"x"]) == b"\r\n"


def test_field_block_excludes_the_named_fields() -> None:
    rest = b"From : Fred <fred@example.org>\r\n\r\n"
    assert field_block(HEADER, [b"SUBJECT", b"Received"], exclude=True) == rest


def test_field_block_ends_a_header_that_was_cut() -> None:
    assert field_block(b"A: b", [b"A"]) == b"A: b\r\n\r\n"


# RFC 2047 8, the table of examples.
@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"=?ISO-8859-1?Q?a?=", "a"),
        (b"=?ISO-8859-1?Q?a?= b", "a b"),
        (b"=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=", "ab"),
        (b"=?ISO-8859-1?Q?a?=  =?ISO-8859-1?Q?b?=", "ab"),
        (b"=?ISO-8859-1?Q?a?=\r\n    =?ISO-8859-1?Q?b?=", "ab"),
        (b"=?ISO-8859-1?Q?a_b?=", "a b"),
        (b"=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=", "a b"),
        (b"=?US-ASCII?Q?Keith_Moore?= <moore@cs.utk.edu>", "Keith Moore <moore@cs.utk.edu>"),
        (b"=?ISO-8859-1?B?SWYgeW91IGNhbiByZWFkIHRoaXMgeW8=?=", "If you can read this yo"),
        (
            b"=?ISO-8859-1?B?SWYgeW91IGNhbiByZWFkIHRoaXMgeW8=?=\r\n"
            b" =?ISO-8859-2?B?dSB1bmRlcnN0YW5kIHRoZSBleGFtcGxlLg==?=",
            "If you can read this you understand the example.",
        ),
    ],
)
def test_rfc_2047_examples(raw: bytes, expected: str) -> None:
    assert decode_words(raw) == expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"plain", "plain"),
        ("grün".encode(), "grün"),
        (b"gr\xfcn", "grün"),
        (b"=?utf-8?B?4pyT?= \xe2\x9c\x93", "✓ ✓"),
        (b"=?utf-8?Q?=E2=9C?= =?utf-8?Q?=93?=", "✓"),
        (b"=?UTF-8*en?Q?a?=", "a"),
        (b"=?x-unknown?Q?=E9?=", "é"),
        (b"=?idna?Q?xn--a?=", "xn--a"),
        (b"=?unicode_escape?Q?=5Cu0041?=", "\\u0041"),
        (b"=?zlib?B?eJwDAAAAAAE=?=", "x\x9c\x03\x00\x00\x00\x00\x01"),
        (b"=?gb2312?B?xOO6ww==?=", "你好"),
        (b"=?iso-2022-jp?B?GyRCRnxLXBsoQg==?=", "日本"),
        (b"=?utf-16?B?AA==?=", "\ufffd"),
        (b"=?utf-8?X?a?=", "=?utf-8?X?a?="),
        (b"=?utf-8?Q?a", "=?utf-8?Q?a"),
        (b"=?utf-8?B?????=", "=?utf-8?B?????="),
        (b"=?utf-8?B?!?=", ""),
        (b"=?utf-8?Q?a b?= c", "a b c"),
        (b"x=?utf-8?Q?a?=y", "xay"),
        (b"=?utf-8?Q??= =?utf-8?Q?a?=", "a"),
    ],
)
def test_any_encoded_word_gives_text(raw: bytes, expected: str) -> None:
    assert decode_words(raw) == expected


@pytest.mark.timeout(20)
def test_a_megabyte_of_words_is_decoded_in_linear_time() -> None:
    for word in (b"=?utf-8?q?a?= ", b"=?a?q?", b"=?", b"=?a?b?" + b"x" * 100):
        assert decode_words(word * ((1 << 20) // len(word)))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\r\n",
        b"From: a\r\n\r\nTo: b\r\n",
        b"From: a\r\n b\r\nX: y\r\n z\r\nTO : c\nFrom: d",
        b" lost\r\nTo: c\r\n\t d\r\nnonsense\r\nfrom:\r\n",
        b"To: c\r",
    ],
)
def test_fields_and_block_come_at_once_as_they_come_by_themselves(raw: bytes) -> None:
    wanted = frozenset({b"from", b"to"})
    found, block = fields_and_block(raw, wanted)
    assert block == field_block(raw, wanted)
    assert found == [(name.lower(), value) for name, value in fields(block)]
