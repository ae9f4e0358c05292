"""GETMETADATA, SETMETADATA (RFC 5464) and METADATA in LIST (RFC 9590)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from rmail_imap.annotations import AnnotationWatch

from rmail_kernel.storage.ids import AccountId
from rmail_kernel.storage.mail import MAX_ANNOTATION_BYTES, MAX_ANNOTATIONS
from rmail_kernel.testing import RunningServer, Transcript

if TYPE_CHECKING:
    from plugins.rmail_imap.tests.conftest import Connect


async def test_annotations_are_set_told_and_removed(client: Transcript) -> None:
    await client.run("""
        C: a SETMETADATA INBOX (/private/comment "mine" /SHARED/Comment "ours\\"")
        S: a OK *
        C: b GETMETADATA INBOX (/shared/comment /private/comment /shared/none)
        S: * METADATA "INBOX" (/shared/comment "ours\\"" /private/comment "mine" /shared/none NIL)
        S: b OK GETMETADATA completed
        C: c GETMETADATA "" /shared/comment
        S: * METADATA "" (/shared/comment NIL)
        S: c OK *
        C: d SETMETADATA "" (/shared/comment "all")
        S: d OK *
        C: e SETMETADATA inbox (/private/comment NIL)
        S: e OK *
        C: f GETMETADATA INBOX /private/comment
        S: * METADATA "INBOX" (/private/comment NIL)
        S: f OK *
        C: g GETMETADATA "" /Shared/Comment
        S: * METADATA "" (/shared/comment "all")
        S: g OK *
    """)


async def test_values_are_any_bytes(client: Transcript) -> None:
    await client.send(
        b"a SETMETADATA Sent (/private/x {4+}\r\n\xc3\xa9\r\n /private/y ~{3+}\r\na\0b)\r\n"
    )
    await client.run("S: a OK *\nC: b GETMETADATA Sent (/private/x /private/y)")
    await client.run('S: * METADATA "Sent" (/private/x {4}')
    assert await client.line() == "é"
    assert await client.line() == " /private/y ~{3}"
    assert await client.line() == "a\0b)"
    await client.run("""
        S: b OK *
        C: c SETMETADATA Sent (/private/z {3}
        S: + *
    """)
    await client.send(b"a\0b)\r\n")
    await client.run("S: c BAD *")


async def test_depth_and_size_choose_what_is_told(client: Transcript) -> None:
    await client.run("""
        C: a SETMETADATA INBOX (/shared/a "1" /shared/a/b "22" /shared/a/b/c "333" /shared/ab "4")
        S: a OK *
        C: b GETMETADATA INBOX (DEPTH 1) /shared/a
        S: * METADATA "INBOX" (/shared/a "1" /shared/a/b "22")
        S: b OK *
        C: c GETMETADATA (DEPTH infinity) INBOX (/shared /shared/a)
        S: * METADATA "INBOX" (/shared/a "1" /shared/a/b "22" /shared/a/b/c "333" /shared/ab "4")
        S: c OK *
        C: d GETMETADATA INBOX (MAXSIZE 1 DEPTH infinity) (/shared/a)
        S: * METADATA "INBOX" (/shared/a "1")
        S: d OK [METADATA LONGENTRIES 3] *
        C: e GETMETADATA INBOX (MAXSIZE 0) /shared/a
        S: e OK [METADATA LONGENTRIES 1] *
        C: f GETMETADATA INBOX (DEPTH 0) /shared/a
        S: * METADATA "INBOX" (/shared/a "1")
        S: f OK *
        C: g GETMETADATA INBOX (DEPTH 1) /private
        S: g OK *
    """)


@pytest.mark.parametrize(
    "arguments",
    [
        "GETMETADATA INBOX",
        "GETMETADATA INBOX ()",
        "GETMETADATA INBOX /comment",
        "GETMETADATA INBOX /private/*",
        "GETMETADATA INBOX /private/a%",
        "GETMETADATA INBOX /private/",
        "GETMETADATA INBOX /private//a",
        "GETMETADATA INBOX private/a",
        "GETMETADATA (DEPTH 2) INBOX /private/a",
        "GETMETADATA (COLOUR 2) INBOX /private/a",
        "GETMETADATA (DEPTH 1 DEPTH 1) INBOX /private/a",
        "GETMETADATA INBOX (" + " ".join(f"/private/{n}" for n in range(201)) + ")",
        "SETMETADATA INBOX /private/a x",
        "SETMETADATA INBOX (/private/a)",
        "SETMETADATA INBOX ()",
        "SETMETADATA INBOX (/private/a atom)",
        'SETMETADATA INBOX (/private "x")',
        'SETMETADATA INBOX (/shared/vendor "x")',
        'SETMETADATA INBOX (/shared/vendor/token "x")',
    ],
)
async def test_what_is_no_metadata_command_is_bad(client: Transcript, arguments: str) -> None:
    await client.send(f"a {arguments}\r\n".encode())
    await client.run("S: a BAD *")


async def test_names_may_hold_spaces_and_stand_without_parentheses(client: Transcript) -> None:
    # RFC 5464 3.2 and the examples of 4.4.1
    await client.run("""
        C: a SETMETADATA INBOX ("/private/a b" "x" /shared/vendor/token/c "y")
        S: a OK *
        C: b GETMETADATA INBOX "/private/a b" /shared/vendor/token/c
        S: * METADATA "INBOX" ("/private/a b" "x" /shared/vendor/token/c "y")
        S: b OK *
    """)


async def test_the_special_use_is_an_annotation(client: Transcript) -> None:
    # RFC 6154 4 and 5.4
    await client.run("""
        C: a CREATE "Outgoing"
        S: a OK *
        C: b GETMETADATA Sent (/private/specialuse)
        S: * METADATA "Sent" (/private/specialuse "\\\\Sent")
        S: b OK *
        C: c GETMETADATA Outgoing /private/specialuse
        S: * METADATA "Outgoing" (/private/specialuse NIL)
        S: c OK *
        C: d SETMETADATA Outgoing (/private/specialuse "\\\\Sent" /private/comment "x")
        S: d NO [USEATTR] *
        C: e SETMETADATA Sent (/private/specialuse NIL)
        S: e OK *
        C: f SETMETADATA Outgoing (/private/specialuse "\\\\sent")
        S: f OK *
        C: g LIST "" (Sent Outgoing) RETURN (SPECIAL-USE METADATA (/private/specialuse))
        S: * LIST (\\Sent) "/" "Outgoing"
        S: * METADATA "Outgoing" (/private/specialuse "\\\\Sent")
        S: * LIST () "/" "Sent"
        S: * METADATA "Sent" (/private/specialuse NIL)
        S: g OK *
        C: h SETMETADATA Sent (/private/specialuse "\\\\All")
        S: h NO [USEATTR] *
        C: i SETMETADATA Sent (/private/specialuse "\\\\Mystery")
        S: i NO [USEATTR] *
        C: j SETMETADATA INBOX (/private/specialuse "\\\\Flagged")
        S: j NO [USEATTR] *
        C: k SETMETADATA Sent (/private/specialuse "\\\\Drafts \\\\Archive")
        S: k NO [USEATTR] *
    """)


@pytest.mark.parametrize(
    "rmail_settings", [{"imap": {"admin_contact": "mailto:postmaster@example.com"}}]
)
async def test_the_administrator_is_told_and_nobody_else_says_who_it_is(
    client: Transcript,
) -> None:
    # RFC 5464 3.2.1.1
    await client.run("""
        C: a GETMETADATA "" /shared/admin
        S: * METADATA "" (/shared/admin "mailto:postmaster@example.com")
        S: a OK *
        C: b SETMETADATA "" (/shared/admin "tel:1" /private/comment "x")
        S: b NO [NOPERM] *
        C: c GETMETADATA "" (DEPTH infinity) (/shared /private)
        S: * METADATA "" (/shared/admin "mailto:postmaster@example.com")
        S: c OK *
        C: d GETMETADATA INBOX /shared/admin
        S: * METADATA "INBOX" (/shared/admin NIL)
        S: d OK *
    """)


async def test_annotations_of_inbox_are_copied_when_it_is_renamed(client: Transcript) -> None:
    # RFC 5464 4.1
    await client.run("""
        C: a SETMETADATA INBOX (/private/comment "x")
        S: a OK *
        C: b RENAME INBOX Old
        S: b OK *
        C: c LIST "" (INBOX Old) RETURN (METADATA (/private/comment))
        S: * LIST () "/" "INBOX"
        S: * METADATA "INBOX" (/private/comment "x")
        S: * LIST () "/" "Old"
        S: * METADATA "Old" (/private/comment "x")
        S: c OK *
    """)


async def test_limits_have_their_codes_and_nothing_is_set(client: Transcript) -> None:
    size = MAX_ANNOTATION_BYTES + 1
    await client.send(b"a SETMETADATA INBOX (/private/s NIL /private/b {%d+}\r\n" % size)
    await client.send(b"x" * size + b")\r\n")
    await client.run(f"S: a NO [METADATA MAXSIZE {MAX_ANNOTATION_BYTES}] *")
    entries = " ".join(f'/private/{n} "v"' for n in range(MAX_ANNOTATIONS + 1))
    await client.send(f"b SETMETADATA INBOX ({entries})\r\n".encode())
    await client.run("""
        S: b NO [METADATA TOOMANY] *
        C: c GETMETADATA INBOX (DEPTH infinity) /private
        S: c OK *
        C: d SETMETADATA nowhere (/private/a "x")
        S: d NO [NONEXISTENT] *
        C: e GETMETADATA nowhere /private/a
        S: e NO [NONEXISTENT] *
    """)


async def test_annotations_follow_their_mailbox(client: Transcript) -> None:
    await client.run("""
        C: a CREATE one
        S: a OK *
        C: b SETMETADATA one (/private/a "x")
        S: b OK *
        C: c RENAME one two
        S: c OK *
        C: d GETMETADATA two /private/a
        S: * METADATA "two" (/private/a "x")
        S: d OK *
        C: e DELETE two
        S: e OK *
        C: f CREATE two
        S: f OK *
        C: g GETMETADATA two /private/a
        S: * METADATA "two" (/private/a NIL)
        S: g OK *
    """)


async def test_list_tells_annotations(connect: Connect) -> None:
    client = await connect()
    await client.run("""
        C: a SETMETADATA Sent (/shared/color "red")
        S: a OK *
        C: b LIST "" (INBOX Sent) RETURN (METADATA (/shared/color) STATUS (MESSAGES))
        S: * LIST () "/" "INBOX"
        S: * STATUS "INBOX" (MESSAGES 0)
        S: * METADATA "INBOX" (/shared/color NIL)
        S: * LIST (\\Sent) "/" "Sent"
        S: * STATUS "Sent" (MESSAGES 0)
        S: * METADATA "Sent" (/shared/color "red")
        S: b OK *
        C: c LIST "" % RETURN (METADATA)
        S: c BAD *
        C: d LIST "" % RETURN (METADATA ())
        S: d BAD *
    """)


async def test_changes_by_others_are_told_without_values(connect: Connect) -> None:
    client, other = await connect(), await connect()
    await client.run("""
        C: a SETMETADATA Sent (/shared/old "1")
        S: a OK *
        C: b ENABLE METADATA
        S: * ENABLED METADATA
        S: b OK *
        C: c SETMETADATA Sent (/shared/own "1")
        S: c OK *
        C: d NOOP
        S: d OK *
    """)
    await other.run("""
        C: a SETMETADATA Sent (/shared/new "2" /shared/old NIL)
        S: a OK *
        C: b SETMETADATA "" (/private/comment "3")
        S: b OK *
        C: c NOOP
        S: c OK *
    """)
    await client.send(b"e NOOP\r\n")
    heard = {await client.line(), await client.line()}
    assert heard == {
        '* METADATA "Sent" /shared/new /shared/old',
        '* METADATA "" /private/comment',
    }
    await client.run("""
        S: e OK *
        C: f NOOP
        S: f OK *
        C: g UNAUTHENTICATE
        S: g OK *
    """)


async def test_changes_by_others_end_no_idle_but_are_told_in_it(connect: Connect) -> None:
    client, other = await connect("INBOX"), await connect()
    await client.run("""
        C: a ENABLE METADATA
        S: * ENABLED METADATA
        S: a OK *
        C: b IDLE
        S: + *
    """)
    await other.run("C: a SETMETADATA Sent (/shared/x {1+}\nC: y)\nS: a OK *")
    await client.run('S: * METADATA "Sent" /shared/x\nC: DONE\nS: b OK *')


async def test_nobody_is_told_who_did_not_ask(connect: Connect) -> None:
    client, other = await connect(), await connect()
    await other.run('C: a SETMETADATA Sent (/shared/x "y")\nS: a OK *')
    await client.run("C: b NOOP\nS: b OK *")


async def test_nothing_is_remembered_of_mailboxes_that_are_gone(
    rmail_server: RunningServer,
) -> None:
    kernel, alice = rmail_server.kernel, AccountId("alice@example.com")
    watch = AnnotationWatch(kernel.mail, kernel.events, alice, lambda: None)
    try:
        assert await watch.news(is_utf8=False) == []
        before = len(watch._known)
        for n in range(3):
            await kernel.mail.create(alice, f"box{n}")
            await watch.news(is_utf8=False)
            await kernel.mail.delete(alice, f"box{n}")
            await watch.news(is_utf8=False)
        assert len(watch._known) == before
    finally:
        watch.close()
