"""Composed messages on the wire."""

from __future__ import annotations

from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP

from hypothesis import given, settings
from hypothesis import strategies as st
from rmail_api.compose import Attachment, Draft, compose, recipients_of
from rmail_api.line_ends import LineEnds

from rmail_kernel.model import Address

ALICE = Address("alice", "example.com")
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def raw(draft: Draft, sender: Address = ALICE) -> bytes:
    return compose(draft, sender, recipients_of(draft, 100), "<1@example.com>", NOW).read()


def parsed(draft: Draft) -> EmailMessage:
    found = message_from_bytes(raw(draft), policy=SMTP)
    assert isinstance(found, EmailMessage)
    return found


def test_a_message_is_exactly_this() -> None:
    assert raw(Draft(to=["Bob <bob@example.com>"], subject="Hi", body="one\ntwo")) == (
        b"Date: Fri, 02 Jan 2026 03:04:05 +0000\r\n"
        b"Message-ID: <1@example.com>\r\n"
        b"From: alice@example.com\r\n"
        b"To: Bob <bob@example.com>\r\n"
        b"Subject: Hi\r\n"
        b'Content-Type: text/plain; charset="utf-8"\r\n'
        b"Content-Transfer-Encoding: 7bit\r\n"
        b"MIME-Version: 1.0\r\n"
        b"\r\n"
        b"one\r\ntwo\r\n"
    )


def test_html_alone_is_the_only_part() -> None:
    message = parsed(Draft(to=["bob@example.com"], html="<p>x</p>"))
    assert message.get_content_type() == "text/html"


def test_names_are_encoded_and_quoted_as_they_need() -> None:
    draft = Draft(to=["Jörg Müller <j@example.com>", '"B., \\"Bob\\"" <bob@example.com>'])
    to = parsed(draft)["To"].addresses
    assert [person.display_name for person in to] == ["Jörg Müller", 'B., "Bob"']
    assert raw(draft).isascii()


def test_a_quoted_local_part_stays_quoted() -> None:
    draft = Draft(to=['"a b"@example.com'])
    assert parsed(draft)["To"] == '"a b"@example.com'
    assert recipients_of(draft, 1).envelope == (Address('"a b"', "example.com"),)


def test_an_internationalised_address_makes_utf8_headers() -> None:
    draft = Draft(to=["jörg@exämple.com"])
    recipients = recipients_of(draft, 1)
    assert recipients.is_utf8
    assert recipients.envelope == (Address("jörg", "xn--exmple-cua.com"),)
    assert "To: jörg@xn--exmple-cua.com\r\n".encode() in raw(draft)


def test_many_recipients_fold_within_the_line_limit() -> None:
    to = [f"Person Number {n} <person.number.{n}@example.com>" for n in range(100)]
    draft = Draft(to=to)
    assert max(map(len, raw(draft).split(b"\r\n"))) <= 998
    assert len(parsed(draft)["To"].addresses) == 100


def test_lines_of_any_length_are_sent_within_the_line_limit() -> None:
    draft = Draft(to=["bob@example.com"], body="x" * 5000, html="y" * 5000)
    assert max(map(len, raw(draft).split(b"\r\n"))) <= 998


@settings(max_examples=100, deadline=None)
@given(
    body=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")),
    subject=st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=200),
    name=st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=60),
    content=st.binary(max_size=300),
)
def test_any_text_makes_a_seven_bit_message_with_one_header(
    body: str, subject: str, name: str, content: bytes
) -> None:
    attachment = Attachment(filename=name, content=content)
    draft = Draft(to=["bob@example.com"], subject=subject, body=body, attachments=[attachment])
    wire = raw(draft)
    assert wire.isascii()
    assert b"\n" not in wire.replace(b"\r\n", b"")
    assert b"\r" not in wire.replace(b"\r\n", b"")
    message = parsed(draft)
    assert [key for key in message if key in ("From", "To", "Subject")] == ["From", "To", "Subject"]
    (attached,) = message.iter_attachments()
    assert isinstance(attached, EmailMessage)
    assert attached.get_content() == content


@given(st.lists(st.text("a\r\n", max_size=4)))
def test_line_ends_do_not_depend_on_how_the_pieces_fall(pieces: list[str]) -> None:
    whole = LineEnds().normalise("".join(pieces).encode())
    lines = LineEnds()
    assert b"".join(lines.normalise(piece.encode()) for piece in pieces) == whole
    assert b"\n" not in whole.replace(b"\r\n", b"")
    assert LineEnds().normalise(whole) == whole
