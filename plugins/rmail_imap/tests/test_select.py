"""SELECT, EXAMINE, CLOSE, UNSELECT, CHECK, STATUS (RFC 3501 6.3.1, 6.3.2, 6.3.10, 6.4.1, 6.4.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rmail_kernel.storage.ids import AccountId
from rmail_kernel.testing import RunningServer, Transcript

if TYPE_CHECKING:
    from plugins.rmail_imap.tests.conftest import Fill

_FLAGS = "\\Answered \\Deleted \\Flagged \\Seen \\Draft"


async def test_select_tells_everything(client: Transcript, fill: Fill) -> None:
    await fill(2, flags=frozenset({"\\Seen"}))
    await fill(1)
    await client.run(f"""
        C: a SELECT inbox
        S: * FLAGS ({_FLAGS})
        S: * OK [PERMANENTFLAGS ({_FLAGS} \\*)] *
        S: * 3 EXISTS
        S: * 3 RECENT
        S: * OK [UNSEEN 3] *
        S: * OK [UIDVALIDITY *] *
        S: * OK [UIDNEXT 4] *
        S: * OK [MAILBOXID (*)] *
        S: * OK [HIGHESTMODSEQ *] *
        S: a OK [READ-WRITE] SELECT completed
        C: b SELECT INBOX
        S: * OK [CLOSED] *
        S: * FLAGS *
        S: * OK [PERMANENTFLAGS *] *
        S: * 3 EXISTS
        S: * 0 RECENT
        S: * OK [UNSEEN 3] *
        S: * OK [UIDVALIDITY *] *
        S: * OK [UIDNEXT 4] *
        S: * OK [MAILBOXID (*)] *
        S: * OK [HIGHESTMODSEQ *] *
        S: b OK [READ-WRITE] *
    """)


async def test_examine_changes_nothing(client: Transcript, fill: Fill) -> None:
    await fill(1)
    await client.run(f"""
        C: a EXAMINE INBOX
        S: * FLAGS ({_FLAGS})
        S: * OK [PERMANENTFLAGS ()] *
        S: * 1 EXISTS
        S: * 1 RECENT
        S: * OK [UNSEEN 1] *
        S: * OK [UIDVALIDITY *] *
        S: * OK [UIDNEXT 2] *
        S: * OK [MAILBOXID (*)] *
        S: * OK [HIGHESTMODSEQ *] *
        S: a OK [READ-ONLY] EXAMINE completed
        C: b STORE 1 +FLAGS (\\Deleted)
        S: b NO [NOPERM] *
        C: c EXPUNGE
        S: c NO [NOPERM] *
        C: d MOVE 1 INBOX
        S: d NO [NOPERM] *
        C: e FETCH 1 (FLAGS BODY[TEXT]<0.2>)
        S: * 1 FETCH (FLAGS (\\Recent) BODY[TEXT]<0> {{2}}
        S: He)
        S: e OK *
        C: f FETCH 1 FLAGS
        S: * 1 FETCH (FLAGS (\\Recent))
        S: f OK *
        C: g CLOSE
        S: g OK *
        C: h CLOSE
        S: h BAD *
    """)
    await client.send(b"i SELECT INBOX\r\n")
    assert "* 1 RECENT" in await client.until("i OK *")


async def test_a_select_that_fails_leaves_the_mailbox(client: Transcript) -> None:
    await client.send(b"a SELECT INBOX\r\n")
    await client.until("a OK *")
    await client.run("""
        C: b SELECT nowhere
        S: * OK [CLOSED] *
        S: b NO [NONEXISTENT] *
        C: c CHECK
        S: c BAD *
        C: d EXAMINE INBOX (CONDSTORE)
    """)
    await client.until("d OK *")
    # A BAD changes nothing, a NO does, whatever it is about (RFC 9051 6, 6.3.2).
    await client.run("""
        C: e SELECT INBOX (WHAT)
        S: e BAD *
        C: f SELECT "&bad" (WHAT)
        S: f BAD *
        C: g CHECK
        S: g OK *
        C: h SELECT "&bad"
        S: * OK [CLOSED] *
        S: h NO [CANNOT] *
        C: i CHECK
        S: i BAD *
    """)


async def test_close_expunges_without_a_word(client: Transcript, fill: Fill) -> None:
    await fill(2, flags=frozenset({"\\Deleted"}))
    await fill(1)
    await client.send(b"a SELECT INBOX\r\n")
    await client.until("a OK *")
    await client.run("""
        C: b CLOSE
        S: b OK *
        C: c STATUS INBOX (MESSAGES UNSEEN UIDNEXT RECENT)
        S: * STATUS "INBOX" (MESSAGES 1 UNSEEN 1 UIDNEXT 4 RECENT 0)
        S: c OK *
    """)


async def test_unselect_does_not_expunge(client: Transcript, fill: Fill) -> None:
    await fill(1, flags=frozenset({"\\Deleted"}))
    await client.send(b"a SELECT INBOX\r\n")
    await client.until("a OK *")
    await client.run("""
        C: b CHECK
        S: b OK *
        C: c UNSELECT
        S: c OK *
        C: d STATUS inbox (MESSAGES)
        S: * STATUS "INBOX" (MESSAGES 1)
        S: d OK *
    """)


async def test_status_of_nothing(client: Transcript) -> None:
    await client.run("""
        C: a STATUS nowhere (MESSAGES)
        S: a NO [NONEXISTENT] *
        C: b STATUS INBOX (FOO)
        S: b BAD *
        C: c STATUS INBOX ()
        S: c BAD *
    """)


async def select_and_lose(client: Transcript, rmail_server: RunningServer) -> None:
    """Selects a mailbox that somebody deletes then."""
    await client.run("""
        C: a CREATE x
        S: a OK *
        C: b SELECT x
    """)
    await client.until("b OK *")
    await rmail_server.kernel.mail.delete(AccountId("alice@example.com"), "x")


@pytest.mark.parametrize(
    "command",
    ["NOOP: OK *", "FETCH 1:* FLAGS: OK *", "EXPUNGE: NO [NONEXISTENT] *", "CREATE y: OK *"],
)
async def test_a_mailbox_that_is_deleted_elsewhere_ends_the_session_after_the_answer(
    client: Transcript, rmail_server: RunningServer, command: str
) -> None:
    """So nobody does again what was done."""
    await select_and_lose(client, rmail_server)
    given, _, answer = command.partition(": ")
    await client.run(f"""
        C: c {given}
        S: c {answer}
        S: * BYE The selected mailbox was deleted
    """)
    await client.expect_close()


@pytest.mark.parametrize("command", ["CLOSE", "UNSELECT"])
async def test_a_mailbox_that_is_deleted_elsewhere_can_be_left(
    client: Transcript, rmail_server: RunningServer, command: str
) -> None:
    await select_and_lose(client, rmail_server)
    await client.run(f"""
        C: c {command}
        S: c OK *
        C: d NOOP
        S: d OK *
    """)


async def test_deleting_the_selected_mailbox_leaves_it(client: Transcript) -> None:
    await client.run("""
        C: a CREATE x
        S: a OK *
        C: b SELECT x
    """)
    await client.until("b OK *")
    await client.run("""
        C: c DELETE x
        S: c OK *
        C: d CHECK
        S: d BAD *
    """)
