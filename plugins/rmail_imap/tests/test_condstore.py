"""MODSEQ in every command that knows it (RFC 7162 3.1). Each change takes the next MODSEQ of the
account, so the numbers are known once the first is.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rmail_kernel.testing import Transcript

if TYPE_CHECKING:
    from plugins.rmail_imap.tests.conftest import Connect, Fill


async def _highest(client: Transcript, command: str = "SELECT INBOX") -> int:
    """Opens INBOX; its HIGHESTMODSEQ."""
    await client.send(f"h {command}\r\n".encode())
    lines = await client.until("h OK *")
    (line,) = [line for line in lines if "HIGHESTMODSEQ" in line]
    found = re.search(r"HIGHESTMODSEQ (\d+)", line)
    assert found is not None
    return int(found[1])


async def test_a_change_moves_the_modseq_of_the_message_and_of_the_mailbox(
    connect: Connect, fill: Fill
) -> None:
    await fill(3)
    client = await connect()
    first = await _highest(client, "SELECT INBOX (CONDSTORE)")
    await client.run(f"""
        C: a STORE 2 +FLAGS (\\Seen)
        S: * 2 FETCH (UID 2 FLAGS (\\Seen \\Recent) MODSEQ ({first + 1}))
        S: a OK *
        C: b UID STORE 3 +FLAGS.SILENT (\\Seen)
        S: * 3 FETCH (UID 3 MODSEQ ({first + 2}))
        S: b OK *
        C: c FETCH 1:3 (FLAGS) (CHANGEDSINCE {first})
        S: * 2 FETCH (FLAGS (\\Seen \\Recent) MODSEQ ({first + 1}))
        S: * 3 FETCH (FLAGS (\\Seen \\Recent) MODSEQ ({first + 2}))
        S: c OK *
        C: d UID FETCH 1:* UID (CHANGEDSINCE {first + 1})
        S: * 3 FETCH (UID 3 MODSEQ ({first + 2}))
        S: d OK *
        C: e FETCH 1:* UID (CHANGEDSINCE {first + 2})
        S: e OK *
        C: f STATUS INBOX (HIGHESTMODSEQ)
        S: * STATUS "INBOX" (HIGHESTMODSEQ {first + 2})
        S: f OK *
        C: g FETCH 3 (MODSEQ)
        S: * 3 FETCH (MODSEQ ({first + 2}))
        S: g OK *
        C: i FETCH 1 BODY[TEXT]
        S: * 1 FETCH (FLAGS (\\Seen \\Recent) UID 1 MODSEQ ({first + 3}) BODY[TEXT] *
        S: Hello 1
        S: )
        S: i OK *
    """)


async def test_a_store_leaves_what_others_changed_alone(connect: Connect, fill: Fill) -> None:
    await fill(4)
    client, other = await connect(), await connect("INBOX")
    first = await _highest(client)
    await other.run("""
        C: a STORE 2,4 +FLAGS.SILENT (\\Flagged)
        S: a OK *
    """)
    await client.run(f"""
        C: a STORE 1:4 (UNCHANGEDSINCE {first}) +FLAGS.SILENT (\\Deleted)
        S: * OK [HIGHESTMODSEQ {first}] *
        S: * 1 FETCH (UID 1 MODSEQ ({first + 2}))
        S: * 2 FETCH (UID 2 FLAGS (\\Flagged) MODSEQ ({first + 1}))
        S: * 3 FETCH (UID 3 MODSEQ ({first + 2}))
        S: * 4 FETCH (UID 4 FLAGS (\\Flagged) MODSEQ ({first + 1}))
        S: a OK [MODIFIED 2,4] *
        C: b UID STORE 1,2 (UNCHANGEDSINCE {first + 1}) FLAGS (\\Seen)
        S: * 1 FETCH (UID 1 FLAGS (\\Deleted) MODSEQ ({first + 2}))
        S: * 2 FETCH (UID 2 FLAGS (\\Seen) MODSEQ ({first + 3}))
        S: b OK [MODIFIED 1] *
        C: c STORE 3 (UNCHANGEDSINCE 0) FLAGS.SILENT ()
        S: * 3 FETCH (UID 3 FLAGS (\\Deleted) MODSEQ ({first + 2}))
        S: c OK [MODIFIED 3] *
        C: d STORE 3 (UNCHANGEDSINCE {first + 9}) FLAGS (\\Seen)
        S: * 3 FETCH (UID 3 FLAGS (\\Seen) MODSEQ ({first + 4}))
        S: d OK STORE completed
    """)


async def test_what_others_did_to_another_flag_is_no_conflict(connect: Connect, fill: Fill) -> None:
    # RFC 7162 3.1.12, also before the client was told of it
    await fill(3)
    client, other = await connect(), await connect("INBOX")
    first = await _highest(client, "SELECT INBOX (CONDSTORE)")
    await other.run("""
        C: a STORE 1:2 +FLAGS.SILENT (\\Flagged)
        S: a OK *
        C: b STORE 2 +FLAGS.SILENT ($Taken)
        S: * FLAGS *
        S: * OK [PERMANENTFLAGS *
        S: b OK *
    """)
    await client.run(f"""
        C: a STORE 1:3 (UNCHANGEDSINCE {first}) +FLAGS.SILENT ($Taken)
        S: * FLAGS *
        S: * OK [PERMANENTFLAGS *
        S: * 1 FETCH (UID 1 MODSEQ ({first + 4}))
        S: * 2 FETCH (UID 2 FLAGS (\\Flagged $Taken) MODSEQ ({first + 2}))
        S: * 3 FETCH (UID 3 MODSEQ ({first + 3}))
        S: * 1 FETCH (UID 1 FLAGS (\\Flagged $Taken) MODSEQ ({first + 4}))
        S: a OK [MODIFIED 2] *
        C: c STORE 1:2 (UNCHANGEDSINCE {first}) -FLAGS (\\Flagged)
        S: * 1 FETCH (UID 1 FLAGS ($Taken) MODSEQ ({first + 5}))
        S: * 2 FETCH (UID 2 FLAGS ($Taken) MODSEQ ({first + 5}))
        S: c OK STORE completed
        C: d STORE 1 (UNCHANGEDSINCE {first}) -FLAGS (\\Flagged)
        S: * 1 FETCH (UID 1 FLAGS ($Taken) MODSEQ ({first + 5}))
        S: d OK [MODIFIED 1] *
        C: e STORE 1 (UNCHANGEDSINCE {first}) FLAGS (\\Seen)
        S: * 1 FETCH (UID 1 FLAGS ($Taken) MODSEQ ({first + 5}))
        S: e OK [MODIFIED 1] *
        C: g NOOP
        S: g OK *
    """)


async def test_what_others_did_and_the_client_did_not_hear_of_is_a_conflict(
    connect: Connect, fill: Fill
) -> None:
    await fill(2, flags=frozenset({"\\Flagged"}))
    client, other = await connect(), await connect("INBOX")
    first = await _highest(client, "SELECT INBOX (CONDSTORE)")
    await other.run("""
        C: a STORE 1 -FLAGS.SILENT (\\Flagged)
        S: a OK *
    """)
    await client.run(f"""
        C: a STORE 1 (UNCHANGEDSINCE {first}) +FLAGS.SILENT (\\Flagged)
        S: * 1 FETCH (UID 1 FLAGS () MODSEQ ({first + 1}))
        S: a OK [MODIFIED 1] *
        C: b STORE 1 (UNCHANGEDSINCE {first + 1}) +FLAGS.SILENT (\\Flagged)
        S: * 1 FETCH (UID 1 MODSEQ ({first + 2}))
        S: b OK STORE completed
        C: c STORE 2 (UNCHANGEDSINCE {first}) -FLAGS.SILENT (\\Flagged $None)
        S: * 2 FETCH (UID 2 MODSEQ ({first + 3}))
        S: c OK STORE completed
    """)


async def test_unchangedsince_0_asks_for_a_keyword_that_is_not_there(
    connect: Connect, fill: Fill
) -> None:
    # RFC 7162 3.1.3, example 8
    await fill(1)
    client, other = await connect(), await connect("INBOX")
    first = await _highest(client, "SELECT INBOX (CONDSTORE)")
    await client.run(f"""
        C: a STORE 1 (UNCHANGEDSINCE 0) +FLAGS.SILENT (\\Seen)
        S: * 1 FETCH (UID 1 FLAGS () MODSEQ ({first}))
        S: a OK [MODIFIED 1] *
        C: b STORE 1 (UNCHANGEDSINCE 0) +FLAGS.SILENT ($MDNSent)
        S: * FLAGS *
        S: * OK [PERMANENTFLAGS *
        S: * 1 FETCH (UID 1 MODSEQ ({first + 1}))
        S: b OK STORE completed
        C: c STORE 1 (UNCHANGEDSINCE 0) +FLAGS.SILENT ($MDNSent)
        S: * 1 FETCH (UID 1 FLAGS ($MDNSent) MODSEQ ({first + 1}))
        S: c OK [MODIFIED 1] *
        C: d STORE 1 (UNCHANGEDSINCE 0) -FLAGS.SILENT ($MDNSent)
        S: * 1 FETCH (UID 1 FLAGS ($MDNSent) MODSEQ ({first + 1}))
        S: d OK [MODIFIED 1] *
        C: e STORE 1 (UNCHANGEDSINCE 0) FLAGS.SILENT ($New)
        S: * 1 FETCH (UID 1 FLAGS ($MDNSent) MODSEQ ({first + 1}))
        S: e OK [MODIFIED 1] *
    """)
    await other.run("""
        C: a NOOP
        S: * FLAGS (\\Answered \\Deleted \\Flagged \\Seen \\Draft $MDNSent)
        S: * OK [PERMANENTFLAGS *
        S: * 1 FETCH (UID 1 FLAGS (\\Recent $MDNSent))
        S: a OK *
    """)


async def test_others_hear_of_the_modseq_once_they_asked_for_it(
    connect: Connect, fill: Fill
) -> None:
    await fill(2)
    client, plain, enabled = await connect("INBOX"), await connect("INBOX"), await connect()
    first = await _highest(enabled)
    await enabled.run(f"""
        C: a ENABLE CONDSTORE
        S: * ENABLED CONDSTORE
        S: * OK [HIGHESTMODSEQ {first}] *
        S: a OK *
        C: b ENABLE CONDSTORE
        S: * ENABLED
        S: b OK *
    """)
    await client.run("""
        C: a STORE 1 FLAGS.SILENT (\\Seen)
        S: a OK *
    """)
    await plain.run("""
        C: c NOOP
        S: * 1 FETCH (UID 1 FLAGS (\\Seen))
        S: c OK *
    """)
    await enabled.run(f"""
        C: c NOOP
        S: * 1 FETCH (UID 1 FLAGS (\\Seen) MODSEQ ({first + 1}))
        S: c OK *
    """)


async def test_search_by_modseq_tells_the_newest(connect: Connect, fill: Fill) -> None:
    await fill(4)
    client = await connect()
    first = await _highest(client, "EXAMINE INBOX (CONDSTORE)")
    other = await connect("INBOX")
    await other.run("""
        C: a STORE 3 FLAGS.SILENT (\\Seen)
        S: a OK *
        C: b STORE 2 FLAGS.SILENT (\\Seen)
        S: b OK *
    """)
    await client.run(f"""
        C: a NOOP
        S: * 2 FETCH (UID 2 FLAGS (\\Seen \\Recent) MODSEQ ({first + 2}))
        S: * 3 FETCH (UID 3 FLAGS (\\Seen \\Recent) MODSEQ ({first + 1}))
        S: a OK *
        C: b SEARCH MODSEQ {first + 1}
        S: * SEARCH 2 3 (MODSEQ {first + 2})
        S: b OK *
        C: c SEARCH MODSEQ "/flags/\\\\draft" all {first + 3}
        S: * SEARCH
        S: c OK *
        C: d SEARCH NOT MODSEQ {first + 2} UID 3
        S: * SEARCH 3 (MODSEQ {first + 1})
        S: d OK *
        C: e UID SEARCH RETURN (MAX) MODSEQ {first + 1}
        S: * ESEARCH (TAG "e") UID MAX 3 MODSEQ {first + 1}
        S: e OK *
        C: f SEARCH RETURN (MIN MAX) MODSEQ 1
        S: * ESEARCH (TAG "f") MIN 1 MAX 4 MODSEQ *
        S: f OK *
        C: g SEARCH RETURN (COUNT MAX) MODSEQ {first + 1}
        S: * ESEARCH (TAG "g") MAX 3 COUNT 2 MODSEQ {first + 2}
        S: g OK *
        C: h SEARCH RETURN (COUNT) MODSEQ {first + 3}
        S: * ESEARCH (TAG "h") COUNT 0
        S: h OK *
    """)


async def test_what_is_no_modseq_is_refused(connect: Connect, fill: Fill) -> None:
    await fill(1)
    client = await connect("INBOX")
    for line in (
        "FETCH 1 FLAGS (CHANGEDSINCE)",
        "FETCH 1 FLAGS (CHANGEDSINCE x)",
        "FETCH 1 FLAGS (CHANGEDSINCE 9223372036854775808)",
        "FETCH 1 FLAGS (CHANGEDSINCE 1 VANISHED)",
        "FETCH 1 FLAGS (FOO 1)",
        "STORE 1 (UNCHANGEDSINCE -1) FLAGS ()",
        "STORE 1 (FOO 1) FLAGS ()",
        "STORE 1 (UNCHANGEDSINCE 1)",
        "SEARCH MODSEQ x",
        'SEARCH MODSEQ "/flags/x" foo 1',
        "SELECT INBOX (FOO)",
    ):
        await client.send(f"a {line}\r\n".encode())
        await client.expect("a BAD *")
