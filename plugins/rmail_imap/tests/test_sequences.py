"""What desktop clients do from connecting to reading: the order of commands they are known for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rmail_kernel.testing import RunningServer, Transcript

if TYPE_CHECKING:
    from plugins.rmail_imap.tests.conftest import Connect, Fill


async def test_first_visit_with_starttls(rmail_server: RunningServer, fill: Fill) -> None:
    await fill(2)
    async with rmail_server.connect("imap") as client:
        await client.run("""
            S: * OK *
            C: 1 STARTTLS
            S: 1 OK *
        """)
        await client.start_tls()
        await client.run("""
            C: 2 CAPABILITY
            S: * CAPABILITY *
            S: 2 OK *
            C: 3 authenticate PLAIN AGFsaWNlAHNlY3JldA==
            S: 3 OK [CAPABILITY *] *
            C: 4 ID ("name" "Thunderbird" "version" "128.0")
            S: * ID *
            S: 4 OK *
            C: 5 namespace
            S: * NAMESPACE *
            S: 5 OK *
            C: 6 list "" "INBOX"
            S: * LIST * "INBOX"
            S: 6 OK *
            C: 7 lsub "" "*"
        """)
        await client.until("7 OK *")
        await _read_and_file(client)
        await client.expect_close()


async def _read_and_file(client: Transcript) -> None:
    await client.run("""
        C: 8 select "INBOX"
    """)
    await client.until("8 OK [READ-WRITE] *")
    await client.run("""
        C: 9 UID fetch 1:* (FLAGS)
        S: * 1 FETCH (UID 1 FLAGS (\\Recent))
        S: * 2 FETCH (UID 2 FLAGS (\\Recent))
        S: 9 OK *
        C: 10 UID fetch 1:2 (UID RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS (From To Subject)])
        S: * 1 FETCH (UID 1 FLAGS (*) RFC822.SIZE * BODY[HEADER.FIELDS (From To Subject)] {*
        S: From: Bob <bob@example.com>
        S: To: alice@example.com
        S: Subject: 1
        S:
        S: )
    """)
    await client.until("10 OK *")
    await client.run("""
        C: 11 UID fetch 1 (UID RFC822.SIZE BODY[])
        S: * 1 FETCH (UID 1 RFC822.SIZE * FLAGS (\\Seen \\Recent) BODY[] {*
    """)
    await client.until("11 OK *")
    await client.run("""
        C: 12 uid store 1 +Flags (\\Deleted)
        S: * 1 FETCH (UID 1 FLAGS (\\Deleted \\Seen \\Recent))
        S: 12 OK *
        C: 13 uid move 2 "Trash"
        S: * OK [COPYUID * 2 1] *
        S: * 2 EXPUNGE
        S: 13 OK *
        C: 14 IDLE
        S: + idling
        C: DONE
        S: 14 OK *
        C: 15 close
        S: 15 OK *
        C: 16 logout
        S: * BYE *
        S: 16 OK *
    """)


async def test_two_clients_agree_in_the_end(connect: Connect, fill: Fill) -> None:
    await fill(6)
    one, two = await connect("INBOX"), await connect("INBOX")
    await one.run("""
        C: a STORE 1,4 +FLAGS.SILENT (\\Deleted)
        S: a OK *
    """)
    await two.run("""
        C: a STORE 6 +FLAGS.SILENT (\\Deleted)
        S: * 1 FETCH (UID 1 FLAGS (\\Deleted))
        S: * 4 FETCH (UID 4 FLAGS (\\Deleted))
        S: a OK *
        C: b UID EXPUNGE 4
        S: * 4 EXPUNGE
        S: b OK *
    """)
    await fill(1)
    await one.run("""
        C: b FETCH 4:6 UID
        S: * 5 FETCH (UID 5)
        S: * 6 FETCH (UID 6)
        S: * 7 EXISTS
        S: * 7 RECENT
        S: * 6 FETCH (UID 6 FLAGS (\\Deleted \\Recent))
        S: b OK *
        C: c EXPUNGE
        S: * 6 EXPUNGE
        S: * 4 EXPUNGE
        S: * 1 EXPUNGE
        S: c OK *
    """)
    for client in (one, two):
        await client.send(b"y NOOP\r\n")
        await client.until("y OK *")
        await client.run("""
            C: z FETCH 1:* UID
            S: * 1 FETCH (UID 2)
            S: * 2 FETCH (UID 3)
            S: * 3 FETCH (UID 5)
            S: * 4 FETCH (UID 7)
            S: z OK *
        """)
