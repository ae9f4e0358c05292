"""Intervals (RFC 5032), FUZZY (RFC 6203) and PARTIAL (RFC 9394)."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from rmail_imap.parse.returns import Partial

from rmail_kernel.content import Content
from rmail_kernel.storage.ids import AccountId
from rmail_kernel.storage.mail import AppendItem
from rmail_kernel.testing import RunningServer
from rmail_kernel.testing.clock import FakeClock

if TYPE_CHECKING:
    from plugins.rmail_imap.tests.conftest import Connect, Fill


async def test_older_and_younger_are_exact_to_the_second(
    rmail_clock: FakeClock, rmail_server: RunningServer, connect: Connect
) -> None:
    rmail_server.kernel.clock = rmail_clock
    items = [
        AppendItem("INBOX", Content.of(b"A: b\r\n\r\n"), internal_date=rmail_clock.now() - age)
        for age in (timedelta(seconds=120), timedelta(seconds=20))
    ]
    await rmail_server.kernel.mail.append(AccountId("alice@example.com"), items)
    client = await connect("INBOX")
    for keys, numbers in (
        ("OLDER 120", " 1"),
        ("OLDER 121", ""),
        ("OLDER 20", " 1 2"),
        ("YOUNGER 20", " 2"),
        ("YOUNGER 19", ""),
        ("YOUNGER 4294967295", " 1 2"),
        ("NOT YOUNGER 119", " 1"),
        ("OR OLDER 120 FROM nobody", " 1"),
    ):
        await client.send(f"a SEARCH {keys}\r\n".encode())
        await client.run(f"S: * SEARCH{numbers}\nS: a OK *")
    await client.run("""
        C: b SEARCH YOUNGER 0
        S: b BAD *
        C: c SEARCH OLDER
        S: c BAD *
    """)


async def test_fuzzy_finds_words_in_any_order_and_form(connect: Connect, fill: Fill) -> None:
    await fill(
        [
            b"From: a@example.com\r\nSubject: train tickets\r\n\r\nx\r\n",
            b"From: a@example.com\r\nSubject: Tickets for the train\r\n\r\nx\r\n",
            b"From: a@example.com\r\nSubject: training, a ticket\r\n\r\nx\r\n",
            b"From: b@example.com\r\nSubject: other\r\n\r\ntrain tickets\r\n",
        ]
    )
    client = await connect("INBOX")
    await client.run("""
        C: a SEARCH FUZZY SUBJECT "train tickets"
        S: * SEARCH 1 2 3
        S: a OK *
        C: b SEARCH RETURN (RELEVANCY ALL) FUZZY (SUBJECT "train tickets" FROM a)
        S: * ESEARCH (TAG "b") ALL 1:3 RELEVANCY (100 67 33)
        S: b OK *
        C: c SEARCH RETURN (RELEVANCY PARTIAL 2:3) FUZZY OR BODY "tickets train" 1:2
        S: * ESEARCH (TAG "c") PARTIAL (2:3 2,4) RELEVANCY (100 67)
        S: c OK *
        C: d SEARCH RETURN (RELEVANCY) ALL
        S: d BAD *
        C: e SEARCH SUBJECT "train tickets"
        S: * SEARCH 1
        S: e OK *
        C: f SEARCH RETURN (RELEVANCY COUNT) FUZZY SUBJECT nowhere
        S: * ESEARCH (TAG "f") COUNT 0 RELEVANCY ()
        S: f OK *
    """)


async def test_partial_results_repeat_their_range(connect: Connect, fill: Fill) -> None:
    await fill(6)
    client = await connect("INBOX")
    await client.run("""
        C: a SEARCH RETURN (PARTIAL 2:3) 2:6
        S: * ESEARCH (TAG "a") PARTIAL (2:3 3:4)
        S: a OK *
        C: b UID SEARCH RETURN (PARTIAL -1:-2 COUNT) ALL
        S: * ESEARCH (TAG "b") UID COUNT 6 PARTIAL (-1:-2 5:6)
        S: b OK *
        C: c SEARCH RETURN (PARTIAL 9:5) ALL
        S: * ESEARCH (TAG "c") PARTIAL (9:5 5:6)
        S: c OK *
        C: d SEARCH RETURN (PARTIAL 7:9) ALL
        S: * ESEARCH (TAG "d") PARTIAL (7:9 NIL)
        S: d OK *
        C: e SEARCH RETURN (PARTIAL -7:-9) ALL
        S: * ESEARCH (TAG "e") PARTIAL (-7:-9 NIL)
        S: e OK *
        C: f SEARCH RETURN (ALL PARTIAL 1:2) ALL
        S: f BAD *
        C: g SEARCH RETURN (PARTIAL 1:2 PARTIAL 3:4) ALL
        S: g BAD *
        C: h SEARCH RETURN (PARTIAL 1:-2) ALL
        S: h BAD *
        C: i SEARCH RETURN (PARTIAL 0:2) ALL
        S: i BAD *
        C: j SEARCH RETURN (PARTIAL 1:*) ALL
        S: j BAD *
        C: k SEARCH RETURN (PARTIAL 1:2,4) ALL
        S: k BAD *
    """)


@pytest.mark.parametrize(
    ("options", "saved"),
    [
        ("PARTIAL 3:4", "3:4"),
        ("PARTIAL 3:4 MIN", "1,3:4"),
        ("PARTIAL 3:4 MAX", "3:4,6"),
        ("PARTIAL 3:4 MIN MAX", "1,3:4,6"),
        ("PARTIAL 3:4 COUNT", "1:6"),
        ("PARTIAL 7:8", ""),
    ],
)
async def test_a_saved_partial_result(
    connect: Connect, fill: Fill, options: str, saved: str
) -> None:
    # RFC 9394 3.2, table 1
    await fill(6)
    client = await connect("INBOX")
    await client.send(f"a SEARCH RETURN (SAVE {options}) ALL\r\n".encode())
    await client.until("a OK *")
    expected = f" ALL {saved}" if saved else ""
    await client.run(f"""
        C: b SEARCH RETURN (ALL) $
        S: * ESEARCH (TAG "b"){expected}
        S: b OK *
    """)


async def test_partial_fetch_counts_within_the_set(connect: Connect, fill: Fill) -> None:
    modseq = (await fill(8))[-1].modseq
    client = await connect("INBOX")
    await client.run(f"""
        C: a UID STORE 4,7 +FLAGS.SILENT (\\Flagged)
        S: a OK *
        C: b UID FETCH 1:3,5,7:8 (UID) (PARTIAL -1:-3)
        S: * 5 FETCH (UID 5)
        S: * 7 FETCH (UID 7)
        S: * 8 FETCH (UID 8)
        S: b OK *
        C: c UID FETCH 2:8 (UID) (PARTIAL 1:2)
        S: * 2 FETCH (UID 2)
        S: * 3 FETCH (UID 3)
        S: c OK *
        C: d UID FETCH 1:* (UID) (PARTIAL 9:12)
        S: d OK *
        C: e FETCH 1:* (UID) (PARTIAL 1:2)
        S: e BAD *
        C: f UID FETCH 1:* (UID) (PARTIAL 1:2 PARTIAL 1:2)
        S: f BAD *
        C: g UID FETCH 1:* (UID) (PARTIAL -1:-3 CHANGEDSINCE {modseq})
        S: * OK [HIGHESTMODSEQ *] *
        S: * 7 FETCH (UID 7 MODSEQ (*))
        S: g OK *
    """)


@pytest.mark.parametrize(
    ("first", "last", "is_from_end", "cut"),
    [
        (1, 2, False, [1, 2]),
        (4, 9, False, [4, 5]),
        (6, 9, False, []),
        (1, 2, True, [4, 5]),
        (4, 9, True, [1, 2]),
        (6, 9, True, []),
        (1, 5, True, [1, 2, 3, 4, 5]),
    ],
)
def test_a_range_cuts_places_out(first: int, last: int, is_from_end: bool, cut: list[int]) -> None:
    assert list(Partial(first, last, is_from_end, b"").cut([1, 2, 3, 4, 5])) == cut
    assert list(Partial(first, last, is_from_end, b"").cut([])) == []
