"""The end of data in a stream that is cut anywhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rmail_smtp.dot import MAX_LINE_BYTES, DotReader, Flaw

from rmail_kernel.errors import RmailError, Temporary, TooLarge

# Texts made of what matters, so that hypothesis meets the hard cases often.
_STREAMS = st.lists(
    st.sampled_from([b"\r\n", b".", b"a", b"\r", b"\n", b"\r\n.", b"\r\n.\r"]), max_size=12
).map(b"".join)


def _reference(stream: bytes) -> tuple[bytes, bytes, bool]:
    """RFC 5321 4.1.1.4 and 4.5.2 on a stream that is all there."""
    framed = b"\r\n" + stream
    end = framed.index(b"\r\n.\r\n")
    body, surplus = framed[: end + 2], framed[end + 5 :]
    stripped = body.replace(b"\r\n", b"")
    is_bare = b"\r" in stripped or b"\n" in stripped
    lines = body.split(b"\r\n")[1:]
    content = b"\r\n".join(line.removeprefix(b".") for line in lines)
    return content, surplus, is_bare


@given(stream=_STREAMS, rest=_STREAMS, cuts=st.lists(st.integers(1, 4), max_size=60))
def test_cuts_in_the_stream_change_nothing(stream: bytes, rest: bytes, cuts: list[int]) -> None:
    whole = stream + b"\r\n.\r\n" + rest
    content, surplus, is_bare = _reference(whole)
    pieces: list[bytes] = []
    reader = DotReader(pieces.append)
    found, at = None, 0
    for size in [*cuts, len(whole)]:
        piece = whole[at : at + size]
        at += size
        found = reader.feed(piece)
        if found is not None:
            break
    assert found is not None
    assert found + whole[at:] == surplus
    assert (reader.flaw is Flaw.BARE_NEWLINE) == is_bare
    if not is_bare:
        assert b"".join(pieces) == content


@pytest.mark.parametrize(
    ("error", "flaw"),
    [(TooLarge("full"), Flaw.TOO_LARGE), (Temporary("no room"), Flaw.NO_ROOM)],
)
def test_memory_stays_bounded_and_the_end_is_found_when_the_sink_is_full(
    error: RmailError, flaw: Flaw
) -> None:
    def full(_: bytes) -> None:
        raise error

    reader = DotReader(full)
    for _ in range(100):
        assert reader.feed(b"x" * 1000 + b"\r\n") is None
    assert reader.flaw is flaw
    assert reader.feed(b".\r\nNEXT") == b"NEXT"


def test_the_longest_line_is_taken_and_a_longer_one_is_not() -> None:
    for size, flaw in ((MAX_LINE_BYTES, None), (MAX_LINE_BYTES + 1, Flaw.LINE_TOO_LONG)):
        reader = DotReader(lambda _: None)
        for _ in range(size // 1024):
            reader.feed(b"x" * 1024)
        assert reader.feed(b"x" * (size % 1024) + b"\r\n.\r\n") == b""
        assert reader.flaw is flaw
