"""Sections out of cached headers (RFC 3501 6.4.5)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rmail_imap.bodies import filter_fields

from rmail_kernel.mime import CACHED_FIELDS, field_block

_NAMES = st.sampled_from([b"From", b"TO", b"subject", b"Cc", b"List-Id", b"X-Mailer"])
_VALUES = st.sampled_from([b" a", b"", b" a\r\n b", b"\r\n\tc", b" x\n y", b" \xff\r\n  From: z"])
_ENDS = st.sampled_from([b"\r\n", b"\n"])
_LINES = st.tuples(_NAMES, st.sampled_from([b":", b" :"]), _VALUES, _ENDS).map(b"".join)


@given(st.lists(_LINES).map(b"".join), st.lists(_NAMES, min_size=1, unique=True))
def test_cached_fields_are_filtered_as_headers_are(raw: bytes, names: list[bytes]) -> None:
    cached = field_block(raw + b"\r\n", CACHED_FIELDS)
    assert filter_fields(cached, tuple(names)) == field_block(cached, names)
