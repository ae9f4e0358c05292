"""Linear work and bounded memory, counted: twice the input makes at most little more than twice the
calls, and what is kept beside the input has a bound.
"""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable

import pytest

from rmail_kernel.mime import summarise
from tests.mime.shapes import many_parts, nested_messages, nested_multiparts

Make = Callable[[int], bytes]
MAX_MEMORY_BYTES = 64 << 20
_HEAD = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
SHAPES: dict[str, tuple[Make, int]] = {
    "messages in messages": (nested_messages, 500),
    "multiparts in multiparts": (nested_multiparts, 500),
    "parts": (many_parts, 4000),
    "a long header line": (lambda n: b"Subject: " + b"x" * n + b"\r\n\r\n", 1 << 19),
    "a long line of addresses": (lambda n: b"To: " + b"a@b, " * n + b"c@d\r\n\r\n", 20_000),
    "many header lines": (lambda n: b"X: y\r\n" * n + b"\r\n", 20_000),
    "NULs": (lambda n: b"Subject: \0\r\n\r\n" + b"\0" * n, 1 << 19),
    "bare CR": (lambda n: b"Subject: x\r\r" + b"a\r" * n, 1 << 18),
    "bare LF": (lambda n: b"Subject: x\n\n" + b"a\n" * n, 1 << 18),
    "no boundary": (lambda n: _HEAD + b"line\r\n" * n, 1 << 16),
    "boundaries that are none": (lambda n: _HEAD + b"--c\r\n" * n, 1 << 16),
    "unclosed parts": (lambda n: _HEAD + b"--b\r\nX: y\r\n\r\n" * n, 4000),
}
HUGE: dict[str, bytes] = {
    "1,000 levels of messages": nested_messages(1000),
    "1,000 levels of multiparts": nested_multiparts(1000),
    "100,000 parts": many_parts(100_000),
    "a header line of 1 MB": b"Subject: " + b"x" * 1_000_000 + b"\r\n\r\n",
    "a header line of 1 MB of words": b"Subject: " + b"=?utf-8?q?a?= " * 71_000 + b"\r\n\r\n",
}


def _calls(raw: bytes) -> int:
    """How many functions are called for a message."""
    count = 0

    def step(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(step)
    try:
        summarise(raw)
    finally:
        sys.setprofile(before)
    return count


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", SHAPES)
def test_twice_the_input_is_at_most_twice_the_work(name: str) -> None:
    make, size = SHAPES[name]
    summarise(make(10))  # what is made once is made
    one, two = _calls(make(size)), _calls(make(2 * size))
    assert two <= 2.2 * one + 200


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", HUGE)
def test_what_is_needed_beside_the_message_is_bounded(name: str) -> None:
    tracemalloc.start()
    try:
        summary = summarise(HUGE[name])
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert summary.structure.body_end == len(HUGE[name])
    assert peak_bytes < MAX_MEMORY_BYTES
