"""Decoded bodies, their text, previews and what search reads."""

import base64

import pytest

from rmail_kernel.mime import decode_body, message_text, preview, scan, text_of
from rmail_kernel.mime.html import html_text
from rmail_kernel.mime.text import HTML_BYTES
from tests.mime.shapes import crlf


def decoded(encoding: str, body: bytes) -> bytes:
    raw = f"Content-Transfer-Encoding: {encoding}\r\n\r\n".encode() + body
    return decode_body(raw, scan(raw))


@pytest.mark.parametrize(
    ("encoding", "body", "expected"),
    [
        ("7bit", b"a=\r\n", b"a=\r\n"),
        ("x-unknown", b"a\xff", b"a\xff"),
        ("BASE64", b"QUJD\r\nREVG\r\n", b"ABCDEF"),
        ("base64", b"QUJ DRE", b"ABCD"),
        ("base64", b"QQ==QUJD", b"AABC"),
        ("base64", b"!QU\0JD-----", b"ABC"),
        ("base64", b"Q", b""),
        ("base64", b"====", b""),
        ("quoted-printable", b"=E9 =3D=\r\n x =\t\r\ny  \r\nz", b"\xe9 = x y\r\nz"),
        ("quoted-printable", b"=e9=zz=", b"\xe9=zz"),
        ("quoted-printable", b"a =\nb \nc", b"a b\nc"),
    ],
)
def test_a_body_is_decoded_also_where_it_is_damaged(
    encoding: str, body: bytes, expected: bytes
) -> None:
    assert decoded(encoding, body) == expected


def text(content_type: str, body: bytes, limit: int = 1000) -> str:
    raw = f"Content-Type: {content_type}\r\n\r\n".encode() + body
    return text_of(raw, scan(raw), limit)


@pytest.mark.parametrize(
    ("content_type", "body", "expected"),
    [
        ("text/plain; charset=iso-8859-1", b"gr\xfcn", "grün"),
        ("text/plain; charset=UTF-8", b"gr\xc3\xbcn", "grün"),
        ("text/plain; charset=utf-8", b"gr\xfcn", "grün"),
        ("text/plain; charset=x-none", b"gr\xc3\xbcn", "grün"),
        ("text/plain; charset=shift_jis", b"\x93\xfa\x96{\x81", "日本\ufffd"),
        ("text/plain", b"gr\xfcn", "grün"),
        ("text/html", b"<p>a&amp;b", "a&b"),
    ],
)
def test_text_is_decoded_by_its_charset(content_type: str, body: bytes, expected: str) -> None:
    assert text(content_type, body) == expected


def test_text_is_read_only_as_far_as_its_limit() -> None:
    assert text("text/plain; charset=utf-8", "ü".encode() * 5000, 10) == "ü" * 10
    assert text("text/plain", b"x" + "✓".encode() * 5000, 400) == "x" + "✓" * 399
    assert text("text/plain", b"abc", 0) == ""


def test_html_is_read_as_far_as_its_own_limit() -> None:
    filler = b"<!--" + b"x" * (HTML_BYTES + 100) + b"-->"
    assert text("text/html", filler + b"late", 5) == ""
    assert text("text/html", b"<!--" + filler[200:] + b"late", 50) == "late"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("<p>one<p>two", "one two"),
        ("a<b>b</b>c", "abc"),
        ("<style>p > a {}</style>x<SCRIPT>1<2</Script >y", "xy"),
        ("<head><title>t</title></head><body>b", "b"),
        ("<!doctype html><!-- <p>hidden --><?xml ?>x", "x"),
        ("a < b > c &lt;i&gt; &#233;&nbsp;.", "a < b > c <i> é ."),
        ("x<script>never closed", "x"),
        ("x<!-- never closed", "x"),
        ("x<a href=", "x"),
        ("<", "<"),
        ("</p>x</script>", "x"),
        ("<style/>x", ""),
    ],
)
def test_html_gives_the_text_that_a_reader_sees(source: str, expected: str) -> None:
    assert html_text(source) == expected


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    "piece", ["<", "<!--", "<script>", "<a ", "</", "&#", "&a", "<p", "<![CDATA["]
)
def test_hostile_html_is_read_in_linear_time(piece: str) -> None:
    html_text(piece * (500_000 // len(piece)))


@pytest.mark.timeout(30)
@pytest.mark.parametrize("piece", [b" ", b"=", b"= ", b" \t=\r", b"=\r"])
def test_hostile_encodings_are_decoded_in_linear_time(piece: bytes) -> None:
    for encoding in ("base64", "quoted-printable"):
        decoded(encoding, piece * (1_000_000 // len(piece)))


@pytest.mark.parametrize("shift", range(8))
def test_html_is_collapsed_over_the_ends_of_blocks(shift: int) -> None:
    source = "x" * shift + " a &amp; <b>b</b>\n\u3000&nbsp;<p>c" * 20_000
    expected = "x" * shift + " a & b c" * 20_000
    assert html_text(source) == expected.strip()


MIXED = crlf(f"""
Content-Type: multipart/mixed; boundary=a

--a
Content-Type: multipart/alternative; boundary=b

--b
Content-Type: text/html

<p>In   HTML</p>
--b
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: base64

{base64.b64encode("  In plain  text: ü ".encode()).decode()}
--b--
--a
Content-Type: text/csv; name=table.csv
Content-Disposition: attachment

1,2
--a
Content-Type: application/pdf
Content-Disposition: attachment; filename="=?utf-8?q?Gr=C3=BC=C3=9Fe.pdf?="

not text
--a
Content-Type: message/rfc822

Subject: inner

Inner text
--a--
""")


def test_search_reads_all_texts_and_file_names() -> None:
    assert list(message_text(MIXED, scan(MIXED), 1000)) == [
        "In HTML",
        "  In plain  text: ü ",
        "1,2",
        "table.csv",
        "Grüße.pdf",
        "Inner text",
    ]


@pytest.mark.parametrize("limit", [0, 3, 10, 29, 33, 40])
def test_search_reads_no_more_than_its_limit(limit: int) -> None:
    assert sum(map(len, message_text(MIXED, scan(MIXED), limit))) == limit


def test_a_preview_is_plain_text_before_html_and_no_attachment() -> None:
    assert preview(MIXED, scan(MIXED)) == "In plain text: ü"
    assert preview(MIXED, scan(MIXED), 5) == "In pl"
    html = b"Content-Type: text/html\r\n\r\n<style>p {}</style><p>Hello&nbsp;you"
    assert preview(html, scan(html)) == "Hello you"
    attached = b"Content-Type: text/plain\r\nContent-Disposition: attachment\r\n\r\nx"
    assert preview(attached, scan(attached)) == ""


def test_a_multipart_without_parts_is_read_as_text() -> None:
    raw = b"Content-Type: multipart/mixed\r\n\r\nstill readable"
    assert list(message_text(raw, scan(raw), 100)) == ["still readable"]
    assert preview(raw, scan(raw)) == "still readable"
