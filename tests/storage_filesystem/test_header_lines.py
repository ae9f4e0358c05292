"""Conditions on header lines of summaries: what is told quickly is what decoding tells."""

from __future__ import annotations

import itertools

import apsw
import pytest

from rmail_kernel.casemap import casemap
from rmail_kernel.mime import fields
from rmail_kernel.storage.evaluate import value_texts
from rmail_kernel.storage.filesystem import schema, searching
from rmail_kernel.storage.search import Header

SUBJECTS = (
    b"Subject: alpha beta\r\n",
    b"Subject:alpha\r\n",
    b"subject : alpha\r\n",
    b"Subject: al\r\n pha\r\n",
    b"Subject: first\r\n alpha\r\n",
    b"Subject: =?utf-8?q?alpha?=\r\n",
    b"Subject: =?utf-8?q?=41lpha?= =?utf-8?q?x?=\r\n",
    b"Subject: =?utf-8?q?other?=\r\n alpha\r\n",
    b"Subject: \xc3\xa4lpha alpha\r\n",
    b"Subject: \xe4 alpha",
    b"Subject: none\r\nSubject: alpha\r\n",
    b"X-Subject: alpha\r\n",
    b"",
)
OTHERS = (
    b"",
    b"From: alpha <a@example.org>\r\n",
    b"From: =?utf-8?q?alpha?= <a@example.org>\r\n",
    b"To: a (alpha) b@example.org\r\n",
    b"From: nobody\r\n subject: alpha\r\n",
)
NEEDLES = ("alpha", "ALPHA BETA", "al pha", "lpha", " ", "ä", "=?", "a", "(alpha)", "\udcff", "b@x")


@pytest.mark.parametrize("name", ["Subject", "From", "To"])
def test_lines_match_as_their_decoded_values_do(name: str) -> None:
    for other, subject, text in itertools.product(OTHERS, SUBJECTS, NEEDLES):
        raw = other + subject + b"\r\n"
        told = searching._of_block(Header(name, text))(raw)
        folded = name.lower().encode()
        texts = [
            found
            for known, value in fields(raw)
            if known.lower() == folded
            for found in value_texts(folded, value)
        ]
        assert told is any(casemap(text) in found for found in texts), (raw, text)


@pytest.mark.parametrize("step", [1, 2])
def test_only_messages_that_are_asked_for_are_told_of(step: int) -> None:
    db = apsw.Connection(":memory:")
    db.execute(schema.TABLES)
    for uid in range(1, 3000):
        key = schema.summary_key(1, uid)
        values = key, b"", b"", b"", b"Subject: %d\r\n\r\n" % uid, int(uid != 7), b"", ""
        db.execute("INSERT INTO summary VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)
    asked = set(range(1, 2500, step)) - {5}
    found = searching._from_summaries(db, 1, Header("Subject", "1"), asked)
    assert found.maybe == {7} & asked
    assert found.yes == {uid for uid in asked if "1" in str(uid)} - {7}
