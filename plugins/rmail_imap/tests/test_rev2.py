"""IMAP4rev2 (RFC 9051) and UTF8=ACCEPT (RFC 9755, RFC 6855), once they are enabled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rmail_kernel.testing import Transcript

if TYPE_CHECKING:
    from plugins.rmail_imap.tests.conftest import Connect, Fill

_REV2 = """
    C: r ENABLE IMAP4rev2
    S: * ENABLED IMAP4rev2
    S: r OK *
"""
_UTF8 = """
    C: u ENABLE UTF8=ACCEPT
    S: * ENABLED UTF8=ACCEPT
    S: u OK *
"""


async def test_select_tells_the_mailbox_and_nothing_of_recent(
    client: Transcript, connect: Connect, fill: Fill
) -> None:
    await fill(2)
    await client.run(f"""{_REV2}
        C: a SELECT inbox
        S: * FLAGS (*)
        S: * OK [PERMANENTFLAGS (*)] *
        S: * 2 EXISTS
        S: * LIST (\\HasNoChildren \\Subscribed) "/" "INBOX"
        S: * OK [UIDVALIDITY *] *
        S: * OK [UIDNEXT 3] *
        S: * OK [MAILBOXID (*)] *
        S: * OK [HIGHESTMODSEQ *] *
        S: a OK [READ-WRITE] *
        C: b FETCH 1:2 FLAGS
        S: * 1 FETCH (FLAGS ())
        S: * 2 FETCH (FLAGS ())
        S: b OK *
    """)
    await fill(1)
    await client.run("""
        C: c NOOP
        S: * 3 EXISTS
        S: c OK *
        C: d ENABLE IMAP4rev2 UTF8=ACCEPT
        S: * ENABLED UTF8=ACCEPT
        S: d OK *
        C: d2 ENABLE UTF8=ACCEPT
        S: * ENABLED
        S: d2 OK *
        C: e EXAMINE Sent
        S: * OK [CLOSED] *
        S: * FLAGS (*)
        S: * OK [PERMANENTFLAGS ()] *
        S: * 0 EXISTS
        S: * LIST (\\HasNoChildren \\Subscribed \\Sent) "/" "Sent"
    """)
    await client.until("e OK *")
    old = await connect()  # one that wants \Recent still gets it
    await old.send(b"s SELECT INBOX\r\n")
    assert "* 3 RECENT" in await old.until("s OK *")


async def test_enabling_late_ends_recent_too(connect: Connect, fill: Fill) -> None:
    await fill(1)
    client = await connect("INBOX")
    await client.run(f"""{_REV2}
        C: b FETCH 1 FLAGS
        S: * 1 FETCH (FLAGS ())
        S: b OK *
    """)


async def test_search_answers_with_esearch(client: Transcript, fill: Fill) -> None:
    await fill(3)
    await client.send(b"r ENABLE IMAP4rev2\r\ns SELECT INBOX\r\n")
    await client.until("s OK *")
    await client.run("""
        C: a SEARCH 2:3
        S: * ESEARCH (TAG "a") ALL 2:3
        S: a OK *
        C: b UID SEARCH CHARSET UTF-8 SUBJECT nothing
        S: * ESEARCH (TAG "b") UID
        S: b OK *
        C: c SEARCH LARGER 9999999999 SMALLER 9223372036854775807
        S: * ESEARCH (TAG "c")
        S: c OK *
        C: d SEARCH LARGER 9223372036854775808
        S: d BAD *
        C: e FETCH 1 BODY.PEEK[TEXT]<99999999999.5>
        S: * 1 FETCH (BODY[TEXT]<99999999999> {0}
        S: )
        S: e OK *
        C: f STATUS INBOX (MESSAGES SIZE DELETED)
        S: * STATUS "INBOX" (MESSAGES 3 SIZE * DELETED 0)
        S: f OK *
    """)


@pytest.mark.parametrize("enable", [_REV2, _UTF8])
async def test_names_are_utf8(connect: Connect, enable: str) -> None:
    client, old = await connect(), await connect()
    await client.run(f"""{enable}
        C: a CREATE "Entwürfe &-x"
        S: a OK *
        C: b LIST "" "Entw*"
        S: * LIST (*) "/" "Entwürfe &-x"
        S: b OK *
        C: c LIST "Entwü" %
        S: * LIST (*) "/" "Entwürfe &-x"
        S: c OK *
        C: d STATUS "Entwürfe &-x" (MESSAGES)
        S: * STATUS "Entwürfe &-x" (MESSAGES 0)
        S: d OK *
        C: e SUBSCRIBE "Entwürfe &-x"
        S: e OK *
        C: f LSUB "" "E%"
        S: * LSUB () "/" "Entwürfe &-x"
        S: f OK *
        C: g GETQUOTAROOT "Entwürfe &-x"
        S: * QUOTAROOT "Entwürfe &-x" ""
        S: * QUOTA "" *
        S: g OK *
    """)
    await old.run("""
        C: a LIST "" "E*"
        S: * LIST (*) "/" "Entw&APw-rfe &--x"
        S: a OK *
    """)
    for raw in (b"\xff\xfe", b"\xc3", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf4\x90\x80\x80"):
        # RFC 9755 3, RFC 3629 4
        await client.send(b'h CREATE "x%b"\r\ni SEARCH SUBJECT "%b"\r\n' % (raw, raw))
        await client.run("S: h BAD *\nS: i BAD *")
    await client.send(b"j CREATE {3+}\r\nx\xff\xfe\r\n")
    await client.run("S: j NO [CANNOT] *")


async def test_a_message_with_utf8_headers(client: Transcript) -> None:
    raw = "Subject: Grüße\r\n\r\nx".encode()
    await client.run(_UTF8)
    await client.send(b"a APPEND INBOX (\\Seen) UTF8 (~{%d+}\r\n%b)\r\n" % (len(raw), raw))
    await client.expect("a OK [APPENDUID * 1] *")
    await client.send(b"b APPEND INBOX UTF8 (~{%d}\r\n" % len(raw))
    await client.expect("+ *")
    await client.send(raw + b") UTF8 (~{%d+}\r\n%b)\r\n" % (len(raw), raw))
    await client.expect("b OK [APPENDUID * 2:3] *")
    await client.send(b"c APPEND INBOX UTF8 (~{%d+}\r\n%b\r\n" % (len(raw), raw))
    await client.expect("c BAD *")
    await client.send(b"s EXAMINE INBOX\r\n")
    await client.until("s OK *")
    await client.run(
        f"""
        C: d FETCH 3 (RFC822.SIZE BODY.PEEK[HEADER.FIELDS (SUBJECT)])
        S: * 3 FETCH (RFC822.SIZE {len(raw)} BODY[HEADER.FIELDS (SUBJECT)] *
        S: Subject: Grüße
        S:
        S: )
        S: d OK *
        C: e SEARCH SUBJECT "grüße"
        S: * SEARCH 1:3
        S: e OK *
    """.replace("1:3\n        S: e", "1 2 3\n        S: e")
    )
    await client.run("""
        C: f SEARCH CHARSET UTF-8 ALL
        S: f BAD *
        C: g SORT (ARRIVAL) US-ASCII ALL
        S: g BAD *
        C: h THREAD REFS KOI8-R ALL
        S: h BAD *
        C: i SORT (ARRIVAL) "utf-8" ALL
        S: * SORT 1 2 3
        S: i OK *
        C: j THREAD REFS UTF-8 1
        S: * THREAD (1)
        S: j OK *
    """)


async def test_a_name_that_is_stored_otherwise_is_told_with_the_old_one(client: Transcript) -> None:
    # RFC 9051 6.3.2, 6.3.4, 6.3.9.7: the store keeps names in NFC
    await client.run(f"""{_REV2}
        C: a CREATE "Cafe\u0301"
        S: * LIST () "/" "Caf\u00e9" ("OLDNAME" ("Cafe\u0301"))
        S: a OK *
    """)
    await client.send('b SELECT "Cafe\u0301"\r\n'.encode())
    told = '* LIST (\\HasNoChildren) "/" "Caf\u00e9" ("OLDNAME" ("Cafe\u0301"))'
    assert told in await client.until("b OK *")
    await client.run("""
        C: c RENAME "Café" "Thé"
        S: * LIST () "/" "Thé" ("OLDNAME" ("Café"))
        S: c OK *
        C: d RENAME "Thé" "Thé"
        S: d NO *
        C: e RENAME "Thé" Tea
        S: e OK *
        C: f RENAME Tea "Thé"
        S: * LIST () "/" "Thé" ("OLDNAME" ("Tea"))
        S: f OK *
        C: g0 APPEND "Thé" {4+}
        C: x: y
        S: * LIST () "/" "Thé" ("OLDNAME" ("Thé"))
        S: * 1 EXISTS
        S: g0 OK [APPENDUID * 1] *
        C: g1 APPEND "Thé" {4+}
        C: x: y
        S: * 2 EXISTS
        S: g1 OK [APPENDUID * 2] *
        C: g DELETE "Thé"
        S: * LIST (\\NonExistent) "/" "Thé" ("OLDNAME" ("Thé"))
        S: g OK *
        C: h DELETE "Thé"
        S: h NO *
    """)


async def test_attributes_are_told_wherever_a_mailbox_is(client: Transcript) -> None:
    # RFC 9051 6.3.2, 6.3.4, 6.3.6: accurate in SELECT, \Subscribed also for a name that stays so
    await client.run(f"""{_REV2}
        C: a CREATE "Caf\u00e9/x"
        S: a OK *
        C: b SUBSCRIBE "Caf\u00e9/x"
        S: b OK *
        C: c DELETE "Caf\u00e9/x"
        S: c OK *
        C: d CREATE "Cafe\u0301/x"
        S: * LIST (\\Subscribed) "/" "Caf\u00e9/x" ("OLDNAME" ("Cafe\u0301/x"))
        S: d OK *
        C: e RENAME "Caf\u00e9/x" y
        S: e OK *
        C: f RENAME y "Cafe\u0301/x"
        S: * LIST (\\Subscribed) "/" "Caf\u00e9/x" ("OLDNAME" ("y"))
        S: f OK *
    """)
    await client.send('g SELECT "Caf\u00e9"\r\n'.encode())
    assert '* LIST (\\HasChildren) "/" "Caf\u00e9"' in await client.until("g OK *")
    await client.send('h EXAMINE "Caf\u00e9/x"\r\n'.encode())
    told = '* LIST (\\HasNoChildren \\Subscribed) "/" "Caf\u00e9/x"'
    assert told in await client.until("h OK *")
