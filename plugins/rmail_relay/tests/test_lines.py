"""What goes over the wire is the message, whatever its line ends and wherever its chunks end."""

from __future__ import annotations

import itertools
import re

from hypothesis import given
from hypothesis import strategies as st
from rmail_relay.client.lines import canonical, dot_stuffed, with_crlf

MESSAGES = st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b".", b"a", b"..", b"bc"])).map(
    b"".join
)


def pieces(raw: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({cut % (len(raw) + 1) for cut in cuts} | {0, len(raw)})
    return [raw[start:end] for start, end in itertools.pairwise(places)]


@given(MESSAGES, st.lists(st.integers(0, 100)))
def test_line_ends_become_crlf_at_any_border(raw: bytes, cuts: list[int]) -> None:
    expected = re.sub(rb"\r\n|\r|\n", b"\r\n", raw)
    assert b"".join(with_crlf(pieces(raw, cuts))) == expected
    ended = expected if not expected or expected.endswith(b"\r\n") else expected + b"\r\n"
    assert b"".join(canonical(pieces(raw, cuts))) == ended


@given(MESSAGES, st.lists(st.integers(0, 100)))
def test_dots_are_doubled_at_any_border(raw: bytes, cuts: list[int]) -> None:
    whole = b"".join(canonical([raw]))
    lines = whole.split(b"\r\n")
    expected = b"\r\n".join(b"." + line if line.startswith(b".") else line for line in lines)
    sent = b"".join(dot_stuffed(canonical(pieces(raw, cuts))))
    assert sent == expected
    assert b"\r\n.\r\n" not in b"\r\n" + sent
