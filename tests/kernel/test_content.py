"""Message bytes under way: headers are added without copying, large bodies stay on disk."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmail_kernel.content import MAX_HEADER_BYTES, SPOOL_BYTES, Content, ContentWriter, SpoolFile
from rmail_kernel.errors import Invalid, TooLarge

RAW = b"Received: a\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n from afar\r\n\r\nbody\r\n"


def spooled(raw: bytes) -> Content:
    """The same message, forced into a file."""
    with ContentWriter() as writer:
        writer.write(raw + bytes(SPOOL_BYTES))
        return writer.finish()


def test_header_is_decoded_and_unfolded() -> None:
    assert Content.of(RAW).header("subject") == "Grüße from afar"
    assert Content.of(RAW).header("absent") == ""


@pytest.mark.parametrize("make", [Content.of, spooled])
def test_replaced_header_keeps_its_place_and_the_body(make: object) -> None:
    assert callable(make)
    changed = make(RAW).with_header("Subject", "[EXT] Grüße")
    assert changed.header("Subject") == "[EXT] Grüße"
    assert changed.raw_header().startswith(b"Received: a\r\nSubject: =?utf-8?")
    assert changed.read().split(b"\r\n\r\n", 1)[1].startswith(b"body\r\n")
    assert changed.size == len(changed.read())


def test_a_header_can_be_replaced_twice_and_added_between() -> None:
    content = Content.of(RAW).with_header("Subject", "one")
    content = content.with_added_header("X-Test", "a").with_header("Subject", "two")
    raw = b"X-Test: a\r\nReceived: a\r\nSubject: two\r\n\r\nbody\r\n"
    assert content.read() == raw


def test_repeated_fields_become_one() -> None:
    content = Content.of(b"X: 1\r\nY: 2\r\nX: 3\r\n\r\n").with_header("X", "4")
    assert content.read() == b"X: 4\r\nY: 2\r\n\r\n"


def test_a_header_value_cannot_inject_another_field() -> None:
    raw = Content.of(RAW).with_header("Subject", "a\r\nBcc: eve@example.com").read()
    assert b"\r\nBcc:" not in raw


@pytest.mark.parametrize("name", ["", "Bad Name", "Bad:Name", "Bäd", "X\r\nY"])
def test_a_bad_field_name_is_refused(name: str) -> None:
    with pytest.raises(Invalid):
        Content.of(RAW).with_added_header(name, "x")


def test_large_content_leaves_memory() -> None:
    content = spooled(RAW)
    assert isinstance(content.body, SpoolFile)
    assert content.size == len(RAW) + SPOOL_BYTES
    assert content.read()[: len(RAW)] == RAW
    changed = content.with_added_header("X-A", "b")
    assert changed.read() == b"X-A: b\r\n" + content.read()


def test_the_limit_is_reached() -> None:
    writer = ContentWriter(limit_bytes=10)
    writer.write(b"12345")
    writer.write(b"67890")
    with pytest.raises(TooLarge):
        writer.write(b"1")


@given(st.binary(max_size=300), st.text(max_size=80))
def test_any_message_takes_any_subject(raw: bytes, value: str) -> None:
    changed = Content.of(raw).with_header("Subject", value)
    assert changed.size == len(changed.read())
    assert changed.read().count(b"\nSubject:") + changed.read().startswith(b"Subject:") >= 1


@pytest.mark.parametrize(
    ("raw", "changed"),
    [
        (b"\r\nHello\r\n\r\nworld\r\n", b"S: x\r\n\r\nHello\r\n\r\nworld\r\n"),
        (b"A: 1\r\nno field\r\nB:2\r\n\r\n.", b"S: x\r\nA: 1\r\nno field\r\nB:2\r\n\r\n."),
        (b"A: 1", b"S: x\r\nA: 1\r\n\r\n"),
    ],
)
def test_whatever_else_is_in_a_message_stays_as_it_is(raw: bytes, changed: bytes) -> None:
    assert Content.of(raw).with_header("S", "x").read() == changed


@pytest.mark.parametrize("make", [Content.of, spooled])
def test_a_header_beyond_the_limit_is_not_cut(make: object) -> None:
    assert callable(make)
    raw = b"S: a\r\n" + b"X: y\r\n" * (MAX_HEADER_BYTES // 6) + b"Z: z\r\n\r\nbody\r\n"
    assert make(raw).with_header("S", "b").read() == make(raw.replace(b"S: a", b"S: b")).read()


def test_a_header_is_found_beyond_its_usual_length() -> None:
    raw = b"X: y\r\n" * 10_000 + b"\r\n"
    assert Content.of(raw + b"body").raw_header() == raw


@pytest.mark.parametrize("make", [Content.of, spooled])
def test_unwanted_fields_go_and_nothing_else_changes(make: object) -> None:
    assert callable(make)
    content = make(RAW)
    gone = content.without_fields(lambda name, _: name == b"Received")
    assert gone.read() == content.read().removeprefix(b"Received: a\r\n")
    assert content.without_fields(lambda _, __: False) is content
