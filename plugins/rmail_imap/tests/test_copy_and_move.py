"""COPY and MOVE with COPYUID (RFC 3501 6.4.7, RFC 4315 3, RFC 6851)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from plugins.rmail_imap.tests.conftest import Connect, Fill


async def test_copy_gives_the_new_uids(connect: Connect, fill: Fill) -> None:
    await fill(3)
    client = await connect("INBOX")
    await client.run("""
        C: a COPY 1:2 other
        S: a NO [TRYCREATE] *
        C: b CREATE other
        S: b OK *
        C: c COPY 2:3 other
        S: c OK [COPYUID * 2:3 1:2] COPY completed
        C: d UID COPY 1 other
        S: d OK [COPYUID * 1 3] UID COPY completed
        C: e UID COPY 99 other
        S: e OK Nothing to copy
        C: f STATUS other (MESSAGES UIDNEXT)
        S: * STATUS "other" (MESSAGES 3 UIDNEXT 4)
        S: f OK *
    """)


async def test_what_was_expunged_makes_no_partial_copy(connect: Connect, fill: Fill) -> None:
    # RFC 9051 6.4.7, RFC 2180 4.4.1; UIDs that are gone are ignored (RFC 9051 6.4.9)
    await fill(4)
    client, other = await connect("INBOX"), await connect("INBOX")
    await other.send(b"a STORE 2 +FLAGS.SILENT (\\Deleted)\r\nb EXPUNGE\r\n")
    await other.until("b OK *")
    await client.run("""
        C: a COPY 1:3 Sent
        S: a NO [EXPUNGEISSUED] *
        C: b STATUS Sent (MESSAGES UIDNEXT)
        S: * STATUS "Sent" (MESSAGES 0 UIDNEXT 1)
        S: * 2 EXPUNGE
        S: b OK *
        C: c COPY 1:3 Sent
        S: c OK [COPYUID * 1,3:4 1:3] *
        C: d UID COPY 2:3 Sent
        S: d OK [COPYUID * 3 4] *
    """)


async def test_copy_into_the_same_mailbox(connect: Connect, fill: Fill) -> None:
    await fill(1)
    client = await connect("INBOX")
    await client.run("""
        C: a COPY 1 INBOX
        S: * 2 EXISTS
        S: * 2 RECENT
        S: a OK [COPYUID * 1 2] *
    """)


async def test_move_tells_uids_then_expunges(connect: Connect, fill: Fill) -> None:
    await fill(3)
    client, other = await connect("INBOX"), await connect("INBOX")
    await client.run("""
        C: a MOVE 1 other
        S: a NO [TRYCREATE] *
        C: b CREATE other
        S: b OK *
        C: c MOVE 1,3 other
        S: * OK [COPYUID * 1,3 1:2] *
        S: * 3 EXPUNGE
        S: * 1 EXPUNGE
        S: c OK MOVE completed
        C: d UID MOVE 2 other
        S: * OK [COPYUID * 2 3] *
        S: * 1 EXPUNGE
        S: d OK UID MOVE completed
        C: e MOVE 1 other
        S: e BAD *
    """)
    await other.run("""
        C: a NOOP
        S: * 3 EXPUNGE
        S: * 2 EXPUNGE
        S: * 1 EXPUNGE
        S: a OK *
    """)


async def test_move_to_the_same_mailbox_gives_a_new_uid(connect: Connect, fill: Fill) -> None:
    await fill(2)
    client = await connect("INBOX")
    await client.run("""
        C: a MOVE 1 INBOX
        S: * OK [COPYUID * 1 3] *
        S: * 1 EXPUNGE
        S: * 2 EXISTS
        S: * * RECENT
        S: a OK *
        C: b UID FETCH 1:* BODY.PEEK[HEADER.FIELDS (SUBJECT)]
        S: * 1 FETCH (UID 2 *
        S: Subject: 2
        S:
        S: )
        S: * 2 FETCH (UID 3 *
        S: Subject: 1
        S:
        S: )
        S: b OK *
        C: c STATUS INBOX (MESSAGES SIZE UIDNEXT)
        S: * STATUS "INBOX" (MESSAGES 2 SIZE * UIDNEXT 4)
        S: c OK *
    """)
