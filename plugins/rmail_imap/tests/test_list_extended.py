"""LIST with options (RFC 5258, 5819), and special uses in LIST and CREATE (RFC 6154)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from rmail_imap.patterns import MAX_PATTERN_BYTES

from rmail_kernel.storage.ids import AccountId
from rmail_kernel.storage.mail import MailboxStatus
from rmail_kernel.testing import RunningServer, Transcript

if TYPE_CHECKING:
    from plugins.rmail_imap.tests.conftest import Fill

_TREE = """
    C: m1 CREATE Work/Plans/Old
    S: m1 OK *
    C: m2 SUBSCRIBE Work/Plans
    S: m2 OK *
    C: m3 UNSUBSCRIBE Work
    S: m3 OK *
    C: m4 UNSUBSCRIBE Work/Plans/Old
    S: m4 OK *
"""


_GONE = """
    C: m1 CREATE Gone/Inner
    S: m1 OK *
    C: m2 SUBSCRIBE Gone
    S: m2 OK *
    C: m3 SUBSCRIBE Gone/Inner
    S: m3 OK *
    C: m4 DELETE Gone/Inner
    S: m4 OK *
    C: m5 DELETE Gone
    S: m5 OK *
"""


async def test_subscribed_mailboxes_are_selected_and_marked(client: Transcript) -> None:
    await client.run(f"""{_TREE}
        C: a LIST (SUBSCRIBED) "" W*
        S: * LIST (\\Subscribed) "/" "Work/Plans"
        S: a OK *
        C: b LIST () "" Work* RETURN (SUBSCRIBED CHILDREN)
        S: * LIST (\\HasChildren) "/" "Work"
        S: * LIST (\\HasChildren \\Subscribed) "/" "Work/Plans"
        S: * LIST (\\HasNoChildren) "/" "Work/Plans/Old"
        S: b OK *
        C: c LIST "" Work RETURN ()
        S: * LIST () "/" "Work"
        S: c OK *
        C: d LIST (REMOTE) "" Work
        S: * LIST () "/" "Work"
        S: d OK *
    """)


async def test_several_patterns_name_each_mailbox_once(client: Transcript) -> None:
    await client.run(f"""{_TREE}
        C: a LIST "" (Work Work* "" INBOX)
        S: * LIST () "/" "INBOX"
        S: * LIST () "/" "Work"
        S: * LIST () "/" "Work/Plans"
        S: * LIST () "/" "Work/Plans/Old"
        S: a OK *
        C: b LIST "" ("")
        S: b OK *
        C: c LIST () "" ""
        S: c OK *
        C: d LIST "" "" RETURN (CHILDREN)
        S: d OK *
    """)


async def test_names_above_a_match_are_told_with_recursivematch(client: Transcript) -> None:
    # RFC 5258 3.5; RFC 5819 2 spares them of STATUS
    await client.run(f"""{_TREE}
        C: a LIST (SUBSCRIBED RECURSIVEMATCH) "" W% RETURN (STATUS (MESSAGES))
        S: * LIST () "/" "Work" ("CHILDINFO" ("SUBSCRIBED"))
        S: a OK *
        C: b DELETE Work
        S: b OK *
        C: c LIST (RECURSIVEMATCH SUBSCRIBED) "" W*
        S: * LIST (\\Subscribed) "/" "Work/Plans"
        S: c OK *
        C: f LIST (RECURSIVEMATCH SUBSCRIBED) "" Work
        S: * LIST (\\HasChildren \\NonExistent) "/" "Work" ("CHILDINFO" ("SUBSCRIBED"))
        S: f OK *
        C: d LIST (RECURSIVEMATCH) "" *
        S: d BAD *
        C: e LIST (RECURSIVEMATCH REMOTE) "" *
        S: e BAD *
    """)


async def test_status_follows_each_mailbox(client: Transcript, fill: Fill) -> None:
    await client.run(f"{_TREE}\nC: n DELETE Work\nS: n OK *")
    (first,) = await fill([b"Subject: x\r\n\r\nfive!"])
    assert first.uid == 1
    await client.run("""
        C: a LIST "" (INBOX Work Work/Plans) RETURN (STATUS (MESSAGES SIZE) SUBSCRIBED)
        S: * LIST (\\Subscribed) "/" "INBOX"
        S: * STATUS "INBOX" (MESSAGES 1 SIZE 19)
        S: * LIST (\\HasChildren \\NonExistent) "/" "Work"
        S: * LIST (\\Subscribed) "/" "Work/Plans"
        S: * STATUS "Work/Plans" (MESSAGES 0 SIZE 0)
        S: a OK *
        C: b STATUS INBOX (SIZE)
        S: * STATUS "INBOX" (SIZE 19)
        S: b OK *
    """)


async def test_a_name_without_mailbox_is_told_for_what_is_not_named(client: Transcript) -> None:
    # RFC 5258 3, and example 11 of 5
    await client.run(f"""{_TREE}
        C: n1 DELETE Work
        S: n1 OK *
        C: n2 DELETE Work/Plans
        S: n2 OK *
        C: a LIST () "" W*
        S: * LIST () "/" "Work/Plans/Old"
        S: a OK *
        C: b LIST () "" W%
        S: * LIST (\\HasChildren \\NonExistent) "/" "Work"
        S: b OK *
        C: c LIST "" (W% Work/Plans/Old)
        S: * LIST () "/" "Work/Plans/Old"
        S: c OK *
        C: d LIST "" W*
        S: * LIST (\\HasChildren \\Noselect) "/" "Work"
        S: * LIST (\\HasChildren \\Noselect) "/" "Work/Plans"
        S: * LIST (\\HasNoChildren) "/" "Work/Plans/Old"
        S: d OK *
    """)


async def test_inbox_is_the_same_in_any_case_also_above_others(client: Transcript) -> None:
    await client.run("""
        C: a CREATE inbox/Lists
        S: a OK *
        C: b LIST "" inBox/%
        S: * LIST (\\HasNoChildren) "/" "INBOX/Lists"
        S: b OK *
        C: c LIST inbox/ Li*
        S: * LIST (\\HasNoChildren) "/" "INBOX/Lists"
        S: c OK *
        C: d LIST "" inbox/lists
        S: d OK *
        C: e LIST "" in*
        S: * LIST (\\HasChildren) "/" "INBOX"
        S: * LIST (\\HasNoChildren) "/" "INBOX/Lists"
        S: e OK *
    """)


async def test_a_pattern_that_is_too_long_is_passed_over(client: Transcript) -> None:
    # RFC 5258 3: what a server does not take as a pattern it ignores silently
    long = "%" * (MAX_PATTERN_BYTES + 1)
    await client.send(f'a LIST "" ({long} INBOX)\r\n'.encode())
    await client.run('S: * LIST () "/" "INBOX"\nS: a OK *')
    for verb in ("LIST", "LSUB"):
        await client.send(f'b {verb} "" {long}\r\n'.encode())
        await client.run("S: b OK *")


async def test_options_may_be_given_twice_and_in_any_order(client: Transcript) -> None:
    await client.run("""
        C: a LIST (SUBSCRIBED REMOTE SUBSCRIBED) "" INBOX RETURN (CHILDREN CHILDREN SUBSCRIBED)
        S: * LIST (\\HasNoChildren \\Subscribed) "/" "INBOX"
        S: a OK *
        C: b list (remote) "" inbox return (status (messages) status (messages unseen))
        S: * LIST () "/" "INBOX"
        S: * STATUS "INBOX" (MESSAGES 0 UNSEEN 0)
        S: b OK *
    """)


@pytest.mark.parametrize("option", ["STATUS (DELETED-STORAGE)", "METADATA (/shared/comment)"])
async def test_a_mailbox_that_goes_meanwhile_cannot_be_selected(
    rmail_server: RunningServer,
    client: Transcript,
    fill: Fill,
    monkeypatch: pytest.MonkeyPatch,
    option: str,
) -> None:
    # RFC 5819 2: then there is no STATUS response, and LIST says so
    await fill(1, "Sent", frozenset({"\\Deleted"}))
    mail = rmail_server.kernel.mail
    listed = mail.mailboxes

    async def listed_before_it_went(account: AccountId) -> list[MailboxStatus]:
        found = await listed(account)
        await mail.delete(account, "Sent")
        return found

    monkeypatch.setattr(mail, "mailboxes", listed_before_it_went)
    await client.send(f'b LIST "" Sent RETURN ({option})\r\n'.encode())
    heard = await client.until("b OK *")
    assert heard[0] == '* LIST (\\NonExistent) "/" "Sent"'
    assert not any("STATUS" in line or "METADATA" in line for line in heard)


async def test_what_is_no_option_is_refused(client: Transcript) -> None:
    for line in (
        'LIST (FOO) "" *',
        'LIST "" * RETURN (FOO)',
        'LIST "" * RETURN (STATUS)',
        'LIST "" * RETURN (STATUS (FOO))',
        'LIST "" * RETURN SUBSCRIBED',
        'LIST "" ()',
        'LIST (SUBSCRIBED "" *',
        'LSUB (SUBSCRIBED) "" *',
        f'LIST "" ({" ".join(["x"] * 101)})',
    ):
        await client.send(f"a {line}\r\n".encode())
        await client.expect("a BAD *")


async def test_a_mailbox_is_made_with_a_special_use(client: Transcript) -> None:
    await client.run("""
        C: z DELETE Sent
        S: z OK *
        C: a CREATE Gesendet (USE (\\sent))
        S: a OK *
        C: b LIST (SPECIAL-USE) "" G*
        S: * LIST (\\Sent) "/" "Gesendet"
        S: b OK *
        C: c LIST "" (INBOX Gesendet) RETURN (SPECIAL-USE)
        S: * LIST () "/" "INBOX"
        S: * LIST (\\Sent) "/" "Gesendet"
        S: c OK *
        C: d CREATE Other (USE (\\Sent))
        S: d NO [USEATTR] *
        C: e CREATE Other (USE (\\Mystery))
        S: e NO [USEATTR] *
        C: f CREATE Other (USE (\\All))
        S: f NO [USEATTR] *
        C: g CREATE Other (USE (\\Archive \\Junk))
        S: g NO [USEATTR] *
        C: h CREATE Gesendet (USE (\\Archive))
        S: h NO [ALREADYEXISTS] *
        C: i CREATE Other (FOO (\\Archive))
        S: i BAD *
        C: j CREATE Other (USE (Archive))
        S: j BAD *
        C: k LIST "" Other
        S: k OK *
        C: l CREATE Other (USE ())
        S: l OK *
        C: m LIST "" Other
        S: * LIST (\\HasNoChildren) "/" "Other"
        S: m OK *
    """)


async def test_a_subscribed_name_without_mailbox_is_nonexistent(client: Transcript) -> None:
    """RFC 5258 3.1: SUBSCRIBED lists subscribed names, even of mailboxes that do not exist."""
    await client.run(f"""{_GONE}
        C: a LIST (SUBSCRIBED) "" G*
        S: * LIST (\\Subscribed \\NonExistent) "/" "Gone"
        S: * LIST (\\Subscribed \\NonExistent) "/" "Gone/Inner"
        S: a OK *
        C: b LIST (SUBSCRIBED RECURSIVEMATCH) "" G% RETURN (STATUS (MESSAGES))
        S: * LIST (\\Subscribed \\NonExistent) "/" "Gone" ("CHILDINFO" ("SUBSCRIBED"))
        S: b OK *
        C: c LIST (SUBSCRIBED SPECIAL-USE) "" G*
        S: c OK *
        C: d LIST (SPECIAL-USE) "" G* RETURN (SUBSCRIBED)
        S: d OK *
        C: e LIST "" G* RETURN (SUBSCRIBED)
        S: e OK *
    """)
