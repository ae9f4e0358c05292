"""What the scan finds: offsets, types and nesting of well-formed and of broken messages."""

import mmap
import tempfile
from collections.abc import Iterator

import pytest

from rmail_kernel.mime import (
    MAX_BOUNDARY_BYTES,
    MAX_DEPTH,
    MAX_HEADER_BYTES,
    MAX_PARTS,
    Part,
    scan,
    summarise,
    walk,
)
from rmail_kernel.mime.content import MAX_FIELD_BYTES
from rmail_kernel.mime.parameters import MAX_PARAMETERS
from tests.mime.shapes import body, crlf, many_parts, nested_messages, nested_multiparts, shape

# RFC 2046 5.1.1, the example of a multipart with implicitly and explicitly typed parts.
SIMPLE = crlf("""
From: Nathaniel Borenstein <nsb@bellcore.com>
To: Ned Freed <ned@innosoft.com>
Date: Sun, 21 Mar 1993 23:56:48 -0800 (PST)
Subject: Sample message
MIME-Version: 1.0
Content-type: multipart/mixed; boundary="simple boundary"

This is the preamble.  It is to be ignored, though it
is a handy place for composition agents to include an
explanatory note to non-MIME conformant readers.

--simple boundary

This is implicitly typed plain US-ASCII text.
It does NOT end with a linebreak.
--simple boundary
Content-type: text/plain; charset=us-ascii

This is explicitly typed plain US-ASCII text.
It DOES end with a linebreak.

--simple boundary--

This is the epilogue.  It is also to be ignored.
""")


def test_the_line_end_before_a_boundary_belongs_to_the_boundary() -> None:
    root = scan(SIMPLE)
    assert shape(root) == "multipart/mixed(text/plain text/plain)"
    implicit, explicit = root.children
    assert body(SIMPLE, implicit).endswith(b"It does NOT end with a linebreak.")
    assert body(SIMPLE, explicit).endswith(b"It DOES end with a linebreak.\r\n")
    assert (implicit.lines, explicit.lines) == (1, 2)
    assert explicit.params == (("charset", "us-ascii"),)
    assert SIMPLE[implicit.header_start : implicit.body_start] == b"\r\n"


def test_preamble_and_epilogue_belong_to_the_body_of_the_multipart() -> None:
    root = scan(SIMPLE)
    assert body(SIMPLE, root).startswith(b"This is the preamble.")
    assert root.body_end == len(SIMPLE)
    assert root.header_range == (0, root.body_start)
    assert root.body_range == (root.body_start, root.body_start + root.size_bytes)


def test_bare_line_feeds_give_the_same_structure() -> None:
    raw = SIMPLE.replace(b"\r\n", b"\n")
    root = scan(raw)
    assert shape(root) == "multipart/mixed(text/plain text/plain)"
    assert body(raw, root.children[1]).endswith(b"It DOES end with a linebreak.\n")


def test_parts_of_a_digest_are_messages_by_default() -> None:
    raw = crlf("""
Content-Type: multipart/digest; boundary=d

--d

Subject: one

first
--d
Content-Type: text/plain

second
--d--
""")
    root = scan(raw)
    assert shape(root) == "multipart/digest(message/rfc822(text/plain) text/plain)"
    message = root.children[0]
    assert body(raw, message) == b"Subject: one\r\n\r\nfirst"
    assert body(raw, message.children[0]) == b"first"
    assert message.lines == 2


def test_an_outer_boundary_ends_all_parts_inside() -> None:
    raw = crlf("""
Content-Type: multipart/mixed; boundary=outer

--outer
Content-Type: multipart/alternative; boundary=inner

--inner

never closed
--outer

after
--outer--
""")
    root = scan(raw)
    assert shape(root) == "multipart/mixed(multipart/alternative(text/plain) text/plain)"
    assert body(raw, root.children[0].children[0]) == b"never closed"
    assert body(raw, root.children[1]) == b"after"


@pytest.mark.parametrize(("outer", "inner"), [("b", "bb"), ("bb", "b"), ("b", "b--"), ("b--", "b")])
def test_a_boundary_that_begins_another_is_not_taken_for_it(outer: str, inner: str) -> None:
    raw = (
        f"Content-Type: multipart/mixed; boundary={outer}\n\n--{outer}\n"
        f"Content-Type: multipart/mixed; boundary={inner}\n\n--{inner}\n\n1\n--{inner}\n\n2\n"
        f"--{inner}--\n--{outer}\n\n3\n--{outer}--\n"
    ).encode()
    assert shape(scan(raw)) == "multipart/mixed(multipart/mixed(text/plain text/plain) text/plain)"


def test_the_same_boundary_at_two_levels_belongs_to_the_inner_until_it_is_closed() -> None:
    raw = (
        b"Content-Type: multipart/mixed; boundary=b\n\n--b\n"
        b"Content-Type: multipart/mixed; boundary=b\n\n--b\n\n1\n--b--\n--b\n\n2\n--b--\n"
    )
    assert shape(scan(raw)) == "multipart/mixed(multipart/mixed(text/plain) text/plain)"


