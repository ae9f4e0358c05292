"""Messages made seven bits wide say the same as before."""

from __future__ import annotations

import email
import email.policy
from email.message import EmailMessage, Message
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rmail_relay.client.seven_bit import encoded

from rmail_kernel.content import Content, ContentWriter


def seven_bit(raw: bytes) -> bytes:
    narrow = encoded(Content.of(raw), ContentWriter).read()
    assert max(map(len, narrow.split(b"\r\n"))) <= 998
    return narrow


def leaves(raw: bytes) -> list[Message]:
    message = email.message_from_bytes(raw, policy=email.policy.compat32)
    return [part for part in message.walk() if not part.is_multipart()]


def bodies(raw: bytes) -> list[object]:
    return [part.get_payload(decode=True) for part in leaves(raw)]


MIXED = (
    (
        "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n"
        "Content-Transfer-Encoding: 8bit\r\n\r\npreamble\r\n"
        "--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
        "Grüße = gut \r\n.\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>plain</p>\r\n"
        "--b\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
        "Subject: inner\r\n\r\nschön\r\n\r\n"
        "--b\r\nContent-Type: application/x; name=y\r\nContent-Transfer-Encoding: binary\r\n\r\n"
    ).encode()
    + bytes(range(256))
    + b"\r\n--b--\r\n"
)


def test_each_part_says_the_same() -> None:
    raw = seven_bit(MIXED)
    assert raw.isascii()
    assert b"\0" not in raw
    before, after = bodies(MIXED), bodies(raw)
    assert after[:2] == before[:2]
    assert after[3] == bytes(range(256))
    assert after[2] == "schön\r\n".encode()


def test_containers_are_no_longer_declared_wide() -> None:
    raw = seven_bit(MIXED)
    message = email.message_from_bytes(raw)
    declared = [part["Content-Transfer-Encoding"] for part in message.walk()]
    assert "8bit" not in declared
    assert "binary" not in declared


def test_parts_that_are_narrow_keep_their_bytes() -> None:
    raw = seven_bit(MIXED)
    assert b"Content-Type: text/html\r\n\r\n<p>plain</p>\r\n--b\r\n" in raw
    assert b"preamble\r\n--b" in raw


def test_a_text_without_mime_becomes_one_of_unknown_charset() -> None:
    raw = seven_bit(b"Subject: x\r\n\r\nGr\xfc\xdfe\r\n")
    assert raw.startswith(b"Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=")
    assert bodies(raw) == [b"Gr\xfc\xdfe\r\n"]


def test_mostly_foreign_text_becomes_base64() -> None:
    text = "日本語のテキスト\r\n" * 100
    raw = seven_bit(b"Subject: x\r\nMIME-Version: 1.0\r\n\r\n" + text.encode())
    assert b"Content-Transfer-Encoding: base64\r\n" in raw
    assert bodies(raw) == [text.encode()]


def test_a_message_without_a_header_gets_one() -> None:
    raw = seven_bit(b"\r\nGr\xfc\xdfe\r\n")
    assert bodies(raw) == [b"Gr\xfc\xdfe\r\n"]


def test_large_messages_go_through_files(tmp_path: Path) -> None:
    message = EmailMessage()
    message.set_content("x")
    text = ("Zeile mit Größe und mehr " * 20 + "\r\n") * 6000
    raw = b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n" + text.encode()
    narrow = encoded(Content.of(raw), lambda: ContentWriter(tmp_path))
    assert not isinstance(narrow.body, bytes)
    assert bodies(narrow.read()) == [text.encode()]


@settings(max_examples=150)
@given(st.binary(max_size=300), st.sampled_from([b"text/plain", b"image/x"]))
def test_any_body_survives(body: bytes, kind: bytes) -> None:
    head = b"MIME-Version: 1.0\r\nContent-Type: " + kind
    raw = head + b"\r\nContent-Transfer-Encoding: binary\r\n\r\n" + body
    narrow = seven_bit(raw)
    assert narrow.isascii()
    (after,) = bodies(narrow)
    if kind == b"image/x":
        assert after == body
    else:
        lines = body.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        assert isinstance(after, bytes)
        assert after.split(b"\r\n") == lines


@settings(max_examples=150)
@given(
    st.binary(max_size=400).map(lambda raw: b"Content-Type: multipart/x; boundary=a\r\n\n" + raw)
)
def test_nothing_makes_it_fail(raw: bytes) -> None:
    encoded(Content.of(raw), ContentWriter)


@pytest.mark.parametrize("kind", ["message/partial", "message/external-body"])
def test_parts_that_must_not_be_encoded_are_left(kind: str) -> None:
    raw = f"MIME-Version: 1.0\r\nContent-Type: {kind}\r\n\r\nGrüße\r\n".encode()
    assert encoded(Content.of(raw), ContentWriter).read() == raw
