"""Ids of mailboxes, messages and threads (RFC 8474), and previews (RFC 8970)."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rmail_imap.fetch_lines import plan_of
from rmail_imap.flag_words import FlagWriter
from rmail_imap.parse.fetch import Item

from rmail_kernel.storage.ids import ModSeq, Uid
from rmail_kernel.storage.mail import Fetched

if TYPE_CHECKING:
    from plugins.rmail_imap.tests.conftest import Connect, Fill


def _ids(lines: list[str], name: str) -> list[str]:
    return [found for line in lines for found in re.findall(rf"{name} \(([\w-]+)\)", line)]


async def test_a_mailbox_keeps_its_id(connect: Connect) -> None:
    client = await connect()
    made = await client.run("C: a CREATE one\nS: a OK [MAILBOXID (*)] *")
    told = await client.run("""
        C: b STATUS one (MAILBOXID MESSAGES)
        S: * STATUS "one" (MAILBOXID (*) MESSAGES 0)
        S: b OK *
        C: c RENAME one two
        S: c OK *
        C: d LIST "" two RETURN (STATUS (MAILBOXID))
        S: * LIST () "/" "two"
        S: * STATUS "two" (MAILBOXID (*))
        S: d OK *
        C: e CREATE junk2 (USE (\\Junk))
        S: e NO *
        C: f EXAMINE two
    """)
    told += await client.until("f OK *")
    (own,) = _ids(made, "MAILBOXID")
    assert _ids(told, "MAILBOXID") == [own] * 3


async def test_messages_and_threads_have_ids(connect: Connect, fill: Fill) -> None:
    await fill(
        [
            b"Message-ID: <a@x>\r\nSubject: one\r\n\r\n1",
            b"Message-ID: <b@x>\r\nReferences: <a@x>\r\nSubject: Re: one\r\n\r\n2",
            b"Message-ID: <c@x>\r\nSubject: other\r\n\r\n3",
        ]
    )
    client = await connect("INBOX")
    lines = await client.run("""
        C: a FETCH 1:3 (EMAILID threadid)
        S: * 1 FETCH (EMAILID (*) THREADID (*))
        S: * 2 FETCH (EMAILID (*) THREADID (*))
        S: * 3 FETCH (EMAILID (*) THREADID (*))
        S: a OK *
    """)
    emails, threads = _ids(lines, "EMAILID"), _ids(lines, "THREADID")
    assert len({*emails, *threads}) == 5
    assert threads[0] == threads[1] != threads[2]
    await client.run(f"""
        C: b SEARCH EMAILID {emails[1]}
        S: * SEARCH 2
        S: b OK *
        C: c SEARCH THREADID {threads[0]}
        S: * SEARCH 1 2
        S: c OK *
        C: d SEARCH OR EMAILID {threads[0]} NOT THREADID {threads[0]}
        S: * SEARCH 3
        S: d OK *
        C: e SEARCH EMAILID a.b
        S: e BAD *
        C: f COPY 2 Archive
        S: f OK *
        C: g EXAMINE Archive
    """)
    await client.until("g OK *")
    await client.run(f"""
        C: h FETCH 1 (EMAILID THREADID)
        S: * 1 FETCH (EMAILID ({emails[1]}) THREADID ({threads[0]}))
        S: h OK *
    """)


async def test_previews_are_the_first_of_the_text(connect: Connect, fill: Fill) -> None:
    await fill(
        [
            b"Subject: x\r\n\r\nHello   \r\n world\r\n",
            b"Subject: y\r\nContent-Type: image/png\r\n\r\nzz",
            b"Content-Type: text/html; charset=utf-8\r\n\r\n<p>Gr\xc3\xbc\xc3\x9fe</p>",
            b"Subject: long\r\n\r\n" + b"word " * 100,
        ]
    )
    client = await connect("INBOX")
    await client.run("""
        C: a FETCH 1:2 (PREVIEW (LAZY) UID)
        S: * 1 FETCH (PREVIEW "Hello world" UID 1)
        S: * 2 FETCH (PREVIEW "" UID 2)
        S: a OK *
        C: b FETCH 1 PREVIEW (lazy)
        S: * 1 FETCH (PREVIEW "Hello world")
        S: b OK *
        C: c FETCH 1 preview
        S: * 1 FETCH (PREVIEW "Hello world")
        S: c OK *
        C: d FETCH 1 PREVIEW (CHANGEDSINCE 1)
        S: * OK [HIGHESTMODSEQ *] *
        S: * 1 FETCH (PREVIEW "Hello world" MODSEQ (*))
        S: d OK *
        C: e FETCH 1 (PREVIEW (SLOW))
        S: e BAD *
        C: f FETCH 1 PREVIEW ()
        S: f BAD *
        C: g FETCH 3 PREVIEW
        S: * 3 FETCH (PREVIEW {7}
        S: Grüße)
        S: g OK *
    """)
    line = (await client.run("C: h FETCH 4 PREVIEW\nS: * 4 FETCH (PREVIEW *)\nS: h OK *"))[0]
    assert 100 < len(line) < 230


def test_a_preview_that_is_not_made_yet_is_nil_only_where_that_was_allowed() -> None:
    # RFC 8970 3.2, 4.1
    row = Fetched(Uid(7), ModSeq(1), 0, 10, datetime(2026, 1, 1, tzinfo=UTC), None)
    for item, wanted in ((Item.PREVIEW_LAZY, b"NIL"), (Item.PREVIEW, b'""')):
        plan = plan_of((item,), is_read_only=True)
        assert plan.lines([3], [row], FlagWriter((), frozenset())) == (
            b"* 3 FETCH (PREVIEW %b)\r\n" % wanted
        )