@pytest.mark.parametrize("after", ["", " ", "\t ", " \r"])
def test_white_space_after_a_boundary_is_padding(after: str) -> None:
    raw = f"Content-Type: multipart/mixed; boundary=b\n\n--b{after}\n\n1\n--b--{after}\nrest"
    assert [part.size_bytes for part in scan(raw.encode()).children] == [1]


@pytest.mark.parametrize("line", ["--bc", "-b", "--B", " --b", "--b-", "--b c", "x--b"])
def test_other_lines_are_no_boundary(line: str) -> None:
    raw = f"Content-Type: multipart/mixed; boundary=b\n\n--b\n\n1\n{line}\n2\n--b--\n".encode()
    assert len(scan(raw).children) == 1


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"", "text/plain"),
        (b"\r\n", "text/plain"),
        (b"\0\0\0", "text/plain"),
        (b"no header at all", "text/plain"),
        (b"Content-Type: text/html", "text/html"),
        (b"Content-Type: text", "text/plain"),
        (b"Content-Type: /html\r\n\r\n", "text/plain"),
        (b"Content-Type: text/html/x\r\n\r\n", "text/html"),
        (b"Content-Type:\r\n\r\n", "text/plain"),
        (b"Content-Type: IMAGE/PNG\r\nContent-Type: text/html\r\n\r\n", "image/png"),
        (b"content-type : (a comment) Text / (\r\n)\r\n Html\r\n\r\n", "text/plain"),
        (b"content-type : (a comment) Text /\r\n Html\r\n\r\n", "text/html"),
        (b"Content-Type: multipart/mixed\r\n\r\n--b\r\n", "multipart/mixed"),
        (b'Content-Type: multipart/mixed; boundary=""\r\n\r\n--\r\n', "multipart/mixed"),
        (b"Content-Type: multipart/mixed; boundary=b\r\n\r\n", "multipart/mixed"),
        (b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b", "multipart/mixed(text/plain)"),
        (b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b--", "multipart/mixed"),
        (
            b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
            b"--b\r\nContent-Type: text/html\r\n--b\r\n",
            "multipart/mixed(text/html text/plain)",
        ),
        (b"Content-Type: message/rfc822\r\n\r\n", "message/rfc822(text/plain)"),
        (b"Content-Type: message/global\r\n\r\nA: b", "message/global(text/plain)"),
        (b"Content-Type: message/partial\r\n\r\nA: b", "message/partial"),
        (b"A: b\rContent-Type: text/html\r\r", "text/plain"),
    ],
)
def test_any_input_has_a_structure(raw: bytes, expected: str) -> None:
    assert shape(scan(raw)) == expected


def test_content_fields_are_read_unfolded_and_decoded() -> None:
    raw = crlf("""
Content-Type: application/PDF; name*=utf-8''r%C3%A9sum%C3%A9.pdf
Content-Transfer-Encoding: BASE64 (binary)
Content-ID: <a@example.org>
Content-Description: =?utf-8?q?a?=
 folded
Content-Disposition: Attachment; FileName="a \\"b\\".pdf"
Content-Language: en, de-CH, en_US
Content-Location: http://example.org/a
Content-MD5: Q2hlY2sgSW50ZWdyaXR5IQ==

""")
    part = scan(raw)
    assert part.params == (("name", "résumé.pdf"),)
    assert part.encoding == "base64"
    assert part.content_id == "<a@example.org>"
    assert part.description == "=?utf-8?q?a?= folded"
    assert part.disposition == ("attachment", (("filename", 'a "b".pdf'),))
    assert part.language == ("en", "de-CH", "en_US")
    assert part.location == "http://example.org/a"
    assert part.md5 == "Q2hlY2sgSW50ZWdyaXR5IQ=="
    assert part.filename == 'a "b".pdf'


@pytest.fixture(scope="module")
def mapped() -> Iterator[mmap.mmap]:
    with tempfile.TemporaryFile() as file:
        file.write(SIMPLE)
        file.flush()
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
            yield view


def test_maps_and_memoryviews_give_what_bytes_give(mapped: mmap.mmap) -> None:
    expected = summarise(SIMPLE)
    assert summarise(mapped) == expected
    with memoryview(mapped) as view:
        assert summarise(view) == expected
    assert summarise(memoryview(b"xx" + SIMPLE)[2:]) == expected
    assert summarise(memoryview(SIMPLE)) == expected


def depth(root: Part) -> int:
    levels = 0
    parts = root.children
    while parts:
        levels += 1
        parts = parts[-1].children
    return levels


@pytest.mark.parametrize("raw", [nested_messages(1000), nested_multiparts(1000)])
def test_a_part_at_the_greatest_depth_is_a_leaf_of_its_stated_type(raw: bytes) -> None:
    root = scan(raw)
    assert depth(root) == MAX_DEPTH
    last = list(walk(root))[-1] if root.is_message else None
    assert last is None or (last.is_message and last.body_end == len(raw))
    assert summarise(raw).raw_bodystructure.count(b"(") > MAX_DEPTH


