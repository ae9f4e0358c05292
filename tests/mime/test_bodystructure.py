"""BODY and BODYSTRUCTURE on the wire."""

from rmail_kernel.mime import bodystructure_wire, scan
from tests.mime.shapes import crlf


def wire(raw: bytes, extended: bool = True) -> bytes:
    return bodystructure_wire(scan(raw), raw, extended=extended)


def test_a_text_has_lines_and_a_charset() -> None:
    raw = b"Content-Type: TEXT/PLAIN; CHARSET=utf-8\r\n\r\none\r\ntwo\r\n"
    assert wire(raw, False) == b'("text" "plain" ("charset" "utf-8") NIL NIL "7bit" 10 2)'
    assert wire(raw) == (
        b'("text" "plain" ("charset" "utf-8") NIL NIL "7bit" 10 2 NIL NIL NIL NIL)'
    )


def test_plain_text_without_a_charset_is_us_ascii_and_other_text_has_none() -> None:
    assert wire(b"\r\nx", False) == b'("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 1 0)'
    raw = b"Content-Type: text/html\r\n\r\nx"
    assert wire(raw, False) == b'("text" "html" NIL NIL NIL "7bit" 1 0)'


def test_extension_data_come_in_their_order() -> None:
    raw = crlf("""
Content-Type: image/png; name="a b"
Content-ID: <i@d>
Content-Description: what "it" is
Content-Transfer-Encoding: base64
Content-MD5: bWQ1
Content-Disposition: attachment; filename=a.png
Content-Language: en, de
Content-Location: http://l/

QUJD
""")
    basic = b'("image" "png" ("name" "a b") "<i@d>" "what \\"it\\" is" "base64" 6'
    assert wire(raw, False) == basic + b")"
    assert wire(raw) == (
        basic + b' "bWQ1" ("attachment" ("filename" "a.png")) ("en" "de") "http://l/")'
    )


def test_an_embedded_message_has_envelope_body_and_lines() -> None:
    raw = crlf("""
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: message/rfc822

Subject: inner
From: a@b

one
two
--b--
""")
    person = b'((NIL NIL "a" "b"))'
    envelope = b'(NIL "inner" %b %b %b NIL NIL NIL NIL NIL)' % (person, person, person)
    text = b'("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 8 1'
    message = b'("message" "rfc822" NIL NIL NIL "7bit" 37 %b %b' % (envelope, text)
    assert wire(raw, False) == b'(%b) 4) "mixed")' % message
    nothing = b" NIL NIL NIL NIL)"
    assert wire(raw) == (
        b'(%b%b 4%b "mixed" ("boundary" "b") NIL NIL NIL)' % (message, nothing, nothing)
    )


def test_a_multipart_without_parts_has_its_body_as_one_text() -> None:
    raw = b"Content-Type: multipart/mixed\r\nContent-Language: en\r\n\r\nx\r\n"
    assert wire(raw) == (
        b'(("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 3 1 NIL NIL NIL NIL)'
        b' "mixed" NIL NIL "en" NIL)'
    )


def test_a_parameter_that_is_not_ascii_is_sent_in_its_extended_form() -> None:
    raw = "Content-Type: image/png; name=\"é ü\"; x*0*=utf-8''%c3; x*1*=%a9; y*=''a%20b\r\n\r\n"
    params = b'("name*" "utf-8\'\'%C3%A9%20%C3%BC" "x*" "utf-8\'\'%C3%A9" "y" "a b")'
    assert wire(raw.encode(), False) == b'("image" "png" %b NIL NIL "7bit" 0)' % params


def test_an_8_bit_description_is_a_literal() -> None:
    raw = "Content-Type: a/b\r\nContent-Description: é\r\n\r\n".encode()
    assert wire(raw, False) == b'("a" "b" NIL NIL {2}\r\n\xc3\xa9 "7bit" 0)'
