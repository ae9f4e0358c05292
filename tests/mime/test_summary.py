"""What storage keeps of a message."""

import pytest

from rmail_kernel.mime import (
    CACHED_FIELDS,
    MAX_CACHED_HEADER_BYTES,
    MAX_HEADER_BYTES,
    bodystructure_wire,
    decode_structure,
    encode_structure,
    envelope_wire,
    field_block,
    fields,
    parse_envelope,
    scan,
    summarise,
)

RAW = (
    b"Received: by mx\r\nDKIM-Signature: v=1;\r\n b=x\r\nFROM: a@b\r\nSubject: s\r\n t\r\n"
    b"X-Other: y\r\nX-Spam-Flag: NO\r\n\r\nbody\r\n"
)


def test_a_summary_holds_what_the_parts_give() -> None:
    summary = summarise(RAW)
    root = scan(RAW)
    assert summary.structure == root
    assert summary.raw_envelope == envelope_wire(parse_envelope(RAW))
    assert summary.raw_body == bodystructure_wire(root, RAW, extended=False)
    assert summary.raw_bodystructure == bodystructure_wire(root, RAW, extended=True)


def test_cached_headers_are_the_exact_lines_of_the_listed_fields() -> None:
    summary = summarise(RAW)
    assert summary.raw_headers == (b"FROM: a@b\r\nSubject: s\r\n t\r\nX-Spam-Flag: NO\r\n\r\n")
    assert summary.headers_complete
    asked = [b"Subject", b"From"]
    assert field_block(summary.raw_headers, asked) == field_block(RAW, asked)
    assert b"dkim-signature" not in CACHED_FIELDS


@pytest.mark.parametrize("fold", [b"", b"\r\n " + b"z" * 60])
def test_cached_headers_past_the_bound_are_cut_after_a_whole_field(fold: bytes) -> None:
    line = b"To: " + b"y" * 50 + fold + b"\r\n"
    count = MAX_CACHED_HEADER_BYTES // len(line) + 1
    summary = summarise(line * count + b"\r\n")
    assert not summary.headers_complete
    assert summary.raw_headers == line * (count - 1)
    assert len(list(fields(summary.raw_headers))) == count - 1


def test_one_field_longer_than_the_bound_is_left_out() -> None:
    summary = summarise(b"To: " + b"y\r\n " * MAX_CACHED_HEADER_BYTES + b"\r\n\r\n")
    assert (summary.raw_headers, summary.headers_complete) == (b"", False)


def test_a_header_longer_than_what_is_read_is_not_complete() -> None:
    summary = summarise(b"X: " + b"y" * MAX_HEADER_BYTES + b"\r\nSubject: s\r\n\r\n")
    assert not summary.headers_complete


def test_a_structure_survives_its_encoding() -> None:
    structure = scan(
        b"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Language: en\n"
        b"Content-Disposition: inline; filename=x\n\n--b\nContent-Type: message/rfc822\n\n"
    )
    assert decode_structure(encode_structure(structure)) == structure


@pytest.mark.parametrize("change", [b"", b"\x00", b"\x02", b"\xff"])
def test_a_structure_of_another_version_is_refused(change: bytes) -> None:
    with pytest.raises(ValueError, match="unknown version"):
        decode_structure(change + encode_structure(scan(b""))[1:] if change else b"")


@pytest.mark.parametrize("length", [1, 2, 10])
def test_a_damaged_structure_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="damaged"):
        decode_structure(encode_structure(scan(b""))[:length])
