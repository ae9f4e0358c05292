"""Replies: what is one, what it says, and where it ends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rmail_relay.client.extensions import Extensions
from rmail_relay.client.reply import MAX_LINE_BYTES, MAX_LINES, Reply, ReplyParser
from rmail_relay.client.verdict import Verdict
from rmail_relay.outcome import Kind

from rmail_kernel.errors import Invalid


def parse(*raw_lines: bytes) -> Reply | None:
    parser = ReplyParser()
    reply = None
    for raw in raw_lines:
        reply = parser.take(raw)
    return reply


def test_a_reply_ends_with_the_line_that_has_no_hyphen() -> None:
    assert parse(b"250-a") is None
    assert parse(b"250-a", b"250-b", b"250 c") == Reply(250, ("a", "b", "c"))
    assert parse(b"354") == Reply(354, ("",))


@pytest.mark.parametrize(
    "raw_lines",
    [
        [b""],
        [b"hello"],
        [b"99 x"],
        [b"650 x"],
        [b"150 x"],
        [b"2500 x"],
        [b"250_x"],
        [b"250-a", b"251 b"],
        [b"250 " + b"x" * MAX_LINE_BYTES],
        [b"250-x"] * (MAX_LINES + 1),
    ],
)
def test_what_is_no_reply_is_refused(raw_lines: list[bytes]) -> None:
    with pytest.raises(Invalid):
        parse(*raw_lines)


@given(st.lists(st.binary(max_size=40), max_size=20))
def test_any_lines_are_a_reply_or_refused(raw_lines: list[bytes]) -> None:
    try:
        reply = parse(*raw_lines)
    except Invalid:
        return
    assert reply is None or (200 <= reply.code < 600 and reply.text.isprintable())


@pytest.mark.parametrize(
    ("reply", "status", "text"),
    [
        (Reply(550, ("5.1.1 no such user",)), "5.1.1", "no such user"),
        (Reply(550, ("5.1.1 no", "5.1.1 such user")), "5.1.1", "no such user"),
        (Reply(550, ("4.1.1 no",)), "5.0.0", "no"),
        (Reply(451, ("later",)), "4.0.0", "later"),
        (Reply(250, ("2.1.5\tok",)), "2.0.0", "2.1.5?ok"),
        (Reply(550, ("5.007.01 \x1b[31mred",)), "5.7.1", "?[31mred"),
        (Reply(354, ("go",)), "4.5.0", "go"),
    ],
)
def test_status_and_text(reply: Reply, status: str, text: str) -> None:
    assert (reply.status, reply.text) == (status, text)


def test_texts_are_cut() -> None:
    assert len(Reply(550, ("x" * 2000,) * 100).text) == 1000


@pytest.mark.parametrize(
    ("code", "kind"),
    [(250, Kind.DELIVERED), (450, Kind.DEFERRED), (550, Kind.FAILED), (354, Kind.DEFERRED)],
)
def test_only_2yz_is_a_yes(code: int, kind: Kind) -> None:
    assert Verdict.of(Reply(code, ("x",))).kind is kind


def test_extensions_are_the_keywords() -> None:
    found = Extensions.of(
        Reply(250, ("MX.test. hi", "size 1000", "AUTH=LOGIN", "LIMITS RCPTMAX=2 MAILMAX=5", ""))
    )
    assert found.host == "mx.test"
    assert "SIZE" in found
    assert "DSN" not in found
    assert found.max_size_bytes == 1000
    assert found.mechanisms == ("LOGIN",)
    assert (found.limit("RCPTMAX"), found.limit("MAILMAX")) == (2, 5)


@pytest.mark.parametrize("line", ["SIZE", "SIZE 0", "SIZE x", "SIZE -5", "SIZE " + "9" * 50])
def test_a_size_that_says_nothing_limits_nothing(line: str) -> None:
    assert Extensions.of(Reply(250, ("x", line))).max_size_bytes is None


@pytest.mark.parametrize(
    "line", ["LIMITS", "LIMITS RCPTMAX", "LIMITS RCPTMAX=0", "LIMITS RCPTMAX=x"]
)
def test_limits_that_say_nothing_limit_nothing(line: str) -> None:
    assert Extensions.of(Reply(250, ("x", line))).limit("RCPTMAX") is None
