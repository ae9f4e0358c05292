"""message/global for clients that know it and for those that do not (RFC 9051 7.5.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from rmail_imap.opaque import opaque

from rmail_kernel.testing import Transcript

if TYPE_CHECKING:
    from plugins.rmail_imap.tests.conftest import Fill

_GLOBAL = b"Content-Type: message/global\r\n\r\nSubject: x\r\n\r\nHi\r\n"
_PARTS = (
    b"Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\n"
    + _GLOBAL
    + b"\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: y\r\n\r\nHo\r\n--b--\r\n"
)
_ENVELOPE = '(NIL "x" NIL NIL NIL NIL NIL NIL NIL NIL)'
_TEXT = '("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 4 1)'
_BASIC = '"message" "global" NIL NIL NIL "7bit" 18'


async def test_a_client_without_utf8_gets_no_envelope_of_it(client: Transcript, fill: Fill) -> None:
    await fill([_GLOBAL])
    for _ in range(2):  # what is kept for sessions of one kind is not given to others
        await client.run("C: a EXAMINE INBOX")
        await client.until("a OK *")
        await client.run(f"""
            C: b FETCH 1 BODY
            S: * 1 FETCH (BODY ({_BASIC}))
            S: b OK *
            C: c FETCH 1 BODYSTRUCTURE
            S: * 1 FETCH (BODYSTRUCTURE ({_BASIC} NIL NIL NIL NIL))
            S: c OK *
        """)
    await client.run("C: u ENABLE UTF8=ACCEPT\nS: * ENABLED UTF8=ACCEPT\nS: u OK *")
    await client.run(f"""
        C: d FETCH 1 BODY
        S: * 1 FETCH (BODY ({_BASIC} {_ENVELOPE} {_TEXT} 3))
        S: d OK *
        C: e FETCH 1 (UID BODYSTRUCTURE)
        S: * 1 FETCH (UID 1 BODYSTRUCTURE ({_BASIC} {_ENVELOPE} * 3 NIL NIL NIL NIL))
        S: e OK *
    """)


async def test_other_messages_within_keep_theirs(client: Transcript, fill: Fill) -> None:
    await fill([_PARTS])
    await client.run("C: a SELECT INBOX")
    await client.until("a OK *")
    await client.run("""
        C: b FETCH 1 BODY
        S: * 1 FETCH (BODY (("message" "global" * 18)("message" "rfc822" * "y" * 2) "report"))
        S: b OK *
    """)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (
            b'("message" "global" ("a" "(\\"") {3}\r\n()( NIL "8bit" 9'
            b' (NIL {1}\r\n") ("x" (")")) 3)',
            b'("message" "global" ("a" "(\\"") {3}\r\n()( NIL "8bit" 9)',
        ),
        (
            b'(("message" "global" NIL NIL NIL "7bit" 1 (E) (B) 1 NIL)'
            b'("text" {20}\r\n("message" "global"  NIL) "mixed")',
            b'(("message" "global" NIL NIL NIL "7bit" 1 NIL)'
            b'("text" {20}\r\n("message" "global"  NIL) "mixed")',
        ),
        (
            b'("message" "global" NIL NIL NIL "7bit" 1 (E)'
            b' ("message" "global" NIL NIL NIL "7bit" 1 (E) (B) 1) 1)',
            b'("message" "global" NIL NIL NIL "7bit" 1)',
        ),
        (b'("message" "rfc822" NIL)', b'("message" "rfc822" NIL)'),
    ],
)
def test_what_looks_like_it_in_a_string_is_none(raw: bytes, expected: bytes) -> None:
    assert opaque(raw) == expected
