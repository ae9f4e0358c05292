"""REPLACE (RFC 8508): a draft is saved anew in one command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from rmail_kernel.model import Address
from rmail_kernel.testing import RunningServer

if TYPE_CHECKING:
    from plugins.rmail_imap.tests.conftest import Connect, Fill

NEW = b"Subject: new\r\n\r\nnew\r\n"


async def test_the_new_message_comes_before_the_old_one_goes(connect: Connect, fill: Fill) -> None:
    await fill(3)
    client, other = await connect("INBOX"), await connect("INBOX")
    await client.send(b"a REPLACE 2 INBOX (\\Draft) {%d}\r\n" % len(NEW))
    await client.expect("+ *")
    await client.send(NEW + b"\r\n")
    await client.run("""
        S: * OK [APPENDUID * 4] *
        S: * 2 EXPUNGE
        S: * 3 EXISTS
        S: * * RECENT
        S: a OK REPLACE completed
    """)
    await other.run("""
        C: a UID FETCH 1:* FLAGS
        S: * 1 FETCH (UID 1 FLAGS *)
        S: * 3 FETCH (UID 3 FLAGS *)
        S: * 2 EXPUNGE
        S: * 3 EXISTS
        S: * * RECENT
        S: a OK *
        C: b FETCH 3 (UID FLAGS)
        S: * 3 FETCH (UID 4 FLAGS (\\Draft))
        S: b OK *
    """)


@pytest.mark.parametrize("command", ["REPLACE", "UID REPLACE"])
async def test_a_star_is_the_last_message(connect: Connect, fill: Fill, command: str) -> None:
    # RFC 8508 5: seq-number
    await fill(2)
    client = await connect("INBOX")
    await client.send(f"a {command} * Sent {{3+}}\r\nabc\r\n".encode())
    await client.run("S: * OK [APPENDUID * 1] *\nS: * 2 EXPUNGE\nS: a OK *")
    await client.send(f"b {command} * Sent {{3+}}\r\nabc\r\n".encode())
    await client.run("S: * OK [APPENDUID * 2] *\nS: * 1 EXPUNGE\nS: b OK *")
    await client.send(f"c {command} * Sent {{3+}}\r\nabc\r\nd NOOP\r\n".encode())
    await client.run("S: c NO [NONEXISTENT] *\nS: d OK *")


async def test_into_another_mailbox_by_uid(connect: Connect, fill: Fill) -> None:
    await fill(2)
    client = await connect()
    await client.send(b"q ENABLE QRESYNC\r\ns SELECT INBOX\r\n")
    await client.until("s OK *")
    await client.send(b"a UID REPLACE 1 Sent {%d+}\r\n" % len(NEW) + NEW + b"\r\n")
    await client.run("""
        S: * OK [APPENDUID * 1] *
        S: * VANISHED 1
        S: a OK [HIGHESTMODSEQ *] UID REPLACE completed
        C: b STATUS Sent (MESSAGES)
        S: * STATUS "Sent" (MESSAGES 1)
        S: b OK *
    """)


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("UID REPLACE 9 INBOX", "NO [NONEXISTENT] *"),
        ("REPLACE 9 INBOX", "BAD *"),
        ("REPLACE 0 INBOX", "BAD *"),
        ("REPLACE 1:2 INBOX", "BAD *"),
        ("REPLACE *:1 INBOX", "BAD *"),
        ("REPLACE $ INBOX", "BAD *"),
        ("REPLACE 1 Nowhere", "NO [TRYCREATE] *"),
    ],
)
async def test_what_cannot_be_replaced_stays(
    connect: Connect, fill: Fill, command: str, answer: str
) -> None:
    await fill(1)
    client = await connect("INBOX")
    await client.send(f"a {command} {{3+}}\r\nabc\r\nb NOOP\r\n".encode())
    await client.run(f"""
        S: a {answer}
        S: b OK *
    """)


async def test_one_message_only(connect: Connect, fill: Fill) -> None:
    await fill(1)
    client = await connect("INBOX")
    await client.send(b"a REPLACE 1 INBOX {3+}\r\nabc {3+}\r\nabc\r\nb STATUS INBOX (MESSAGES)\r\n")
    await client.run("""
        S: a BAD [LIMIT] *
        S: * STATUS "INBOX" (MESSAGES 1)
        S: b OK *
    """)


async def test_a_mailbox_open_for_reading_keeps_its_messages(connect: Connect, fill: Fill) -> None:
    await fill(1)
    client = await connect()
    await client.send(b"s EXAMINE INBOX\r\n")
    await client.until("s OK *")
    await client.run("""
        C: a REPLACE 1 INBOX {3}
        S: a NO [NOPERM] *
    """)


@pytest.fixture
def rmail_settings() -> dict[str, Any]:
    return {"imap": {"max_message_bytes": 4096}}


async def test_a_message_that_is_too_large_leaves_the_old_one(connect: Connect, fill: Fill) -> None:
    await fill(1)
    client = await connect("INBOX")
    await client.run("""
        C: a REPLACE 1 INBOX {5000}
        S: a NO [TOOBIG] *
        C: b STATUS INBOX (MESSAGES)
        S: * STATUS "INBOX" (MESSAGES 1)
        S: b OK *
    """)


async def test_the_old_message_makes_room_for_the_new_one(
    rmail_server: RunningServer, connect: Connect, fill: Fill
) -> None:
    await fill(2)
    account = await rmail_server.kernel.directory.get(Address("alice", "example.com"))
    assert account is not None
    await rmail_server.kernel.directory.update(account, quota_messages=2)
    client = await connect("INBOX")
    await client.send(b"a APPEND INBOX {3+}\r\nabc\r\nb REPLACE 1 INBOX {3+}\r\nabc\r\n")
    await client.run("""
        S: a NO [OVERQUOTA] *
        S: * OK [APPENDUID * 3] *
        S: * 1 EXPUNGE
        S: * 2 EXISTS
        S: * * RECENT
        S: b OK *
    """)