@pytest.mark.parametrize("make", [nested_messages, nested_multiparts])
def test_a_message_of_the_greatest_depth_is_read_whole(make: type) -> None:
    assert depth(scan(make(MAX_DEPTH))) == MAX_DEPTH


def test_what_follows_the_last_counted_part_stays_in_it() -> None:
    raw = many_parts(100_000)
    root = scan(raw)
    assert len(root.children) == MAX_PARTS - 1
    assert root.children[-1].body_end == len(raw)
    assert root.children[-2].size_bytes == 1
    assert summarise(raw).structure == root


def test_a_message_after_the_last_counted_part_is_not_descended_into() -> None:
    message = b"--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: a\r\n\r\n"
    raw = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + message * MAX_PARTS
    assert len(list(walk(scan(raw)))) == MAX_PARTS


def test_content_fields_past_the_header_bound_are_not_seen() -> None:
    filler = b"X: " + b"y" * (MAX_HEADER_BYTES - 5) + b"\r\n"
    raw = filler + b"Content-Type: text/html\r\n\r\nbody"
    assert scan(raw).subtype == "plain"
    assert body(raw, scan(raw)) == b"body"
    assert scan(raw[100:]).subtype == "html"


def test_a_content_field_is_read_up_to_its_bound() -> None:
    part = scan(b"Content-Description: " + b"x" * 2 * MAX_FIELD_BYTES + b"\r\n\r\n")
    assert len(part.description or "") == MAX_FIELD_BYTES - 2


def test_a_boundary_longer_than_the_bound_is_not_used() -> None:
    for length, parts in ((MAX_BOUNDARY_BYTES, 1), (MAX_BOUNDARY_BYTES + 1, 0)):
        name = "b" * length
        raw = f"Content-Type: multipart/mixed; boundary={name}\n\n--{name}\n\nx\n--{name}--\n"
        assert len(scan(raw.encode()).children) == parts


def test_parameters_past_the_bound_are_not_read() -> None:
    pairs = "".join(f"; a{number}=1" for number in range(MAX_PARAMETERS + 50))
    part = scan(f"Content-Type: text/plain{pairs}\n\n".encode())
    assert len(part.params) == MAX_PARAMETERS


MEGABYTE = 1 << 20


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "raw",
    [
        b"Subject: " + b"x" * MEGABYTE + b"\r\n\r\n",
        b"Content-Type: text/plain; " + b"a=b;" * (MEGABYTE // 4) + b"\r\n\r\n",
        b"Content-Type: text/plain; " + b"(;" * (MEGABYTE // 2) + b"\r\n\r\n",
        b'Content-Type: text/plain; a="' + b"\\" * MEGABYTE + b"\r\n\r\n",
        b"Content-Type: text/plain; " + b"a " * (MEGABYTE // 2) + b"\r\n\r\n",
        b"Content-Type: " + b"(" * MEGABYTE + b"\r\n\r\n",
        b"Content-Type: text/plain;" + b"\r\n " * (MEGABYTE // 3) + b"\r\n\r\n",
        b"content-type:\n" * (MEGABYTE // 14),
        b"content-\n" * (MEGABYTE // 9),
        b"To: " + b"(" * MEGABYTE + b"\r\n\r\n",
        b"To: " + b"<" * MEGABYTE + b"\r\n\r\n",
        b"To: " + b'"' * MEGABYTE + b"\r\n\r\n",
        b"To: " + b"a " * (MEGABYTE // 2) + b"\r\n\r\n",
        b"To: " + b". " * (MEGABYTE // 2) + b"@b\r\n\r\n",
        b"To: " + b"a:" * (MEGABYTE // 2) + b"\r\n\r\n",
        b"To: <" + b"@a," * (MEGABYTE // 3) + b"\r\n\r\n",
        b"To: " + b"a@b," * (MEGABYTE // 8) + b"\r\n\r\n",
        b"To: " + b"=?a?q?" * (MEGABYTE // 6) + b"\r\n\r\n",
        b"To: a\r\n" * (MEGABYTE // 14) + b"\r\n",
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n" * (MEGABYTE // 5),
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"\n--" * (MEGABYTE // 3),
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--" + b"b" * MEGABYTE,
        b"Content-Type: multipart/mixed; boundary=" + b"-" * 200 + b"\r\n\r\n" + b"-" * MEGABYTE,
        nested_messages(20_000),
        nested_multiparts(10_000),
        b"\r\n" * MEGABYTE,
        b"\0" * MEGABYTE,
        b"\r" * MEGABYTE,
    ],
    ids=lambda raw: raw[:48].decode().strip() or repr(raw[:4]),
)
def test_hostile_megabytes_are_read_in_linear_time(raw: bytes) -> None:
    summary = summarise(raw)
    assert summary.structure.body_end == len(raw)
