"""STORE and UID STORE (RFC 3501 6.4.6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rmail_kernel.storage.mail import MAX_KEYWORDS

if TYPE_CHECKING:
    from plugins.rmail_imap.tests.conftest import Connect, Fill


async def test_the_three_ways_to_change_flags(connect: Connect, fill: Fill) -> None:
    await fill(2)
    client = await connect("INBOX")
    await client.run("""
        C: a STORE 1:2 +FLAGS (\\Seen \\Flagged)
        S: * 1 FETCH (FLAGS (\\Flagged \\Seen \\Recent))
        S: * 2 FETCH (FLAGS (\\Flagged \\Seen \\Recent))
        S: a OK STORE completed
        C: b STORE 1 -FLAGS \\Seen
        S: * 1 FETCH (FLAGS (\\Flagged \\Recent))
        S: b OK *
        C: c UID STORE 2 FLAGS (\\Draft)
        S: * 2 FETCH (UID 2 FLAGS (\\Draft \\Recent))
        S: c OK UID STORE completed
        C: d STORE 1 FLAGS.SILENT ()
        S: d OK *
        C: e FETCH 1:2 FLAGS
        S: * 1 FETCH (FLAGS (\\Recent))
        S: * 2 FETCH (FLAGS (\\Draft \\Recent))
        S: e OK *
        C: f STORE 1 FLAGS (\\Foo)
        S: f NO [CANNOT] *
        C: g STORE 9 FLAGS ()
        S: g BAD *
        C: h UID STORE 9 FLAGS ()
        S: h OK *
    """)


async def test_a_new_keyword_is_announced_before_its_use(connect: Connect, fill: Fill) -> None:
    await fill(1)
    client, other = await connect("INBOX"), await connect("INBOX")
    await client.run("""
        C: a STORE 1 +FLAGS ($Forwarded)
        S: * FLAGS (* $Forwarded)
        S: * OK [PERMANENTFLAGS (* $Forwarded \\*)] *
        S: * 1 FETCH (FLAGS (\\Recent $Forwarded))
        S: a OK *
    """)
    await other.run("""
        C: a NOOP
        S: * FLAGS (* $Forwarded)
        S: * OK [PERMANENTFLAGS (* $Forwarded \\*)] *
        S: * 1 FETCH (UID 1 FLAGS ($Forwarded))
        S: a OK *
    """)


async def test_silent_changes_are_told_to_others_only(connect: Connect, fill: Fill) -> None:
    await fill(1)
    client, other = await connect("INBOX"), await connect("INBOX")
    await client.run("""
        C: a STORE 1 +FLAGS.SILENT (\\Seen)
        S: a OK *
        C: b NOOP
        S: b OK *
    """)
    await other.run("""
        C: a STORE 1 +FLAGS.SILENT (\\Flagged)
        S: * 1 FETCH (UID 1 FLAGS (\\Flagged \\Seen))
        S: a OK *
    """)
    await client.run("""
        C: c NOOP
        S: * 1 FETCH (UID 1 FLAGS (\\Flagged \\Seen \\Recent))
        S: c OK *
    """)


async def test_more_keywords_than_fit_are_refused(connect: Connect, fill: Fill) -> None:
    await fill(1)
    client = await connect("INBOX")
    names = " ".join(f"k{number}" for number in range(MAX_KEYWORDS))
    await client.run(f"""
        C: a STORE 1 +FLAGS.SILENT ({names})
        S: * FLAGS (*)
        S: * OK [PERMANENTFLAGS (* k*)] *
        S: a OK *
        C: b STORE 1 +FLAGS (\\Seen another)
        S: b NO [LIMIT] *
        C: c SEARCH UNSEEN KEYWORD k{MAX_KEYWORDS - 1}
        S: * SEARCH 1
        S: c OK *
    """)


async def test_a_flag_that_goes_beside_a_keyword_is_told_once(connect: Connect, fill: Fill) -> None:
    await fill(1, flags=frozenset({"\\Flagged", "kept"}))
    client = await connect("INBOX")
    await client.run("""
        C: a STORE 1 -FLAGS (\\Flagged)
        S: * 1 FETCH (FLAGS (\\Recent kept))
        S: a OK *
        C: b NOOP
        S: b OK *
    """)
