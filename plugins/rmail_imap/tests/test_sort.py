"""SORT (RFC 5256), with RETURN (RFC 5267), display names (RFC 5957) and relevancy (RFC 6203)."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from rmail_imap.ordering import AT_ONCE, ordered

from rmail_kernel.casemap import casemap
from rmail_kernel.content import Content
from rmail_kernel.storage.ids import AccountId
from rmail_kernel.storage.mail import AppendItem
from rmail_kernel.testing import RunningServer

if TYPE_CHECKING:
    from plugins.rmail_imap.tests.conftest import Connect, Fill

MAIL = [
    b"From: Zoe <bob@x.test>\r\nTo: =?utf-8?q?=C3=89mile?= <c@x.test>\r\nSubject: Re: b\r\n"
    b"Date: Mon, 2 Feb 2026 10:00:00 +0000\r\n\r\n",
    b"From: =?utf-8?q?=C3=A4nne?= <carl@x.test>\r\nTo: frank <d@x.test>\r\nCc: a@x.test\r\n"
    b"Subject: [list] A\r\nDate: Mon, 2 Feb 2026 11:30:00 +0200\r\n\r\n1234\r\n",
    b"From: ANN@x.test\r\nSubject: a\r\n\r\n123456789\r\n",
    b"Subject: =?utf-8?q?=C3=84?= (fwd)\r\nDate: Sun, 1 Feb 2026 10:00:00 +0000\r\n\r\n",
]


async def test_messages_are_sorted_by_each_criterion(
    rmail_server: RunningServer, connect: Connect
) -> None:
    items = [
        AppendItem("INBOX", Content.of(raw), internal_date=datetime(2026, 3, day, tzinfo=UTC))
        for day, raw in enumerate(MAIL, 1)
    ]
    await rmail_server.kernel.mail.append(AccountId("alice@example.com"), items)
    client = await connect("INBOX")
    for criteria, numbers in (
        ("ARRIVAL", "1 2 3 4"),
        ("REVERSE ARRIVAL REVERSE SIZE", "4 3 2 1"),
        ("DATE", "4 2 1 3"),  # the third has none: its INTERNALDATE counts
        ("FROM", "4 3 1 2"),
        ("REVERSE FROM", "2 1 3 4"),
        ("DISPLAYFROM", "4 3 2 1"),
        ("TO", "3 4 1 2"),
        ("DISPLAYTO", "3 4 1 2"),
        ("CC", "1 3 4 2"),
        ("SUBJECT", "2 3 4 1"),
        ("SUBJECT REVERSE SIZE", "2 3 4 1"),
        ("REVERSE SUBJECT", "1 4 2 3"),
        ("SIZE", "3 4 1 2"),
    ):
        await client.send(f"a SORT ({criteria}) UTF-8 ALL\r\n".encode())
        await client.run(f"S: * SORT {numbers}\nS: a OK SORT completed")


async def test_what_is_sorted_is_what_was_searched_for(connect: Connect, fill: Fill) -> None:
    await fill(5)
    client = await connect("INBOX")
    await client.run("""
        C: a STORE 1 +FLAGS.SILENT (\\Deleted)
        S: a OK *
        C: b EXPUNGE
        S: * 1 EXPUNGE
        S: b OK *
        C: c UID SORT (REVERSE SUBJECT) US-ASCII NOT 2
        S: * SORT 5 4 2
        S: c OK UID SORT completed
        C: d SORT (SUBJECT) "UTF-8" SUBJECT nowhere
        S: * SORT
        S: d OK *
        C: e SORT (SUBJECT) KOI8-R TEXT x
        S: e NO [BADCHARSET (US-ASCII UTF-8)] *
        C: f SORT (REVERSE SUBJECT) UTF-8 ALL MODSEQ 1
        S: * OK [HIGHESTMODSEQ *] *
        S: * SORT 4 3 2 1 (MODSEQ *)
        S: f OK *
    """)


@pytest.mark.parametrize(
    "arguments",
    [
        "(SUBJECT) UTF-8",
        "(SUBJECT) ALL",
        "() UTF-8 ALL",
        "(COLOUR) UTF-8 ALL",
        "(REVERSE) UTF-8 ALL",
        "(REVERSE REVERSE DATE) UTF-8 ALL",
        "(RELEVANCY) UTF-8 ALL",
        "SUBJECT UTF-8 ALL",
        "(" + "DATE " * 20 + "DATE) UTF-8 ALL",
    ],
)
async def test_what_is_no_sort_is_refused(connect: Connect, arguments: str) -> None:
    client = await connect("INBOX")
    await client.send(f"a SORT {arguments}\r\n".encode())
    await client.run("S: a BAD *")


async def test_sorted_results_come_as_they_were_asked_for(connect: Connect, fill: Fill) -> None:
    await fill(6)
    client = await connect("INBOX")
    await client.run("""
        C: a SORT RETURN () (REVERSE SUBJECT) UTF-8 ALL
        S: * ESEARCH (TAG "a") ALL 6,5,4,3,2,1
        S: a OK *
        C: b UID SORT RETURN (MIN MAX COUNT) (REVERSE SUBJECT) UTF-8 2:5
        S: * ESEARCH (TAG "b") UID MIN 5 MAX 2 COUNT 4
        S: b OK *
        C: c SORT RETURN (PARTIAL 2:3 SAVE) (REVERSE SUBJECT) UTF-8 ALL
        S: * ESEARCH (TAG "c") PARTIAL (2:3 5,4)
        S: c OK *
        C: d FETCH $ UID
        S: * 4 FETCH (UID 4)
        S: * 5 FETCH (UID 5)
        S: d OK *
        C: e SORT RETURN (ALL) (ARRIVAL) UTF-8 1:3
        S: * ESEARCH (TAG "e") ALL 1:3
        S: e OK *
    """)


async def test_the_best_match_comes_first(connect: Connect, fill: Fill) -> None:
    await fill(
        [b"Subject: red cars\r\n\r\n", b"Subject: cars, red\r\n\r\n", b"Subject: car\r\n\r\n"]
    )
    client = await connect("INBOX")
    await client.run("""
        C: a SORT (REVERSE RELEVANCY) UTF-8 FUZZY SUBJECT "cars red"
        S: * SORT 1 2
        S: a OK *
        C: b SORT RETURN (RELEVANCY ALL) (RELEVANCY) UTF-8 FUZZY SUBJECT "red cars"
        S: * ESEARCH (TAG "b") ALL 1:2 RELEVANCY (100 67)
        S: b OK *
    """)


async def test_more_messages_than_are_sorted_at_once(connect: Connect, fill: Fill) -> None:
    draw = random.Random(7)
    letters = [draw.choice("aBcD") for _ in range(AT_ONCE + 500)]
    await fill([b"Subject: %b\r\n\r\n" % letter.encode() for letter in letters])
    client = await connect("INBOX")
    wanted = sorted(range(len(letters)), key=lambda index: (letters[index].upper(), index))
    line = await client.run("C: a SORT (SUBJECT) UTF-8 ALL\nS: * SORT *\nS: a OK *")
    assert [int(number) for number in line[0].split()[2:]] == [index + 1 for index in wanted]


@pytest.mark.parametrize("count", [0, 1, AT_ONCE, AT_ONCE * 5 + 1])
@pytest.mark.parametrize("spread", [1, 3, 1_000_000])
@pytest.mark.parametrize("is_descending", [False, True])
def test_many_are_ordered_as_few_are(count: int, spread: int, is_descending: bool) -> None:
    draw = random.Random(count + spread)
    numbers = [draw.randrange(-spread, spread) for _ in range(count)]
    texts = [draw.choice("xy") * draw.randrange(1 + spread % 7) for _ in range(count)]
    sign = -1 if is_descending else 1
    by_number = sorted(range(count), key=lambda index: (sign * numbers[index], texts[index], index))
    assert ordered([(numbers, is_descending), (texts, False)]) == by_number
    by_text = sorted(range(count), key=lambda index: (numbers[index], index))
    by_text.sort(key=lambda index: texts[index], reverse=is_descending)
    if is_descending:  # `reverse` keeps equal ones in the order they have
        assert [texts[index] for index in by_text] == sorted(texts, reverse=True)
    assert ordered([(texts, is_descending), (numbers, False)]) == by_text


def test_texts_are_compared_by_what_they_become() -> None:
    words = ["b", "a", "É", "e", "f", "ß", "ss"]
    assert sorted(words, key=casemap) == ["a", "b", "e", "É", "f", "ss", "ß"]
