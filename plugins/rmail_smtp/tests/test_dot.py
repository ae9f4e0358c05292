"""The end of data in a stream that is cut anywhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rmail_smtp.dot import DotReader
from rmail_smtp.lines import MAX_LINE_BYTES, Flaw, LineCheck

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
    flaws: list[Flaw | None] = []
    lines = LineCheck()

    def take(piece: bytes) -> None:
        pieces.append(piece)
        flaws.append(lines.look(piece))

    reader = DotReader(take)
    found, at = None, 0
    for size in [*cuts, len(whole)]:
        piece = whole[at : at + size]
        at += size
        found = reader.feed(piece)
        if found is not None:
            break
    assert found is not None
    assert found + whole[at:] == surplus
    assert (Flaw.BARE_NEWLINE in (*flaws, lines.end())) == is_bare
    assert b"".join(pieces) == content


@given(stream=_STREAMS, cuts=st.lists(st.integers(0, 4), max_size=60))
def test_bare_line_ends_are_seen_wherever_the_text_is_cut(stream: bytes, cuts: list[int]) -> None:
    lines, at, flaws = LineCheck(), 0, []
    for size in [*cuts, len(stream)]:
        flaws.append(lines.look(stream[at : at + size]))
        at += size
    stripped = stream.replace(b"\r\n", b"")
    is_bare = b"\r" in stripped or b"\n" in stripped
    assert (Flaw.BARE_NEWLINE in (*flaws, lines.end())) == is_bare


@pytest.mark.parametrize(
    ("size", "flaw"), [(MAX_LINE_BYTES, None), (MAX_LINE_BYTES + 1, Flaw.LINE_TOO_LONG)]
)
def test_the_longest_line_is_taken_and_a_longer_one_is_not(size: int, flaw: Flaw | None) -> None:
    lines = LineCheck()
    for _ in range(size // 1024):
        lines.look(b"x" * 1024)
    assert lines.look(b"x" * (size % 1024) + b"\r\n") is flaw
