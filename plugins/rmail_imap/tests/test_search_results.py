"""What SEARCH returns and saves (RFC 4731, RFC 5182)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from plugins.rmail_imap.tests.conftest import Connect, Fill


async def test_results_come_as_they_were_asked_for(connect: Connect, fill: Fill) -> None:
    await fill(6)
    client = await connect("INBOX")
    await client.run("""
        C: a STORE 1 +FLAGS.SILENT (\\Deleted)
        S: a OK *
        C: b EXPUNGE
        S: * 1 EXPUNGE
        S: b OK *
        C: c SEARCH RETURN (MIN MAX COUNT) ALL
        S: * ESEARCH (TAG "c") MIN 1 MAX 5 COUNT 5
        S: c OK *
        C: d UID SEARCH RETURN () NOT UID 4
        S: * ESEARCH (TAG "d") UID ALL 2:3,5:6
        S: d OK *
        C: e SEARCH return (all count) CHARSET UTF-8 SUBJECT nothing
        S: * ESEARCH (TAG "e") COUNT 0
        S: e OK *
        C: f UID SEARCH RETURN (MIN) SUBJECT nothing
        S: * ESEARCH (TAG "f") UID
        S: f OK *
        C: g SEARCH RETURN (FOO) ALL
        S: g BAD *
        C: h SEARCH RETURN (ALL)
        S: h BAD *
    """)


async def test_a_saved_result_stands_for_its_messages(connect: Connect, fill: Fill) -> None:
    await fill(5)
    client = await connect("INBOX")
    await client.run("""
        C: a SEARCH RETURN (SAVE) OR 2 4:5
        S: a OK *
        C: b UID FETCH $ UID
        S: * 2 FETCH (UID 2)
        S: * 4 FETCH (UID 4)
        S: * 5 FETCH (UID 5)
        S: b OK *
        C: c SEARCH RETURN (SAVE COUNT) $ NOT UID 5
        S: * ESEARCH (TAG "c") COUNT 2
        S: c OK *
        C: d STORE $ +FLAGS.SILENT (\\Flagged)
        S: d OK *
        C: e SEARCH FLAGGED
        S: * SEARCH 2 4
        S: e OK *
        C: f COPY $ Archive
        S: f OK [COPYUID * 2,4 1:2] *
        C: g SEARCH RETURN (SAVE MIN MAX) 1:4
        S: * ESEARCH (TAG "g") MIN 1 MAX 4
        S: g OK *
        C: h FETCH $ UID
        S: * 1 FETCH (UID 1)
        S: * 4 FETCH (UID 4)
        S: h OK *
        C: i SEARCH RETURN (SAVE MAX) 1:3
        S: * ESEARCH (TAG "i") MAX 3
        S: i OK *
        C: j SEARCH UID $
        S: * SEARCH 3
        S: j OK *
        C: k SEARCH RETURN (SAVE MAX COUNT) 1:3
        S: * ESEARCH (TAG "k") MAX 3 COUNT 3
        S: k OK *
        C: l SEARCH NOT $
        S: * SEARCH 4 5
        S: l OK *
        C: m SEARCH RETURN (SAVE) SUBJECT nothing
        S: m OK *
        C: n FETCH $ UID
        S: n OK *
        C: o FETCH $,1 UID
        S: o BAD *
    """)


async def test_a_refused_search_empties_what_was_saved_and_a_faulty_one_keeps_it(
    connect: Connect, fill: Fill
) -> None:
    await fill(2)
    client = await connect("INBOX")
    await client.run("""
        C: a SEARCH RETURN (SAVE) ALL
        S: a OK *
        C: b SEARCH RETURN (SAVE) FOO
        S: b BAD *
        C: c SEARCH CHARSET KOI8-R TEXT x
        S: c NO [BADCHARSET (US-ASCII UTF-8)] *
        C: d SEARCH $
        S: * SEARCH 1 2
        S: d OK *
        C: e SEARCH RETURN (SAVE) CHARSET KOI8-R TEXT x
        S: e NO [BADCHARSET (US-ASCII UTF-8)] *
        C: f SEARCH $
        S: * SEARCH
        S: f OK *
        C: g SEARCH RETURN (SAVE) ALL
        S: g OK *
        C: h EXAMINE INBOX
        S: * OK [CLOSED] *
        S: * FLAGS *
        S: * OK [PERMANENTFLAGS ()] *
        S: * 2 EXISTS
        S: * 0 RECENT
        S: * OK [UNSEEN 1] *
        S: * OK [UIDVALIDITY *] *
        S: * OK [UIDNEXT 3] *
        S: * OK [MAILBOXID (*)] *
        S: * OK [HIGHESTMODSEQ *] *
        S: h OK *
        C: i SEARCH $
        S: * SEARCH
        S: i OK *
    """)


async def test_messages_that_another_session_expunged_leave_the_saved_result(
    connect: Connect, fill: Fill
) -> None:
    await fill(4)
    client, other = await connect("INBOX"), await connect("INBOX")
    await client.run("C: a SEARCH RETURN (SAVE) 2:4\nS: a OK *")
    await other.run("""
        C: a STORE 1,3 +FLAGS.SILENT (\\Deleted)
        S: a OK *
        C: b EXPUNGE
        S: * 3 EXPUNGE
        S: * 1 EXPUNGE
        S: b OK *
    """)
    await client.run("""
        C: b NOOP
        S: * 3 EXPUNGE
        S: * 1 EXPUNGE
        S: b OK *
        C: c FETCH $ UID
        S: * 1 FETCH (UID 2)
        S: * 2 FETCH (UID 4)
        S: c OK *
    """)


async def test_a_saved_result_may_end_a_set(connect: Connect, fill: Fill) -> None:
    await fill(5)
    client = await connect("INBOX")
    await client.run("""
        C: a SEARCH RETURN (SAVE) 3:4
        S: a OK *
        C: b FETCH 1,$ UID
        S: * 1 FETCH (UID 1)
        S: * 3 FETCH (UID 3)
        S: * 4 FETCH (UID 4)
        S: b OK *
        C: c SEARCH NOT 2,3:3,$
        S: * SEARCH 1 5
        S: c OK *
        C: d UID STORE 4,$ +FLAGS.SILENT (\\Deleted)
        S: d OK *
        C: e UID EXPUNGE 1,$
        S: * 4 EXPUNGE
        S: * 3 EXPUNGE
        S: e OK *
        C: f UID FETCH $,1 UID
        S: f BAD *
        C: g UID FETCH 1,$,2 UID
        S: g BAD *
        C: h UID FETCH 1, UID
        S: h BAD *
    """)
