"""CREATE, DELETE, RENAME, LIST, LSUB, SUBSCRIBE, UNSUBSCRIBE (RFC 3501 6.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rmail_kernel.testing import Transcript

if TYPE_CHECKING:
    from plugins.rmail_imap.tests.conftest import Fill


async def test_create_list_delete(client: Transcript) -> None:
    await client.run("""
        C: a CREATE Work/Plans/
        S: a OK *
        C: b LIST "" W%
        S: * LIST (\\HasChildren) "/" "Work"
        S: b OK *
        C: c LIST "" W*
        S: * LIST (\\HasChildren) "/" "Work"
        S: * LIST (\\HasNoChildren) "/" "Work/Plans"
        S: c OK *
        C: d LIST Work/ %
        S: * LIST (\\HasNoChildren) "/" "Work/Plans"
        S: d OK *
        C: e CREATE Work/Plans
        S: e NO [ALREADYEXISTS] *
        C: f CREATE INBOX
        S: f NO [ALREADYEXISTS] *
        C: g DELETE Work
        S: g OK *
        C: h LIST "" W%
        S: * LIST (\\HasChildren \\Noselect) "/" "Work"
        S: h OK *
        C: i DELETE Work
        S: i NO [NONEXISTENT] *
        C: j DELETE Work/Plans
        S: j OK *
        C: k DELETE inbox
        S: k NO [CANNOT] *
        C: l LIST "" inb%
        S: * LIST (\\HasNoChildren) "/" "INBOX"
        S: l OK *
    """)


async def test_the_separator_is_asked_for_with_an_empty_pattern(client: Transcript) -> None:
    await client.run("""
        C: a LIST "" ""
        S: * LIST (\\Noselect) "/" ""
        S: a OK *
        C: b LSUB "" ""
        S: * LSUB (\\Noselect) "/" ""
        S: b OK *
    """)


async def test_names_beyond_ascii(client: Transcript) -> None:
    await client.run("""
        C: a CREATE "Entw&APw-rfe &- mehr"
        S: a OK *
        C: b LIST "" Entw*
        S: * LIST (\\HasNoChildren) "/" "Entw&APw-rfe &- mehr"
        S: b OK *
        C: c STATUS "Entw&APw-rfe &- mehr" (MESSAGES)
        S: * STATUS "Entw&APw-rfe &- mehr" (MESSAGES 0)
        S: c OK *
        C: d CREATE "a&b"
        S: d NO [CANNOT] *
    """)


async def test_rename(client: Transcript) -> None:
    await client.run("""
        C: a CREATE a/b
        S: a OK *
        C: b RENAME a c
        S: b OK *
        C: c LIST "" c*
        S: * LIST (\\HasChildren) "/" "c"
        S: * LIST (\\HasNoChildren) "/" "c/b"
        S: c OK *
        C: d RENAME a d
        S: d NO [NONEXISTENT] *
        C: e RENAME c/b c
        S: e NO [ALREADYEXISTS] *
    """)


@pytest.mark.parametrize("raw", [b"&AAA-", b"a&AA0ACg-b", b"&AH8-", b"&AIA-", b"&ICg-", b"&ICk-"])
async def test_no_mailbox_gets_control_characters_in_its_name(
    client: Transcript, raw: bytes
) -> None:
    """RFC 9755 3."""
    await client.send(b"a CREATE " + raw + b"\r\nb RENAME Sent " + raw + b"\r\n")
    await client.run("""
        S: a NO [CANNOT] *
        S: b NO [CANNOT] *
    """)


async def test_a_level_without_a_mailbox_is_renamed(client: Transcript) -> None:
    # RFC 9051 6.3.6, the first example
    await client.run("""
        C: a CREATE foo/bar
        S: a OK *
        C: b DELETE foo
        S: b OK *
        C: c RENAME foo zowie
        S: c OK *
        C: d LIST "" (foo* zowie*)
        S: * LIST () "/" "zowie/bar"
        S: d OK *
        C: e ENABLE IMAP4rev2
        S: * ENABLED IMAP4rev2
        S: e OK *
        C: f RENAME zowie foo
        S: f OK *
        C: g RENAME zowie foo
        S: g NO [NONEXISTENT] *
    """)


async def test_a_pattern_that_is_not_taken_is_no_error(client: Transcript) -> None:
    # RFC 9051 6.3.9
    await client.send(b'a LIST "" "' + b"x" * 1025 + b'"\r\nb LSUB "" "' + b"x" * 1025 + b'"\r\n')
    await client.run("S: a OK *\nS: b OK *")


async def test_rename_of_inbox_moves_its_messages(client: Transcript, fill: Fill) -> None:
    await fill(2)
    await client.run("""
        C: a RENAME INBOX old
        S: a OK *
        C: b STATUS INBOX (MESSAGES)
        S: * STATUS "INBOX" (MESSAGES 0)
        S: b OK *
        C: c STATUS old (MESSAGES)
        S: * STATUS "old" (MESSAGES 2)
        S: c OK *
    """)


async def test_subscriptions(client: Transcript) -> None:
    await client.run("""
        C: a CREATE a/b
        S: a OK *
        C: b SUBSCRIBE a/b
        S: b OK *
        C: c UNSUBSCRIBE a
        S: c OK *
        C: d LSUB "" a*
        S: * LSUB () "/" "a/b"
        S: d OK *
        C: e LSUB "" a%
        S: * LSUB (\\Noselect) "/" "a"
        S: e OK *
        C: f UNSUBSCRIBE a/b
        S: f OK *
        C: g LSUB "" a*
        S: g OK *
        C: h SUBSCRIBE nowhere
        S: h NO [NONEXISTENT] *
    """)


async def test_a_subscription_outlives_its_mailbox(client: Transcript) -> None:
    await client.run("""
        C: a CREATE a/b
        S: a OK *
        C: b SUBSCRIBE a/b
        S: b OK *
        C: c DELETE a/b
        S: c OK *
        C: d LSUB "" a*
        S: * LSUB () "/" "a/b"
        S: d OK *
        C: e LIST "" a*
        S: * LIST (\\HasNoChildren) "/" "a"
        S: e OK *
        C: f SUBSCRIBE a/b
        S: f OK *
        C: g UNSUBSCRIBE a/b
        S: g OK *
        C: h LSUB "" a*
        S: h OK *
        C: i UNSUBSCRIBE a/b
        S: i OK *
        C: j UNSUBSCRIBE never
        S: j OK *
        C: k UNSUBSCRIBE "&bad"
        S: k NO [CANNOT] *
    """)


async def test_special_uses_are_listed(client: Transcript) -> None:
    await client.run("""
        C: a LIST "" %
        S: * LIST (\\HasNoChildren) "/" "INBOX"
        S: * LIST (\\HasNoChildren \\Archive) "/" "Archive"
        S: * LIST (\\HasNoChildren \\Drafts) "/" "Drafts"
        S: * LIST (\\HasNoChildren \\Junk) "/" "Junk"
        S: * LIST (\\HasNoChildren \\Sent) "/" "Sent"
        S: * LIST (\\HasNoChildren \\Trash) "/" "Trash"
        S: a OK *
    """)


@pytest.mark.parametrize("name", ["&AGE-", "&Jjo-!&", "a&Jjo", '"&U,BTFw-&ZeVnLIqe-"', "&AGEA6Q-"])
async def test_a_name_has_one_form_only(client: Transcript, name: str) -> None:
    # RFC 3501 5.1.3: no printable ASCII and no needless shifts in modified base64
    await client.run(f"""
        C: a CREATE {name}
        S: a NO [CANNOT] *
        C: b SELECT {name}
        S: b NO [CANNOT] *
    """)
