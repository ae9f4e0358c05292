"""FETCH and UID FETCH (RFC 3501 6.4.5, 7.4.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rmail_kernel.testing import RunningServer

if TYPE_CHECKING:
    from plugins.rmail_imap.tests.conftest import Connect, Fill

_MIXED = b"""From: =?utf-8?q?J=C3=B6rg?= <j@example.com>\r
To: alice@example.com, "Doe, Jane" <jane@example.com>\r
Subject: mixed\r
Date: Tue, 3 Feb 2026 10:00:00 +0100\r
Message-ID: <m1@example.com>\r
X-Odd: 1\r
MIME-Version: 1.0\r
Content-Type: multipart/mixed; boundary=b\r
\r
--b\r
Content-Type: text/plain; charset=utf-8\r
\r
hello\r
--b\r
Content-Type: message/rfc822\r
\r
Subject: inner\r
\r
inner body\r
--b--\r
"""


async def test_everything_on_the_view_and_in_the_store(connect: Connect, fill: Fill) -> None:
    await fill([_MIXED])
    client = await connect("INBOX")
    await client.run(f"""
        C: a FETCH 1 (UID FLAGS RFC822.SIZE)
        S: * 1 FETCH (UID 1 FLAGS (\\Recent) RFC822.SIZE {len(_MIXED)})
        S: a OK FETCH completed
        C: b FETCH 1:* FAST
        S: * 1 FETCH (FLAGS (\\Recent) INTERNALDATE "*-*-* *:*:* +0000" RFC822.SIZE {len(_MIXED)})
        S: b OK *
        C: c UID FETCH 1 ENVELOPE
        S: * 1 FETCH (UID 1 ENVELOPE ("Tue, 3 Feb 2026 *" "mixed" ((*"j" "example.com")) *
        S: c OK UID FETCH completed
        C: d FETCH 1 (BODY BODYSTRUCTURE)
        S: * 1 FETCH (BODY (("text" "plain" *) "mixed") BODYSTRUCTURE (("text" *) "mixed" *))
        S: d OK *
    """)


async def test_fields_that_are_kept_and_others_come_in_one_response(
    connect: Connect, fill: Fill
) -> None:
    await fill([b"Subject: s\r\nX-Foo: a\r\nX-Foo: b\r\n\r\nbody\r\n"])
    client = await connect("INBOX")
    await client.run("""
        C: a FETCH 1 (BODY.PEEK[HEADER.FIELDS (Subject)] BODY.PEEK[HEADER.FIELDS (X-Foo)])
        S: * 1 FETCH (BODY[HEADER.FIELDS (Subject)] {14}
        S: Subject: s
        S:
        S:  BODY[HEADER.FIELDS (X-Foo)] {22}
        S: X-Foo: a
        S: X-Foo: b
        S:
        S: )
        S: a OK *
        C: b FETCH 1 (BODY.PEEK[HEADER.FIELDS (X-Foo Subject)] BODY.PEEK[HEADER.FIELDS (To)])
        S: * 1 FETCH (BODY[HEADER.FIELDS (X-Foo Subject)] {34}
        S: Subject: s
        S: X-Foo: a
        S: X-Foo: b
        S:
        S:  BODY[HEADER.FIELDS (To)] {2}
        S:
        S: )
        S: b OK *
    """)


async def test_sections(connect: Connect, fill: Fill) -> None:
    await fill([_MIXED])
    client = await connect("INBOX")
    await client.run("""
        C: a FETCH 1 (BODY.PEEK[1] BODY.PEEK[2.HEADER] BODY.PEEK[2.TEXT] BODY.PEEK[1.MIME])
        S: * 1 FETCH (BODY[1] {5}
        S: hello BODY[2.HEADER] {18}
        S: Subject: inner
        S:
        S:  BODY[2.TEXT] {10}
        S: inner body BODY[1.MIME] {43}
        S: Content-Type: text/plain; charset=utf-8
        S:
        S: )
        S: a OK *
        C: b FETCH 1 BODY.PEEK[9]
        S: * 1 FETCH (BODY[9] NIL)
        S: b OK *
        C: c FETCH 1 (BODY.PEEK[]<5.3> BODY.PEEK[]<99999.3>)
        S: * 1 FETCH (BODY[]<5> {3}
        S:  =? BODY[]<99999> {0}
        S: )
        S: c OK *
    """)


async def test_header_fields_from_the_cache_and_from_the_message(
    connect: Connect, fill: Fill
) -> None:
    await fill([_MIXED])
    client = await connect("INBOX")
    await client.run("""
        C: a FETCH 1 BODY.PEEK[HEADER.FIELDS (Subject Cc)]
        S: * 1 FETCH (BODY[HEADER.FIELDS (Subject Cc)] {18}
        S: Subject: mixed
        S:
        S: )
        S: a OK *
        C: b FETCH 1 BODY.PEEK[HEADER.FIELDS (X-Odd)]<2.3>
        S: * 1 FETCH (BODY[HEADER.FIELDS (X-Odd)]<2> {3}
        S: Odd)
        S: b OK *
        C: c FETCH 1 BODY.PEEK[HEADER.FIELDS.NOT (From To Date Message-ID Mime-Version X-Odd)]
        S: * 1 FETCH (BODY[HEADER.FIELDS.NOT (*)] {61}
        S: Subject: mixed
        S: Content-Type: multipart/mixed; boundary=b
        S:
        S: )
        S: c OK *
    """)


async def test_a_header_too_large_for_the_cache_is_read_from_the_message(
    connect: Connect, fill: Fill
) -> None:
    long = b"".join(b"To: user%d@example.com\r\n" % number for number in range(4000))
    await fill([long + b"Subject: last\r\n\r\nx\r\n"])
    client = await connect("INBOX")
    await client.run("""
        C: a FETCH 1 BODY.PEEK[HEADER.FIELDS (Subject)]
        S: * 1 FETCH (BODY[HEADER.FIELDS (Subject)] {17}
        S: Subject: last
        S:
        S: )
        S: a OK *
    """)


async def test_fetching_a_body_sets_seen_and_says_so(connect: Connect, fill: Fill) -> None:
    await fill(2)
    client = await connect("INBOX")
    other = await connect("INBOX")
    await client.run("""
        C: a FETCH 1 BODY[TEXT]
        S: * 1 FETCH (FLAGS (\\Seen \\Recent) BODY[TEXT] {9}
        S: Hello 1
        S: )
        S: a OK *
        C: b FETCH 1 (BODY[TEXT])
        S: * 1 FETCH (BODY[TEXT] {9}
        S: Hello 1
        S: )
        S: b OK *
        C: c FETCH 2 RFC822.HEADER
    """)
    await client.until("c OK *")
    await client.run("""
        C: d FETCH 2 (FLAGS RFC822.TEXT)
        S: * 2 FETCH (FLAGS (\\Seen \\Recent) RFC822.TEXT {9}
        S: Hello 2
        S: )
        S: d OK *
    """)
    await other.run("""
        C: a NOOP
        S: * 1 FETCH (UID 1 FLAGS (\\Seen))
        S: * 2 FETCH (UID 2 FLAGS (\\Seen))
        S: a OK *
    """)


async def test_a_large_body_comes_whole(connect: Connect, fill: Fill) -> None:
    raw = b"Subject: large\r\n\r\n" + b"0123456789abcdef" * 100_000
    await fill([raw])
    client = await connect("INBOX")
    await client.send(b"a FETCH 1 (BODY.PEEK[] BODY.PEEK[TEXT]<16.32>)\r\n")
    await client.run(f"S: * 1 FETCH (BODY[] {{{len(raw)}}}")
    assert await client.reader.readexactly(len(raw)) == raw
    await client.run("""
        S:  BODY[TEXT]<16> {32}
        S: 0123456789abcdef0123456789abcdef)
        S: a OK *
    """)


async def test_numbers_beyond_the_mailbox(connect: Connect, fill: Fill) -> None:
    client = await connect("INBOX")
    await client.run("""
        C: a FETCH 1:* FLAGS
        S: a OK *
        C: b UID FETCH 1:* FLAGS
        S: b OK *
        C: c FETCH 1 FLAGS
        S: c BAD *
    """)
    await fill(3)
    await client.run("""
        C: d UID FETCH 1:* FLAGS
        S: * 3 EXISTS
        S: * 3 RECENT
        S: d OK *
        C: e UID FETCH 90:* FLAGS
        S: * 3 FETCH (UID 3 FLAGS (\\Recent))
        S: e OK *
        C: f FETCH 3,1:2,2 UID
        S: * 1 FETCH (UID 1)
        S: * 2 FETCH (UID 2)
        S: * 3 FETCH (UID 3)
        S: f OK *
    """)


async def test_a_message_expunged_elsewhere_is_left_out(connect: Connect, fill: Fill) -> None:
    await fill(3)
    client, other = await connect("INBOX"), await connect("INBOX")
    await other.run("""
        C: a STORE 2 +FLAGS.SILENT \\Deleted
        S: a OK *
        C: b EXPUNGE
        S: * 2 EXPUNGE
        S: b OK *
    """)
    await client.run("""
        C: a FETCH 1:3 UID
        S: * 1 FETCH (UID 1)
        S: * 3 FETCH (UID 3)
        S: a OK *
        C: b FETCH 3 (UID RFC822.SIZE)
        S: * 3 FETCH (UID 3 RFC822.SIZE *)
        S: b OK *
        C: c FETCH 2 BODY.PEEK[]
        S: c OK *
        C: d NOOP
        S: * 2 EXPUNGE
        S: d OK *
        C: e FETCH 2 UID
        S: * 2 FETCH (UID 3)
        S: e OK *
    """)


async def test_a_file_that_is_gone_spoils_no_other_message(
    connect: Connect, fill: Fill, rmail_server: RunningServer
) -> None:
    await fill(3)
    client = await connect("INBOX")
    files = sorted(rmail_server.mail_root.rglob("*.eml"))
    assert len(files) == 3
    files[1].unlink()
    await client.send(b"a FETCH 1:3 BODY.PEEK[TEXT]\r\n")
    lines = await client.until("a *")
    assert [line for line in lines if line.startswith("Hello")] == ["Hello 1", "Hello 3"]
    assert "SERVERBUG" not in lines[-1]


async def test_a_long_answer_lets_others_be_answered_in_between(
    rmail_server: RunningServer, connect: Connect, fill: Fill
) -> None:
    await fill([b"Subject: %b\r\n\r\nhi\r\n" % (b"s" * 900)] * 800)
    busy, other = await connect("INBOX"), await connect("INBOX")
    sessions = rmail_server.kernel.sessions
    before = sum(session.facts().sent_bytes for session in sessions)
    await busy.send(b"a FETCH 1:* (ENVELOPE)\r\n")
    await other.run("C: b NOOP\nS: b OK *")
    meanwhile = sum(session.facts().sent_bytes for session in sessions) - before
    await busy.until("a OK *")
    whole = sum(session.facts().sent_bytes for session in sessions) - before
    assert whole > 800 * 900
    assert meanwhile < whole / 2
