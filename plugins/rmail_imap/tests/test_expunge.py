"""EXPUNGE, UID EXPUNGE and the numbers of other sessions (RFC 3501 6.4.3, 7.4.1, RFC 4315 2.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from plugins.rmail_imap.tests.conftest import Connect, Fill


async def test_expunge_numbers_count_down(connect: Connect, fill: Fill) -> None:
    await fill(4)
    client = await connect("INBOX")
    await client.run("""
        C: a STORE 1,3 +FLAGS.SILENT (\\Deleted)
        S: a OK *
        C: b EXPUNGE
        S: * 3 EXPUNGE
        S: * 1 EXPUNGE
        S: b OK *
        C: c EXPUNGE
        S: c OK *
        C: d FETCH 1:* UID
        S: * 1 FETCH (UID 2)
        S: * 2 FETCH (UID 4)
        S: d OK *
    """)


async def test_uid_expunge_takes_only_its_set(connect: Connect, fill: Fill) -> None:
    await fill(3, flags=frozenset({"\\Deleted"}))
    client = await connect("INBOX")
    await client.run("""
        C: a UID EXPUNGE 2:2,99
        S: * 2 EXPUNGE
        S: a OK *
        C: b EXPUNGE 1
        S: b BAD *
        C: c UID EXPUNGE
        S: c BAD *
    """)


async def test_expunges_wait_for_commands_that_use_numbers(connect: Connect, fill: Fill) -> None:
    # RFC 3501 7.4.1: not during FETCH, STORE or SEARCH
    await fill(3)
    client, other = await connect("INBOX"), await connect("INBOX")
    await other.run("""
        C: a STORE 1 +FLAGS.SILENT (\\Deleted)
        S: a OK *
        C: b EXPUNGE
        S: * 1 EXPUNGE
        S: b OK *
    """)
    await client.run("""
        C: a FETCH 2 UID
        S: * 2 FETCH (UID 2)
        S: a OK *
        C: b STORE 3 +FLAGS (\\Flagged)
        S: * 3 FETCH (FLAGS (\\Flagged \\Recent))
        S: b OK *
        C: c SEARCH FLAGGED
        S: * SEARCH 3
        S: c OK *
        C: d UID FETCH 3 FLAGS
        S: * 3 FETCH (UID 3 FLAGS (\\Flagged \\Recent))
        S: * 1 EXPUNGE
        S: d OK *
        C: e SEARCH FLAGGED
        S: * SEARCH 2
        S: e OK *
    """)


@pytest.mark.parametrize("command", ["FETCH 1 UID", "STORE 1 +FLAGS.SILENT (x)", "SEARCH ALL"])
async def test_a_client_hears_that_an_expunge_waits(
    connect: Connect, fill: Fill, command: str
) -> None:
    # RFC 5530 3
    await fill(3)
    client, other = await connect("INBOX"), await connect("INBOX")
    await client.send(f"a {command}\r\n".encode())
    assert "EXPUNGEISSUED" not in (await client.until("a OK *"))[-1]
    await other.send(b"a STORE 2 +FLAGS.SILENT (\\Deleted)\r\nb EXPUNGE\r\n")
    await other.until("b OK *")
    await client.send(f"b {command}\r\n".encode())
    await client.until("b OK [EXPUNGEISSUED] *")
    await client.run("C: c NOOP\nS: * 2 EXPUNGE\nS: c OK NOOP completed")
    await client.send(f"d {command}\r\n".encode())
    assert "EXPUNGEISSUED" not in (await client.until("d OK *"))[-1]


async def test_new_mail_behind_an_expunge_that_was_not_told(connect: Connect, fill: Fill) -> None:
    await fill(2)
    client, other = await connect("INBOX"), await connect("INBOX")
    await other.run("""
        C: a STORE 1 +FLAGS.SILENT (\\Deleted)
        S: a OK *
        C: b EXPUNGE
        S: * 1 EXPUNGE
        S: b OK *
    """)
    await fill(1)
    await client.run("""
        C: a FETCH 2 UID
        S: * 2 FETCH (UID 2)
        S: * 3 EXISTS
        S: * 3 RECENT
        S: a OK *
        C: b FETCH 3 UID
        S: * 3 FETCH (UID 3)
        S: b OK *
        C: c NOOP
        S: * 1 EXPUNGE
        S: c OK *
        C: d FETCH 1:* UID
        S: * 1 FETCH (UID 2)
        S: * 2 FETCH (UID 3)
        S: d OK *
    """)
    await other.run("""
        C: c NOOP
        S: * 2 EXISTS
        S: * 0 RECENT
        S: c OK *
    """)
