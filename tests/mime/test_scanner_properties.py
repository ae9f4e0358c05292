"""Laws of the scan that hold for any bytes at all."""

from hypothesis import given
from hypothesis import strategies as st

from rmail_kernel.mime import (
    Part,
    Section,
    SectionKind,
    decode_body,
    decode_structure,
    encode_structure,
    locate,
    message_text,
    preview,
    scan,
    summarise,
    walk,
)

LINES = st.sampled_from(
    [
        b"Content-Type: multipart/mixed; boundary=a",
        b'Content-Type: multipart/digest;\r\n boundary="ab"',
        b"Content-Type: message/rfc822",
        b"Content-Type: text/html; charset=utf-7",
        b"Content-Transfer-Encoding: base64",
        b"Content-Transfer-Encoding: quoted-printable",
        b"Content-Disposition: attachment; filename*0*=utf-8''%c3; filename*1=x",
        b"From: a <b@c>, d:e@f;",
        b"Subject: =?utf-8?q?=C3=A9?= =?x?b?4pyT?=",
        b"--a",
        b"--a--",
        b"--ab",
        b"--ab--",
        b"",
        b"QUJD=",
        b"<p>x<script>",
        b"=E9=\r\n",
    ]
)
PIECES = st.one_of(LINES, st.binary(max_size=12))
ENDS = st.sampled_from([b"\r\n", b"\r\n", b"\n", b"\r", b""])
MESSAGES = st.lists(st.tuples(PIECES, ENDS), max_size=30).map(
    lambda lines: b"".join(line + end for line, end in lines)
)


def check_nesting(part: Part, start: int, end: int) -> None:
    assert start <= part.header_start <= part.body_start <= part.body_end <= end
    at = part.body_start
    for child in part.children:
        check_nesting(child, at, part.body_end)
        at = child.body_end
    assert not part.is_message or len(part.children) <= 1


@given(MESSAGES)
def test_offsets_lie_inside_the_buffer_and_children_inside_their_parent_in_order(
    raw: bytes,
) -> None:
    root = scan(raw)
    check_nesting(root, 0, len(raw))
    assert (root.header_start, root.body_end) == (0, len(raw))


@given(MESSAGES)
def test_lines_of_text_and_messages_count_the_line_ends_of_their_bodies(raw: bytes) -> None:
    for part in walk(scan(raw)):
        if part.type == "text" or part.is_message:
            assert part.lines == raw.count(b"\n", part.body_start, part.body_end)


@given(MESSAGES)
def test_everything_that_is_made_of_a_structure_is_made_of_any_bytes(raw: bytes) -> None:
    summary = summarise(raw)
    assert decode_structure(encode_structure(summary.structure)) == summary.structure
    assert len(preview(raw, summary.structure, 20)) <= 20
    assert sum(map(len, message_text(raw, summary.structure, 50))) <= 50
    for part in walk(summary.structure):
        decode_body(raw, part)
        assert part.filename is None or part.filename


@given(MESSAGES, st.lists(st.integers(0, 3), max_size=4))
def test_a_located_section_lies_inside_the_message(raw: bytes, numbers: list[int]) -> None:
    root = scan(raw)
    kinds: tuple[SectionKind, ...] = ("", "HEADER", "TEXT", "MIME")
    for kind in kinds:
        found = locate(root, Section(tuple(numbers), kind))
        assert found is None or 0 <= found[0] <= found[1] <= len(raw)


@given(MESSAGES)
def test_wire_forms_are_balanced_outside_their_strings(raw: bytes) -> None:
    summary = summarise(raw)
    for wire in (summary.raw_envelope, summary.raw_body, summary.raw_bodystructure):
        assert b"\0" not in wire
        assert closing_at(wire) == len(wire)


def closing_at(wire: bytes) -> int:
    """The place after the parenthesis that closes the first one, strings and literals skipped."""
    depth = at = 0
    while at < len(wire):
        char = wire[at : at + 1]
        if char == b'"':
            at += 1
            while wire[at : at + 1] != b'"':
                at += 2 if wire[at : at + 1] == b"\\" else 1
        elif char == b"{":
            end = wire.index(b"}\r\n", at)
            at = end + 2 + int(wire[at + 1 : end])
        elif char in b"()":
            depth += 1 if char == b"(" else -1
            if depth == 0:
                return at + 1
        at += 1
    return -1
