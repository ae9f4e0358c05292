"""Which bytes a section names, by the example of RFC 9051 6.4.5.1."""

import pytest

from rmail_kernel.mime import Section, SectionKind, find_part, locate, scan
from tests.mime.shapes import crlf, shape

# The tree of RFC 9051 6.4.5.1: parts 1, 2, 3 (a message with 3.1 and 3.2) and 4 (a multipart with
# 4.1 and 4.2, a message with 4.2.1 and a multipart 4.2.2).
RAW = crlf("""
Subject: root
Content-Type: multipart/mixed; boundary=a

--a
Content-Type: text/plain

part 1
--a
Content-Type: application/octet-stream

part 2
--a
Content-Type: message/rfc822

Subject: part 3
Content-Type: multipart/mixed; boundary=b

--b

part 3.1
--b
Content-Type: application/octet-stream

part 3.2
--b--
--a
Content-Type: multipart/mixed; boundary=c

--c
Content-Type: image/gif

part 4.1
--c
Content-Type: message/rfc822

Subject: part 4.2
Content-Type: multipart/mixed; boundary=d

--d

part 4.2.1
--d
Content-Type: multipart/alternative; boundary=e

--e

part 4.2.2.1
--e
Content-Type: text/richtext

part 4.2.2.2
--e--
--d--
--c--
--a--
""")
ROOT = scan(RAW)


def found(*numbers: int, kind: SectionKind = "", raw: bytes = RAW) -> bytes | None:
    place = locate(scan(raw), Section(numbers, kind))
    return None if place is None else raw[place[0] : place[1]]


@pytest.mark.parametrize(
    "numbers", [(1,), (2,), (3, 1), (3, 2), (4, 1), (4, 2, 1), (4, 2, 2, 1), (4, 2, 2, 2)]
)
def test_a_number_names_the_body_of_the_part(numbers: tuple[int, ...]) -> None:
    assert found(*numbers) == b"part " + ".".join(map(str, numbers)).encode()


def test_the_whole_message_its_header_and_its_text() -> None:
    assert found() == RAW
    header = found(kind="HEADER") or b""
    assert header.startswith(b"Subject: root")
    assert header.endswith(b"\r\n\r\n")
    assert header + (found(kind="TEXT") or b"") == RAW
    assert found(kind="HEADER.FIELDS") == found(kind="HEADER.FIELDS.NOT") == header
    assert found(kind="MIME") is None


def test_header_and_text_of_a_message_part_are_those_of_the_message_in_it() -> None:
    header = b"Subject: part 3\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    assert found(3, kind="HEADER") == found(3, kind="HEADER.FIELDS") == header
    assert (found(3, kind="TEXT") or b"").startswith(b"--b\r\n\r\npart 3.1")
    assert header + (found(3, kind="TEXT") or b"") == found(3)
    assert (found(4, 2, kind="HEADER") or b"").startswith(b"Subject: part 4.2")


def test_mime_is_the_header_of_any_part() -> None:
    assert found(1, kind="MIME") == b"Content-Type: text/plain\r\n\r\n"
    assert found(3, kind="MIME") == b"Content-Type: message/rfc822\r\n\r\n"
    assert found(3, 1, kind="MIME") == b"\r\n"
    assert found(4, 2, 2, kind="MIME") == (
        b"Content-Type: multipart/alternative; boundary=e\r\n\r\n"
    )


@pytest.mark.parametrize("kind", ["HEADER", "HEADER.FIELDS", "HEADER.FIELDS.NOT", "TEXT"])
@pytest.mark.parametrize("numbers", [(1,), (2,), (3, 1), (4,), (4, 2, 2)])
def test_only_messages_have_header_and_text(numbers: tuple[int, ...], kind: SectionKind) -> None:
    assert found(*numbers, kind=kind) is None


@pytest.mark.parametrize("numbers", [(0,), (5,), (-1,), (1, 1), (3, 3), (4, 1, 1), (4, 2, 2, 1, 1)])
def test_a_part_that_is_not_there_is_none(numbers: tuple[int, ...]) -> None:
    assert found(*numbers) is None


def test_part_1_of_a_message_that_is_no_multipart_is_its_body() -> None:
    raw = b"Content-Type: text/html\r\n\r\n<p>\r\n"
    assert found(1, raw=raw) == b"<p>\r\n"
    assert found(1, kind="MIME", raw=raw) == b"Content-Type: text/html\r\n\r\n"
    assert found(1, 1, raw=raw) is found(2, raw=raw) is found(1, kind="TEXT", raw=raw) is None


def test_a_message_that_is_itself_a_message_part_is_descended_into() -> None:
    raw = b"Content-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\ntext"
    assert found(1, raw=raw) == b"Subject: in\r\n\r\ntext"
    assert found(1, kind="HEADER", raw=raw) == b"Subject: in\r\n\r\n"
    assert found(1, 1, raw=raw) == found(1, kind="TEXT", raw=raw) == b"text"
    assert found(1, 1, 1, raw=raw) is None


def test_a_multipart_without_parts_has_its_body_as_part_1() -> None:
    raw = b"Content-Type: multipart/mixed; boundary=b\r\n\r\ntext"
    assert found(1, raw=raw) == b"text"
    assert found(1, kind="MIME", raw=raw) == b""
    assert found(1, 1, raw=raw) is None


def test_a_part_can_be_found_by_its_numbers() -> None:
    part = find_part(ROOT, (4, 2, 2))
    assert part is not None
    assert shape(part) == "multipart/alternative(text/plain text/richtext)"
    assert find_part(ROOT, ()) is None
