"""RFC 5256 2: message ids, sent dates and sort addresses."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from rmail_kernel.mime import (
    MessageKeys,
    decode_keys,
    encode_keys,
    first,
    keys_reader,
    message_keys,
    parse_envelope,
)
from rmail_kernel.mime.keys import MAX_REFERENCES, message_ids, sent_date

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def keys(raw: bytes) -> MessageKeys:
    """The keys of a header."""
    return message_keys(parse_envelope(raw), first(raw, b"References"), NOW)


def test_all_keys_of_an_ordinary_reply() -> None:
    found = keys(
        b"From: =?utf-8?q?J=C3=B6rg?= <joerg@example.org>, b@x\r\nTo: alice@example.com\r\n"
        b"Cc: Team: c@x, d@x;\r\nSubject: =?utf-8?q?Re=3A_Gr=C3=BC=C3=9Fe?=\r\n"
        b"Date: Mon, 05 Jan 2026 10:00:00 +0100\r\nMessage-ID: <c@x>\r\n"
        b"In-Reply-To: <other@x>\r\nReferences: <a@x>\r\n <b@x> <c@x> <a@x>\r\n\r\n"
    )
    assert found == MessageKeys(
        message_id="c@x",
        references=("a@x", "b@x"),
        base_subject="Grüße",
        is_reply=True,
        sent_at=datetime(2026, 1, 5, 9, tzinfo=UTC),
        from_mailbox="joerg",
        to_mailbox="alice",
        cc_mailbox="Team",
        from_name="Jörg",
        to_name="alice@example.com",
    )
    assert decode_keys(encode_keys(found)) == found


def test_a_message_without_header_has_keys() -> None:
    assert keys(b"\r\n") == MessageKeys(None, (), "", False, NOW, "", "", "", "", "")


def test_in_reply_to_counts_without_valid_references() -> None:
    found = keys(b"References: none at all\r\nIn-Reply-To: your mail <a@x> and <b@x>\r\n\r\n")
    assert found.references == ("a@x",)


@pytest.mark.parametrize(
    ("raw", "ids"),
    [
        (b"<a@b>", ("a@b",)),
        (b'<"a"@b> <a@b>', ("a@b",)),
        (b'<"a b\\"c\\\\"@d>', ('a b"c\\@d',)),
        (b"< a @ b >", ("a@b",)),
        (b"<A@b> <a@b>", ("A@b", "a@b")),
        (b"a@b <c> <@d> <e@>", ()),
        (b"<<a@b>>", ("a@b",)),
        ("<ä@b>".encode(), ("ä@b",)),
        (b"<%b@x>" % (b"a" * 600), ()),
    ],
)
def test_ids_are_compared_in_one_form(raw: bytes, ids: tuple[str, ...]) -> None:
    assert message_ids(raw, 10) == ids


def test_of_many_references_the_first_and_the_last_are_kept() -> None:
    raw = b" ".join(b"<%d@x>" % n for n in range(1000))
    found = message_ids(raw, MAX_REFERENCES)
    assert len(found) == MAX_REFERENCES
    assert (found[0], found[1], found[-1]) == ("0@x", f"{1001 - MAX_REFERENCES}@x", "999@x")


@pytest.mark.parametrize("piece", [b"<", b'<"', b'<"\\"', b"<a@", b'<""', b"<a", b'"', b"< "])
def test_any_references_take_little_time(piece: bytes) -> None:
    started_at = time.process_time()
    message_ids(piece * 100_000, 10)
    assert time.process_time() - started_at < 0.5


@pytest.mark.parametrize(
    ("raw", "moment"),
    [
        (b"Mon, 05 Jan 2026 10:00:00 -0500 (EST)", datetime(2026, 1, 5, 15, tzinfo=UTC)),
        (b"Mon, 5 Jan 2026 10:00:00 -0530", datetime(2026, 1, 5, 15, 30, tzinfo=UTC)),
        (b" 05 Jan 2026 01:00:00 +0130\r\n", datetime(2026, 1, 4, 23, 30, tzinfo=UTC)),
        (b"31 Feb 2026 10:00:00 +0000", None),
        (b"5 Jan 26 10:00", datetime(2026, 1, 5, 10, tzinfo=UTC)),
        (b"5 Jan 2026 25:61:00 +0000", datetime(2026, 1, 5, tzinfo=UTC)),
        (b"5 Jan 2026 10:00:60 +0000", datetime(2026, 1, 5, 10, 0, 59, tzinfo=UTC)),
        (b"5 Jan 2026 10:00:00 +9999", datetime(2026, 1, 5, 10, tzinfo=UTC)),
        (b"31 Dec 9999 23:00:00 -1400", None),
        (b"32 Jan 2026 10:00:00 +0000", None),
        (b"yesterday", None),
        (b"", None),
    ],
)
def test_the_sent_date(raw: bytes, moment: datetime | None) -> None:
    assert sent_date(raw) == moment


@pytest.mark.parametrize("raw", [b"", b"\x00", b"\x01", b"\x01\xff", b"\x02" + b"x" * 9])
def test_keys_of_another_version_are_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match="keys"):
        decode_keys(raw)


def test_some_keys_of_many_messages_are_read_at_once() -> None:
    found = [keys(b"Subject: Re: %d\r\nFrom: a%d@x\r\n\r\n" % (n, n)) for n in range(300)]
    raws = [encode_keys(one) for one in found]
    for names in (("from_mailbox",), ("sent_at", "base_subject"), ("to_name", "message_id")):
        columns = keys_reader(names)(raws)
        assert columns == [[getattr(one, name) for one in found] for name in names]
    assert keys_reader(("from_name",))([]) == [[]]


@pytest.mark.parametrize(
    "raw", [b"", b"\x00", b"\x01", b"\x01\xff", b"\x02" + b"x" * 9, b"\x01\x01", b"\x01\x90"]
)
def test_keys_of_another_version_among_many_are_refused(raw: bytes) -> None:
    good = encode_keys(keys(b"Subject: x\r\n\r\n"))
    for raws in ([raw], [good, raw, good], [b"\x02" + good[1:]]):
        with pytest.raises(ValueError, match="keys"):
            keys_reader(("base_subject",))(raws)


@pytest.mark.parametrize(
    "raw", [b'<"a<b"@x>', b'<"a\\<b"@x>', b"<a<b@x>", b"<a@x<y>", b'<"<"@x> <a@x>', b"<<a@x>>"]
)
def test_no_message_id_has_an_angle_bracket(raw: bytes) -> None:
    assert not set("<>") & set("".join(message_ids(raw * 3, 9)))  # THREAD relies on that
