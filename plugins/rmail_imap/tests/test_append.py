"""APPEND with APPENDUID (RFC 3501 6.3.11, RFC 4315 3, RFC 7888)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rmail_kernel.testing import RunningServer, Transcript

if TYPE_CHECKING:
    from plugins.rmail_imap.tests.conftest import Connect


async def test_append_asks_for_the_message(client: Transcript) -> None:
    await client.run("""
        C: a APPEND INBOX (\\Seen $Label) "01-Feb-2026 12:00:00 +0200" {13}
        S: + *
    """)
    await client.send(b"A: b\r\n\r\nbody.\r\n")
    await client.run("""
        S: a OK [APPENDUID * 1] APPEND completed
        C: b SELECT INBOX
    """)
    await client.until("b OK *")
    await client.run("""
        C: c FETCH 1 (FLAGS INTERNALDATE BODY.PEEK[])
        S: * 1 FETCH (FLAGS (\\Seen \\Recent $Label) INTERNALDATE "01-Feb-2026 10:* BODY[] {13}
        S: A: b
        S:
        S: body.)
        S: c OK *
    """)


async def test_append_without_waiting(client: Transcript) -> None:
    await client.send(b"a APPEND {5+}\r\nINBOX {9+}\r\nA: b\r\n\r\nx\r\nb NOOP\r\n")
    await client.run("""
        S: a OK [APPENDUID * 1] *
        S: b OK *
    """)


async def test_append_to_the_selected_mailbox_is_told(client: Transcript) -> None:
    await client.send(b"a SELECT INBOX\r\n")
    await client.until("a OK *")
    await client.send(b"b APPEND INBOX {9+}\r\nA: b\r\n\r\nx\r\n")
    await client.run("""
        S: * 1 EXISTS
        S: * 1 RECENT
        S: b OK *
    """)


async def test_what_a_session_appends_is_recent_for_it_alone(connect: Connect) -> None:
    first, second = await connect("INBOX"), await connect("INBOX")
    await first.send(b"b APPEND INBOX {9+}\r\nA: b\r\n\r\nx\r\n")
    await first.run("""
        S: * 1 EXISTS
        S: * 1 RECENT
        S: b OK *
        C: c FETCH 1 FLAGS
        S: * 1 FETCH (FLAGS (\\Recent))
        S: c OK *
    """)
    await second.run("""
        C: b NOOP
        S: * 1 EXISTS
        S: * 0 RECENT
        S: b OK *
        C: c FETCH 1 FLAGS
        S: * 1 FETCH (FLAGS ())
        S: c OK *
    """)


async def test_append_to_nowhere_is_refused_before_the_message(client: Transcript) -> None:
    await client.run("""
        C: a APPEND nowhere {9}
        S: a NO [TRYCREATE] *
    """)
    await client.send(b"b APPEND nowhere {9+}\r\nA: b\r\n\r\nx\r\nc NOOP\r\n")
    await client.run("""
        S: b NO [TRYCREATE] *
        S: c OK *
    """)


async def test_append_that_is_wrong(client: Transcript) -> None:
    await client.run("""
        C: a APPEND INBOX
        S: a BAD *
        C: b APPEND INBOX (\\Foo) {9}
        S: + *
        C: 123456789
        S: b NO [CANNOT] *
        C: c APPEND INBOX "text"
        S: c BAD *
        C: d APPEND INBOX {0}
        S: d NO [CANNOT] *
    """)
    await client.send(b"e APPEND INBOX {9+}\r\nA: b\r\n\r\nx junk\r\n")
    await client.run("S: e BAD *")
    await client.send(b"f APPEND INBOX {9+}\r\nA: b\r\n\r\n\0\r\n")
    await client.run("""
        S: f BAD *
        C: g STATUS INBOX (MESSAGES)
        S: * STATUS "INBOX" (MESSAGES 0)
        S: g OK *
    """)


@pytest.mark.parametrize("rmail_settings", [{"imap": {"max_message_bytes": 2000}}])
async def test_a_message_that_is_too_large(client: Transcript) -> None:
    await client.run("""
        C: a APPEND INBOX {2001}
        S: a NO [TOOBIG] *
    """)
    await client.send(b"b APPEND INBOX {2001+}\r\n" + b"x" * 2001 + b"\r\n")
    await client.run("""
        S: b NO [TOOBIG] *
        C: c APPEND INBOX {9999999+}
        S: * BYE [TOOBIG] *
    """)
    await client.expect_close()


async def test_a_large_message_arrives_whole(
    client: Transcript, rmail_server: RunningServer
) -> None:
    raw = b"Subject: large\r\n\r\n" + b"0123456789abcdef" * 200_000
    await client.send(b"a APPEND INBOX {%d+}\r\n" % len(raw) + raw + b"\r\n")
    await client.run("S: a OK *")
    assert await rmail_server.messages() == [raw]


async def test_a_full_account_is_told_before_the_message(rmail_server: RunningServer) -> None:
    await rmail_server.add_user("carol", quota_mb=1)
    async with rmail_server.connect("imap") as client:
        await client.run("""
            S: * OK *
            C: a LOGIN carol secret
            S: a OK *
            C: b APPEND INBOX {2000000}
            S: b NO [OVERQUOTA] *
        """)


async def test_8_bit_header_fields_need_no_utf8_accept(client: Transcript) -> None:
    raw = "Subject: Grüße\r\n\r\nx".encode()
    await client.send(b"a APPEND INBOX {%d+}\r\n%b\r\n" % (len(raw), raw))
    await client.run(f"""
        S: a OK [APPENDUID * 1] *
        C: b STATUS INBOX (SIZE)
        S: * STATUS "INBOX" (SIZE {len(raw)})
        S: b OK *
    """)


@pytest.mark.parametrize("rmail_settings", [{"imap": {"refuse_8bit_headers": True}}])
async def test_8_bit_header_fields_can_be_refused(client: Transcript) -> None:
    raw = "Subject: é\r\n\r\nx\r\n".encode()
    await client.send(b"a APPEND INBOX {%d+}\r\n" % len(raw) + raw + b"\r\n")
    await client.run("S: a NO [CANNOT] *")
    # All or none, and what follows is still read as messages (RFC 3502).
    both = b"{9+}\r\nA: b\r\n\r\nx {%d+}\r\n" % len(raw) + raw + b" {9+}\r\nA: b\r\n\r\nx"
    await client.send(b"b APPEND INBOX " + both + b"\r\n")
    await client.run("S: b NO [CANNOT] *")
    body = "A: b\r\n\r\né\r\n".encode()
    await client.send(b"c APPEND INBOX {%d+}\r\n" % len(body) + body + b"\r\n")
    await client.run("""
        S: c OK [APPENDUID * 1] *
        C: d ENABLE UTF8=ACCEPT
        S: * ENABLED UTF8=ACCEPT
        S: d OK *
    """)
    await client.send(b"e APPEND INBOX {%d+}\r\n" % len(raw) + raw + b"\r\n")
    await client.run("S: e OK [APPENDUID * 2] *")
