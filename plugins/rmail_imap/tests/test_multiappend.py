"""Several messages in one APPEND: all or none (RFC 3502)."""

from __future__ import annotations

from typing import Any

import pytest

from rmail_kernel.testing import RunningServer, Transcript

ONE = b"Subject: 1\r\n\r\none\r\n"
TWO = b"Subject: 2\r\n\r\ntwo!\r\n"


async def test_all_are_stored_with_their_own_flags_and_dates(client: Transcript) -> None:
    await client.send(b"a APPEND INBOX (\\Seen) {%d}\r\n" % len(ONE))
    await client.expect("+ *")
    date = b'"17-Jul-1996 02:44:25 +0000"'
    await client.send(ONE + b" (\\Draft) %b {%d}\r\n" % (date, len(TWO)))
    await client.expect("+ *")
    await client.send(TWO + b" {%d+}\r\n" % len(ONE) + ONE + b"\r\n")
    await client.expect("a OK [APPENDUID * 1:3] APPEND completed")
    await client.send(b"b EXAMINE INBOX\r\n")
    await client.until("b OK *")
    await client.run("""
        C: c FETCH 1:* (FLAGS RFC822.SIZE)
        S: * 1 FETCH (FLAGS (\\Seen \\Recent) RFC822.SIZE 19)
        S: * 2 FETCH (FLAGS (\\Draft \\Recent) RFC822.SIZE 20)
        S: * 3 FETCH (FLAGS (\\Recent) RFC822.SIZE 19)
        S: c OK *
        C: d FETCH 2 INTERNALDATE
        S: * 2 FETCH (INTERNALDATE "17-Jul-1996 02:44:25 +0000")
        S: d OK *
    """)


@pytest.mark.parametrize(
    ("last", "answer"),
    [
        (b" {0}\r\n", "NO [CANNOT] *"),  # RFC 3502 6.3.11: cancels the command
        (b" {0+}\r\n\r\n", "NO [CANNOT] *"),
        (b" {99999999}\r\n", "NO [TOOBIG] *"),
        (b" (\\Foo) {3}\r\n", "NO [CANNOT] *"),
        (b" (\\Foo) {3+}\r\nabc {4+}\r\nabcd\r\n", "NO [CANNOT] *"),
        (b" {3+}\r\na\0c\r\n", "BAD *"),
        (b" {3+}\r\na\0c {4+}\r\nabcd {3}\r\n", "BAD *"),
        (b" {3+}\r\nabc x\r\n", "BAD *"),
        (b" x\r\n", "BAD *"),
    ],
)
async def test_nothing_is_stored_when_one_fails(
    client: Transcript, last: bytes, answer: str
) -> None:
    await client.send(b"a APPEND INBOX {%d+}\r\n" % len(ONE) + ONE + last)
    await client.expect(f"a {answer}")
    await client.run("""
        C: b STATUS INBOX (MESSAGES UIDNEXT)
        S: * STATUS "INBOX" (MESSAGES 0 UIDNEXT 1)
        S: b OK *
    """)


async def test_to_nowhere(client: Transcript) -> None:
    await client.send(b"a APPEND Nowhere {3+}\r\nabc {3+}\r\nabc\r\nb NOOP\r\n")
    await client.run("""
        S: a NO [TRYCREATE] *
        S: b OK *
    """)


class TestLimits:
    @pytest.fixture
    def rmail_settings(self) -> dict[str, Any]:
        return {"imap": {"max_append_messages": 2, "max_message_bytes": 2 << 20}}

    async def test_there_is_a_most_of_messages(self, client: Transcript) -> None:
        await client.send(b"a APPEND INBOX {1+}\r\nx {1+}\r\ny\r\n")
        await client.expect("a OK [APPENDUID * 1:2] *")
        await client.send(b"b APPEND INBOX {1+}\r\nx {1+}\r\ny {1+}\r\nz\r\nc NOOP\r\n")
        await client.run("""
            S: b BAD [LIMIT] *
            S: c OK *
        """)

    async def test_what_memory_does_not_hold_goes_to_files(
        self, client: Transcript, rmail_server: RunningServer
    ) -> None:
        large = b"Subject: x\r\n\r\n" + b"y" * (1 << 20)
        await client.send(
            b"a APPEND INBOX {%d+}\r\n%b {%d+}\r\n%b\r\n" % (len(large), large, len(ONE), ONE)
        )
        await client.expect("a OK [APPENDUID * 1:2] *")
        await client.send(b"b EXAMINE INBOX\r\n")
        await client.until("b OK *")
        await client.run(f"""
            C: c FETCH 1:2 RFC822.SIZE
            S: * 1 FETCH (RFC822.SIZE {len(large)})
            S: * 2 FETCH (RFC822.SIZE {len(ONE)})
            S: c OK *
        """)
        assert not list((rmail_server.mail_root / "run").glob("spool-*"))

    async def test_one_message_too_large_ends_what_was_sent_without_asking(
        self, client: Transcript
    ) -> None:
        await client.send(b"a APPEND INBOX {1+}\r\nx {99999999+}\r\n")
        await client.expect("* BYE [TOOBIG] *")
