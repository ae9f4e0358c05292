"""ENVELOPE: which fields, which defaults, and its wire form."""

import pytest

from rmail_kernel.mime import Mailbox, envelope_wire, parse_envelope
from rmail_kernel.mime.envelope import MAX_ADDRESS_BYTES
from rmail_kernel.mime.imap import nstring
from tests.mime.shapes import crlf

HEADER = crlf("""
Date: Wed, 17 Jul 1996 02:23:25 -0700 (PDT)
From: Terry Gray <gray@cac.washington.edu>
Subject: IMAP4rev2 WG mtg summary and minutes
To: imap@cac.washington.edu
cc: minutes@CNRI.Reston.VA.US, John Klensin <KLENSIN@MIT.EDU>
Message-Id: <B27397-0100000@cac.washington.edu>
MIME-Version: 1.0
Content-Type: TEXT/PLAIN; CHARSET=US-ASCII

""")


def test_the_wire_form_is_that_of_the_sample_session() -> None:
    # RFC 9051 8, with the space between addresses that its grammar does not have left out.
    assert envelope_wire(parse_envelope(HEADER)) == (
        b'("Wed, 17 Jul 1996 02:23:25 -0700 (PDT)" "IMAP4rev2 WG mtg summary and minutes"'
        b' (("Terry Gray" NIL "gray" "cac.washington.edu"))'
        b' (("Terry Gray" NIL "gray" "cac.washington.edu"))'
        b' (("Terry Gray" NIL "gray" "cac.washington.edu"))'
        b' ((NIL NIL "imap" "cac.washington.edu"))'
        b' ((NIL NIL "minutes" "CNRI.Reston.VA.US")("John Klensin" NIL "KLENSIN" "MIT.EDU"))'
        b' NIL NIL "<B27397-0100000@cac.washington.edu>")'
    )


def test_sender_and_reply_to_are_from_where_they_are_absent_or_empty() -> None:
    env = parse_envelope(b"From: a@b\r\nSender:\r\nReply-To: c@d\r\n\r\n")
    assert env.sender == env.from_ == (Mailbox(None, "a", "b"),)
    assert env.reply_to == (Mailbox(None, "c", "d"),)


def test_an_absent_text_is_nil_and_an_empty_one_is_empty() -> None:
    env = parse_envelope(b"Subject:\r\nIn-Reply-To: <a@b>\r\n <c@d>\r\n\r\n")
    assert (env.date, env.subject, env.in_reply_to) == (None, b"", b"<a@b> <c@d>")
    assert envelope_wire(env) == b'(NIL "" NIL NIL NIL NIL NIL NIL "<a@b> <c@d>" NIL)'


def test_of_a_field_given_twice_the_first_counts_and_recipients_are_joined() -> None:
    env = parse_envelope(b"From: a@b\r\nFrom: c@d\r\nTo: e@f\r\nTo: g@h\r\n\r\n")
    assert env.from_ == (Mailbox(None, "a", "b"),)
    assert env.to == (Mailbox(None, "e", "f"), Mailbox(None, "g", "h"))


def test_groups_are_marked_by_addresses_without_a_host() -> None:
    wire = envelope_wire(parse_envelope(b"To: x:a@b,c@d;, root\r\n\r\n"))
    assert b'((NIL NIL "x" NIL)(NIL NIL "a" "b")(NIL NIL "c" "d")(NIL NIL NIL NIL)' in wire
    assert b'(NIL NIL "root" ""))' in wire


def test_names_stay_encoded_and_routes_are_shown() -> None:
    wire = envelope_wire(parse_envelope(b"From: =?utf-8?q?=C3=A9?= <@a,@b:c@d>\r\n\r\n"))
    assert b'(("=?utf-8?q?=C3=A9?=" "@a,@b" "c" "d"))' in wire


@pytest.mark.parametrize(
    ("value", "wire"),
    [
        (None, b"NIL"),
        (b"", b'""'),
        (b'a "b" \\c', b'"a \\"b\\" \\\\c"'),
        ("é", b"{2}\r\n\xc3\xa9"),
        (b"a\0\xe9\0", b"{2}\r\na\xe9"),
        (b"a\0b", b'"ab"'),
        (b"a\rb", b"{3}\r\na\rb"),
        (b"a\nb", b"{3}\r\na\nb"),
        (b"\x01\t\x7f", b'"\x01\t\x7f"'),
        (b"{5}", b'"{5}"'),
        ("\ud800", b'"?"'),
    ],
)
def test_a_string_is_quoted_if_it_can_be(value: bytes | str | None, wire: bytes) -> None:
    assert nstring(value) == wire


def test_an_address_field_is_read_up_to_its_bound() -> None:
    raw = b"To: " + b"a@example.org," * (MAX_ADDRESS_BYTES // 7) + b"\r\n"
    env = parse_envelope(raw + raw)
    assert {item for item in env.to if isinstance(item, Mailbox)} == {
        Mailbox(None, "a", "example.org")
    }
    assert len(env.to) == MAX_ADDRESS_BYTES // 14
    assert parse_envelope(b"To: " + b"a" * (MAX_ADDRESS_BYTES + 1)).to == ()
