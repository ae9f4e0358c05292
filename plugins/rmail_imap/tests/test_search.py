"""SEARCH and UID SEARCH (RFC 3501 6.4.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from plugins.rmail_imap.tests.conftest import Connect, Fill


async def test_numbers_and_uids(connect: Connect, fill: Fill) -> None:
    await fill(4)
    client = await connect("INBOX")
    await client.run("""
        C: a STORE 1 +FLAGS.SILENT (\\Deleted)
        S: a OK *
        C: b EXPUNGE
        S: * 1 EXPUNGE
        S: b OK *
        C: c SEARCH ALL
        S: * SEARCH 1 2 3
        S: c OK *
        C: d UID SEARCH ALL
        S: * SEARCH 2 3 4
        S: d OK UID SEARCH completed
        C: e SEARCH 2:*
        S: * SEARCH 2 3
        S: e OK *
        C: f SEARCH UID 2,4
        S: * SEARCH 1 3
        S: f OK *
        C: g SEARCH SUBJECT nothing
        S: * SEARCH
        S: g OK *
        C: h SEARCH NOT 1 OR SUBJECT 2 SUBJECT 4
        S: * SEARCH 3
        S: h OK *
    """)


async def test_texts_dates_and_flags(connect: Connect, fill: Fill) -> None:
    await fill(
        [
            b"From: Ann <ann@example.com>\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n"
            b"Date: Mon, 2 Feb 2026 10:00:00 +0000\r\n\r\nfind me\r\n",
            b"From: Ben <ben@example.com>\r\nCc: ann@example.com\r\nList-Id: x\r\n\r\nno\r\n",
        ]
    )
    client = await connect("INBOX")
    for keys, numbers in (
        ("FROM ann", " 1"),
        ("CC ann", " 2"),
        ("CHARSET UTF-8 SUBJECT {8+}\r\nGrüße ", ""),
        ("CHARSET UTF-8 SUBJECT {7+}\r\nGrüße", " 1"),
        ("CHARSET UTF-8 SUBJECT {7+}\r\nGRU\u0308ß", " 1"),  # RFC 5255 4.3
        ("SUBJECT grusse", ""),
        ("BODY FIND", " 1"),
        ("TEXT ben", " 2"),
        ("HEADER List-Id {0+}\r\n", " 2"),
        ("SENTON 2-Feb-2026", " 1"),
        ("SENTBEFORE 2-Feb-2026", ""),
        ("SINCE 1-Jan-2000 LARGER 10 SMALLER 5000", " 1 2"),
        ("BEFORE 1-Jan-2000", ""),
        ("UNSEEN UNDELETED", " 1 2"),
        ("KEYWORD $Junk", ""),
        ("UNKEYWORD $Junk", " 1 2"),
        ("NEW", " 1 2"),
        ("RECENT", " 1 2"),
        ("OLD", ""),
        ("(NOT (FROM ben))", " 1"),
    ):
        await client.send(f"a SEARCH {keys}\r\n".encode())
        await client.run(f"S: * SEARCH{numbers}\nS: a OK *")


async def test_search_that_cannot_be(connect: Connect) -> None:
    client = await connect("INBOX")
    await client.run("""
        C: a SEARCH CHARSET KOI8-R TEXT x
        S: a NO [BADCHARSET (US-ASCII UTF-8)] *
        C: b SEARCH FOO
        S: b BAD *
        C: c SEARCH OR 1 5:7
        S: * SEARCH
        S: c OK *
        C: d SEARCH UID 1:*
        S: * SEARCH
        S: d OK *
    """)


async def test_an_address_is_found_without_the_comments_in_it(connect: Connect, fill: Fill) -> None:
    await fill([b"From: <bob (the (one))@ (really) example.org>, a@b (name)\r\n\r\nx"])
    client = await connect("INBOX")
    await client.run("""
        C: a SEARCH FROM bob@example.org
        S: * SEARCH 1
        S: a OK *
        C: b SEARCH FROM "the (one)"
        S: * SEARCH 1
        S: b OK *
        C: c SEARCH FROM name@
        S: * SEARCH
        S: c OK *
    """)
