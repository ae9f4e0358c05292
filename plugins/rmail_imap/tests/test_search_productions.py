"""The productions that extensions add to searches, each by itself: RFC 4466 3, RFC 4731 4,
RFC 5032 3, RFC 5182 3, RFC 5256 5, RFC 5267 3, RFC 5957 5, RFC 6203 7, RFC 9394 4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from plugins.rmail_imap.tests.conftest import Connect, Fill

FOUND = [
    # search-return-opts: any case, any order, the same twice; nothing found
    ("search return (min max) all", "MIN 1 MAX 6"),
    ("SEARCH RETURN (COUNT MAX MIN) ALL", "MIN 1 MAX 6 COUNT 6"),
    ("SEARCH RETURN (MIN MIN) ALL", "MIN 1"),
    ("SEARCH RETURN (MAX) TEXT nowhere", ""),
    ("SEARCH RETURN (ALL) TEXT nowhere", ""),
    ("SEARCH RETURN () TEXT nowhere", ""),
    ("SEARCH RETURN (MIN MAX ALL COUNT) TEXT nowhere", "COUNT 0"),
    ("SEARCH RETURN (MIN) CHARSET US-ASCII ALL", "MIN 1"),
    ('SEARCH RETURN (MIN) CHARSET "utf-8" ALL', "MIN 1"),
    # modifier-partial
    ("SEARCH RETURN (partial 2:1) ALL", "PARTIAL (2:1 1:2)"),
    ("SEARCH RETURN (PARTIAL -2:-1 MIN) ALL", "MIN 1 PARTIAL (-2:-1 5:6)"),
    ("SEARCH RETURN (PARTIAL 4294967295:1) 2,5", "PARTIAL (4294967295:1 2,5)"),
    # search-key: FUZZY, in and around others
    ("SEARCH RETURN (ALL) FUZZY FUZZY SUBJECT 2", "ALL 2"),
    ("SEARCH RETURN (ALL) NOT FUZZY SUBJECT 2", "ALL 1,3:6"),
    ("SEARCH RETURN (ALL) FUZZY NOT SUBJECT 2", "ALL 1,3:6"),
    ("SEARCH RETURN (ALL) FUZZY 1:2", "ALL 1:2"),
    ("SEARCH RETURN (ALL) FUZZY (YOUNGER 100000 UNSEEN)", "ALL 1:6"),
    ("SEARCH RETURN (ALL) YOUNGER 4294967295 NOT OLDER 100000", "ALL 1:6"),
    ("SEARCH RETURN (RELEVANCY) FUZZY SUBJECT 2", "RELEVANCY (100)"),
    # MODSEQ: of the entry all of it counts; nothing found has none
    ('SEARCH RETURN (COUNT) MODSEQ "/flags/\\\\draft" shared 1', "COUNT 6 MODSEQ *"),
    ('SEARCH RETURN (COUNT) MODSEQ "/flags/\\\\draft" PRIV 1', "COUNT 6 MODSEQ *"),
    ("SEARCH RETURN (COUNT) MODSEQ 9223372036854775807", "COUNT 0"),
    # sort: as of search, with one charset
    ("SORT RETURN (MIN MAX) (REVERSE SUBJECT) UTF-8 ALL", "MIN 6 MAX 1"),
    ("SORT RETURN (COUNT) (ARRIVAL) UTF-8 TEXT nowhere", "COUNT 0"),
    ("SORT RETURN () (ARRIVAL) UTF-8 TEXT nowhere", ""),
    ("sort return (all) (reverse subject date) us-ascii 2:3", "ALL 3,2"),
    ("SORT RETURN (PARTIAL -1:-2) (REVERSE SUBJECT) UTF-8 ALL", "PARTIAL (-1:-2 2,1)"),
]


async def test_what_is_found(connect: Connect, fill: Fill) -> None:
    await fill(6)
    client = await connect("INBOX")
    await client.send(b"a STATUS INBOX (HIGHESTMODSEQ)\r\n")  # so that no search is the first
    await client.until("a OK *")
    for number, (command, answer) in enumerate(FOUND):
        tag = f"t{number}"
        await client.send(f"{tag} {command}\r\n".encode())
        told = f'* ESEARCH (TAG "{tag}") {answer}'.rstrip()
        await client.run(f"S: {told}\nS: {tag} OK *")


WRONG = [
    "SEARCH RETURN ( MIN) ALL",
    "SEARCH RETURN (MIN ) ALL",
    "SEARCH RETURN(MIN) ALL",
    "SEARCH RETURN (MIN",
    "SEARCH RETURN (MIN)",
    "SEARCH RETURN (MIN 1) ALL",
    "SEARCH RETURN (MODSEQ) ALL",
    "SEARCH RETURN (UPDATE) ALL",
    "SEARCH RETURN (CONTEXT) ALL",
    "SEARCH RETURN (COUNT) RETURN (MIN) ALL",
    "SEARCH CHARSET UTF-8 RETURN (MIN) ALL",
    "SEARCH RETURN (PARTIAL) ALL",
    "SEARCH RETURN (PARTIAL 1) ALL",
    "SEARCH RETURN (PARTIAL -1:2) ALL",
    "SEARCH RETURN (PARTIAL 1:4294967296) ALL",
    "SEARCH OLDER 4294967296",
    "SEARCH OLDER -1",
    "SEARCH YOUNGER 1x",
    "SEARCH FUZZY",
    "SEARCH $,1",
    "SEARCH $:2",
    'SEARCH MODSEQ "/flags/\\\\draft" 1',
    'SEARCH MODSEQ "/flags/\\\\draft" foo 1',
    "SEARCH MODSEQ 9223372036854775808",
    "SORT (ARRIVAL)",
    "SORT (ARRIVAL ) UTF-8 ALL",
    "SORT ( ARRIVAL) UTF-8 ALL",
    "SORT RETURN (RELEVANCY) (ARRIVAL) UTF-8 ALL",
    "SORT RETURN (ALL PARTIAL 1:2) (ARRIVAL) UTF-8 ALL",
    "THREAD BOGUS UTF-8 ALL",
    "THREAD REFERENCES UTF-8",
    "THREAD RETURN () REFERENCES UTF-8 ALL",
    "FETCH 1:3 UID (PARTIAL 1:2)",
    "UID FETCH 1:3 UID (PARTIAL)",
    "UID FETCH 1:3 UID (PARTIAL 1)",
    # the modifiers and parameters that nobody knows
    "UID FETCH 1:3 UID ()",
    "UID FETCH 1:3 UID (X-NEW 1)",
    "STORE 1 () FLAGS ()",
    "STORE 1 (X-NEW 1) FLAGS ()",
    "SELECT INBOX ()",
    "SELECT INBOX (X-NEW)",
    "CREATE box ()",
    "CREATE box (X-NEW (1))",
    "RENAME Archive box (X-NEW)",
]


async def test_what_no_production_has_is_bad_and_does_nothing(connect: Connect, fill: Fill) -> None:
    await fill(3)
    client = await connect("INBOX")
    for number, command in enumerate(WRONG):
        await client.send(f"t{number} {command}\r\nok NOOP\r\n".encode())
        await client.run(f"S: t{number} BAD *\nS: ok OK *")  # many in a row end the session
    await client.run("""
        C: b LIST "" box
        S: b OK *
        C: c SEARCH RETURN (ALL) UNDELETED
        S: * ESEARCH (TAG "c") ALL 1:3
        S: c OK *
    """)


async def test_an_empty_saved_result_is_a_set_for_every_command(
    connect: Connect, fill: Fill
) -> None:
    # RFC 5182 2.1
    await fill(2)
    client = await connect("INBOX")
    await client.run("""
        C: a SEARCH RETURN (SAVE) TEXT nowhere
        S: a OK *
        C: b COPY $ Archive
        S: b OK *
        C: c UID COPY $ Archive
        S: c OK *
        C: d MOVE $ Archive
        S: d OK *
        C: e UID MOVE $ Archive
        S: e OK *
        C: f STORE $ +FLAGS (\\Deleted)
        S: f OK *
        C: g UID STORE $ FLAGS (\\Deleted)
        S: g OK *
        C: h UID EXPUNGE $
        S: h OK *
        C: i FETCH $ FLAGS
        S: i OK *
        C: j UID FETCH $ FLAGS
        S: j OK *
        C: k SEARCH RETURN (COUNT) $
        S: * ESEARCH (TAG "k") COUNT 0
        S: k OK *
        C: l SEARCH (OR $ 1,3000:3021) SUBJECT 1
        S: * SEARCH 1
        S: l OK *
        C: m UID SEARCH UID $
        S: * SEARCH
        S: m OK *
        C: n SORT (ARRIVAL) UTF-8 $
        S: * SORT
        S: n OK *
        C: o THREAD REFS UTF-8 $
        S: * THREAD
        S: o OK *
        C: p STATUS Archive (MESSAGES)
        S: * STATUS "Archive" (MESSAGES 0)
        S: p OK *
    """)


async def test_names_that_are_empty_groups_and_hosts_that_are_not_there_are_sorted(
    connect: Connect, fill: Fill
) -> None:
    # RFC 5957 3: what ENVELOPE has of the first address, so of a group its name
    await fill(
        [
            b"To: undisclosed-recipients:;\r\nFrom: zed@x.test\r\n\r\n",
            b'To: <x@y.test>\r\nFrom: "" <q@x.test>\r\n\r\n',
            b"To: friends: bob@x.test, al@x.test;\r\nFrom: =?utf-8?q?=20?= <m@x.test>\r\n\r\n",
            b"To: @broken\r\nFrom: =?utf-8?q?a?= b <m@x.test>\r\n\r\n",
            b"Subject: neither\r\n\r\n",
            b"To: a\r\nFrom: b\r\n\r\n",
        ]
    )
    client = await connect("INBOX")
    await client.run("""
        C: a SORT (TO) UTF-8 ALL
        S: * SORT 4 5 6 3 1 2
        S: a OK *
        C: b SORT (DISPLAYTO) UTF-8 ALL
        S: * SORT 5 4 6 3 1 2
        S: b OK *
        C: c SORT (DISPLAYFROM) UTF-8 ALL
        S: * SORT 5 3 4 6 2 1
        S: c OK *
        C: d SORT (REVERSE DISPLAYFROM) UTF-8 ALL
        S: * SORT 1 2 6 4 3 5
        S: d OK *
    """)
