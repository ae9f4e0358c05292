"""QRESYNC (RFC 7162 3.2): a client that was away hears what it missed, in one command."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from rmail_imap.catalog import Catalog
from rmail_imap.config import ImapSettings
from rmail_imap.parse.select import LastSeen
from rmail_imap.ranges import clipped, each, merged, missing, within
from rmail_imap.resync import tell_missed
from rmail_imap.selected import Selected
from rmail_imap.session import Session
from rmail_imap.value_cache import ValueCache
from rmail_imap.wire import Wire

from rmail_kernel.lanes import Lanes
from rmail_kernel.model import Address, Principal, SessionInfo
from rmail_kernel.storage.filesystem import FilesystemMailStore, settling
from rmail_kernel.storage.filesystem.transaction import Transaction
from rmail_kernel.storage.ids import AccountId, ModSeq
from rmail_kernel.testing import RunningServer, Transcript

if TYPE_CHECKING:
    from plugins.rmail_imap.tests.conftest import Connect, Fill

ALICE = AccountId("alice@example.com")
_ENABLE = """
    C: q ENABLE QRESYNC
    S: * ENABLED QRESYNC
    S: q OK *
"""


async def _known(client: Transcript) -> tuple[int, int]:
    """UIDVALIDITY and HIGHESTMODSEQ of INBOX, which is open afterwards."""
    await client.send(b"k SELECT INBOX\r\n")
    text = "\n".join(await client.until("k OK *"))
    found = re.search(r"UIDVALIDITY (\d+)[\s\S]*HIGHESTMODSEQ (\d+)", text)
    assert found is not None
    return int(found[1]), int(found[2])


async def _missed(client: Transcript, command: str) -> list[str]:
    """What opening a mailbox tells beyond what every opening tells."""
    await client.send(f"m {command}\r\n".encode())
    lines = await client.until("m *")
    return [line for line in lines if "VANISHED" in line or "FETCH" in line or line[0] == "m"]


async def test_opening_tells_what_vanished_and_what_changed(connect: Connect, fill: Fill) -> None:
    await fill(6)
    client, other = await connect(), await connect("INBOX")
    await client.run(_ENABLE)
    uidvalidity, modseq = await _known(client)
    await other.run("""
        C: a STORE 2,3,5 +FLAGS.SILENT (\\Deleted)
        S: a OK *
        C: b EXPUNGE
        S: * 5 EXPUNGE
        S: * 3 EXPUNGE
        S: * 2 EXPUNGE
        S: b OK EXPUNGE completed
        C: c UID STORE 4 +FLAGS.SILENT (\\Seen)
        S: c OK *
    """)
    away = await connect()
    await away.run(_ENABLE)
    told = await _missed(away, f"SELECT INBOX (QRESYNC ({uidvalidity} {modseq}))")
    assert told[0] == "* VANISHED (EARLIER) 2:3,5"
    assert re.fullmatch(rf"\* 2 FETCH \(UID 4 FLAGS \(\\Seen\) MODSEQ \({modseq + 3}\)\)", told[1])
    assert told[2].startswith("m OK [READ-WRITE]")
    told = await _missed(away, f"EXAMINE INBOX (QRESYNC ({uidvalidity} {modseq} 1:3,6))")
    assert told[0] == "* VANISHED (EARLIER) 2:3"
    assert len(told) == 2
    told = await _missed(away, f"SELECT INBOX (CONDSTORE QRESYNC ({uidvalidity + 1} {modseq}))")
    assert len(told) == 1  # another UIDVALIDITY: nothing the client knows means anything
    told = await _missed(away, f"SELECT INBOX (QRESYNC ({uidvalidity} {modseq + 3}))")
    assert len(told) == 1


async def test_number_matches_spare_what_the_client_knows(connect: Connect, fill: Fill) -> None:
    await fill(8)
    client, other = await connect(), await connect("INBOX")
    await client.run(_ENABLE)
    uidvalidity, modseq = await _known(client)
    await other.run("""
        C: a STORE 2,7 +FLAGS.SILENT (\\Deleted)
        S: a OK *
        C: b EXPUNGE
        S: * 7 EXPUNGE
        S: * 2 EXPUNGE
        S: b OK *
    """)
    known = f"SELECT INBOX (QRESYNC ({uidvalidity} {modseq} 1:8"
    for pairs, gone in (
        ("(1,4 1,4)", "2,7"),  # the fourth message has UID 5: only the first pair agrees
        ("(1,3 1,4)", "7"),
        ("(1:3,5,9:99 1,3:4,6,200:290)", "7"),
        ("(99 1)", "2,7"),
    ):
        told = await _missed(client, f"{known} {pairs}))")
        assert told[0] == f"* VANISHED (EARLIER) {gone}"
    assert (await _missed(client, f"SELECT INBOX (QRESYNC ({uidvalidity} {modseq} (6 8)))"))[
        0
    ].startswith("m OK")


async def test_a_client_that_was_away_too_long_hears_of_all_that_is_missing(
    connect: Connect, fill: Fill, rmail_server: RunningServer
) -> None:
    await fill(8)
    client = await connect("INBOX")
    await client.send(b"a STORE 1,3:4,6 +FLAGS.SILENT (\\Deleted)\r\nb EXPUNGE\r\n")
    await client.until("b OK *")
    await client.send(b"q ENABLE QRESYNC\r\n")
    await client.until("q OK *")
    uidvalidity, _ = await _known(client)
    await _forget_expunges(rmail_server)
    told = await _missed(client, f"SELECT INBOX (QRESYNC ({uidvalidity} 1))")
    assert told[0] == "* VANISHED (EARLIER) 1,3:4,6"
    told = await _missed(client, f"SELECT INBOX (QRESYNC ({uidvalidity} 1 4:4294967295))")
    assert told[0] == "* VANISHED (EARLIER) 4,6"  # what was never given out has not vanished
    told = await _missed(client, f"SELECT INBOX (QRESYNC ({uidvalidity} 1 1:8 (2 5)))")
    assert told[0] == "* VANISHED (EARLIER) 6"
    await client.send(b"c UID FETCH 2:3 (UID) (CHANGEDSINCE 1 VANISHED)\r\n")
    await client.expect("* VANISHED (EARLIER) 3")
    await client.until("c OK *")


async def _forget_expunges(server: RunningServer) -> None:
    """Lets the store forget what it knows of expunges, as it does after a long time."""
    store = server.kernel.mail
    assert isinstance(store, FilesystemMailStore)

    def forget(tx: Transaction) -> None:
        settling.prune(tx, max_expunged=0)

    await store.transact(ALICE, forget)


async def test_expunges_come_as_vanished_once_enabled(connect: Connect, fill: Fill) -> None:
    await fill(7)
    client, other, plain = await connect(), await connect("INBOX"), await connect("INBOX")
    await client.run(_ENABLE)
    _, modseq = await _known(client)
    await client.run(f"""
        C: a STORE 2:3,6 +FLAGS.SILENT (\\Deleted)
        S: * 2 FETCH (UID 2 MODSEQ ({modseq + 1}))
        S: * 3 FETCH (UID 3 MODSEQ ({modseq + 1}))
        S: * 6 FETCH (UID 6 MODSEQ ({modseq + 1}))
        S: a OK *
        C: b UID EXPUNGE 1:2
        S: * VANISHED 2
        S: b OK [HIGHESTMODSEQ {modseq + 2}] *
        C: c EXPUNGE
        S: * VANISHED 3,6
        S: c OK [HIGHESTMODSEQ {modseq + 3}] *
        C: d EXPUNGE
        S: d OK EXPUNGE completed
        C: e CREATE Other
        S: e OK *
        C: f UID MOVE 4 Other
        S: * OK [COPYUID * 4 1] *
        S: * VANISHED 4
        S: f OK [HIGHESTMODSEQ *] *
    """)
    await plain.run("""
        C: a NOOP
        S: * 6 EXPUNGE
        S: * 4 EXPUNGE
        S: * 3 EXPUNGE
        S: * 2 EXPUNGE
        S: a OK *
    """)
    await other.send(b"a UID STORE 1 +FLAGS.SILENT (\\Deleted)\r\nb EXPUNGE\r\n")
    await other.until("b OK EXPUNGE completed")
    await client.run("""
        C: g NOOP
        S: * VANISHED 1
        S: g OK NOOP completed
    """)


async def test_a_modseq_that_was_told_hides_no_expunge_that_was_not(
    connect: Connect, fill: Fill
) -> None:
    await fill(4)
    client, other = await connect(), await connect("INBOX")
    await client.run(_ENABLE)
    _, modseq = await _known(client)
    await other.send(b"a STORE 1 +FLAGS.SILENT (\\Deleted)\r\nb EXPUNGE\r\n")
    await other.until("b OK *")
    await client.send(b"a STORE 3 +FLAGS.SILENT (\\Seen)\r\n")
    lines = await client.until("a OK *")
    assert f"* 3 FETCH (UID 3 MODSEQ ({modseq + 3}))" in lines
    assert lines[-2].startswith(f"* OK [HIGHESTMODSEQ {modseq}]")
    await client.run("""
        C: b UID SEARCH 1:4 SEEN
        S: * SEARCH 3
        S: * OK [HIGHESTMODSEQ *] *
        S: b OK *
        C: c UID SEARCH UID 1:4 SEEN
        S: * SEARCH 3
        S: * VANISHED 1
        S: c OK *
    """)


async def test_uid_fetch_tells_what_vanished(connect: Connect, fill: Fill) -> None:
    await fill(6)
    client, other = await connect(), await connect("INBOX")
    await client.run(_ENABLE)
    _, modseq = await _known(client)
    await client.send(b"a STORE 2,4 +FLAGS.SILENT (\\Deleted)\r\nb EXPUNGE\r\n")
    await client.until("b OK *")
    await other.send(b"a UID STORE 5 +FLAGS.SILENT (\\Deleted)\r\nb EXPUNGE\r\n")
    await other.until("b OK *")
    await client.run(f"""
        C: c UID FETCH 1:3,5:* (FLAGS) (CHANGEDSINCE {modseq} VANISHED)
        S: * VANISHED (EARLIER) 2
        S: * VANISHED 5
        S: c OK *
        C: d UID FETCH 1:* (FLAGS) (VANISHED CHANGEDSINCE {modseq})
        S: * VANISHED (EARLIER) 2,4:5
        S: d OK *
        C: e UID FETCH 1:4294967295 (FLAGS) (CHANGEDSINCE {modseq + 9} VANISHED)
        S: e OK *
    """)


async def test_a_mailbox_that_is_left_for_another_is_closed_aloud(
    connect: Connect, fill: Fill
) -> None:
    await fill(1)
    client = await connect("INBOX")
    await client.send(b"a EXAMINE INBOX\r\n")
    lines = await client.until("a OK *")
    assert lines[0].startswith("* OK [CLOSED] ")
    await client.run("""
        C: b SELECT Nowhere
        S: * OK [CLOSED] *
        S: b NO [NONEXISTENT] *
        C: c SELECT Nowhere
        S: c NO [NONEXISTENT] *
    """)


async def test_enable_qresync_enables_condstore(connect: Connect, fill: Fill) -> None:
    await fill(1)
    client = await connect("INBOX")
    await client.run("""
        C: a ENABLE CONDSTORE QRESYNC X-FOO
        S: * ENABLED CONDSTORE QRESYNC
        S: * OK [HIGHESTMODSEQ *] *
        S: a OK *
        C: b ENABLE QRESYNC
        S: * ENABLED
        S: b OK *
    """)


async def test_qresync_must_be_enabled_first(connect: Connect, fill: Fill) -> None:
    await fill(1)
    client = await connect("INBOX")
    await client.run("""
        C: a UID FETCH 1 FLAGS (CHANGEDSINCE 1 VANISHED)
        S: a BAD *
        C: b SELECT INBOX (QRESYNC (1 1))
        S: b BAD *
        C: c FETCH 1 (UID)
        S: * 1 FETCH (UID 1)
        S: c OK *
    """)


@pytest.mark.parametrize(
    "arguments",
    [
        "SELECT INBOX (QRESYNC)",
        "SELECT INBOX (QRESYNC ())",
        "SELECT INBOX (QRESYNC (1))",
        "SELECT INBOX (QRESYNC (1 x))",
        "SELECT INBOX (QRESYNC (1 1 *))",
        "SELECT INBOX (QRESYNC (1 1 1:*))",
        "SELECT INBOX (QRESYNC (1 1 $))",
        "SELECT INBOX (QRESYNC (1 1 1:2 (1 2 3)))",
        "SELECT INBOX (QRESYNC (1 1 1:2 (1:2 1)))",
        "SELECT INBOX (QRESYNC (1 1 1:2 (2,1 1,2)))",
        "SELECT INBOX (QRESYNC (1 1 1:2 (1:2 5:4)))",
        "SELECT INBOX (QRESYNC (1 1) QRESYNC (1 1))",
        "SELECT INBOX (QRESYNC (1 1) FOO)",
        "FETCH 1 FLAGS (CHANGEDSINCE 1 VANISHED)",
        "UID FETCH 1 FLAGS (VANISHED)",
        "UID FETCH 1 FLAGS (CHANGEDSINCE 1 VANISHED VANISHED)",
        "UID FETCH 1 FLAGS (CHANGEDSINCE 1 CHANGEDSINCE 2)",
    ],
)
async def test_what_is_no_resynchronisation_is_refused(
    connect: Connect, fill: Fill, arguments: str
) -> None:
    await fill(1)
    client = await connect()
    await client.run(_ENABLE)
    await _known(client)
    await client.send(f"a {arguments}\r\n".encode())
    await client.expect("a BAD *")


def test_ranges() -> None:
    assert merged([(5, 7), (3, 1), (4, 4), (9, 9)]) == [(1, 7), (9, 9)]
    assert clipped([(1, 7), (9, 12)], 3, 10) == [(3, 7), (9, 10)]
    uids = [2, 3, 7, 8, 20]
    assert list(missing([(1, 9)], uids, 5)) == [(1, 1), (4, 6), (9, 9)]
    assert list(missing([(1, 9)], uids, 2)) == [(1, 1), (4, 9)]
    assert list(missing([(3, 3), (7, 7), (30, 4_000_000_000)], uids, 5)) == [(30, 4_000_000_000)]
    assert list(within(uids, [(3, 7), (8, 8), (21, 30)])) == [3, 7, 8]
    assert list(each([(1, 3), (9, 9)])) == [1, 2, 3, 9]


async def test_what_changes_while_a_mailbox_is_opened_is_told_later(
    rmail_server: RunningServer, fill: Fill
) -> None:
    # A MODSEQ above the HIGHESTMODSEQ that was told would hide the expunge beside it.
    first, second, _ = await fill(3)
    mail = rmail_server.kernel.mail
    view = await mail.view(ALICE, first.mailbox)
    await mail.expunge(ALICE, first.mailbox, [first.uid], only_deleted=False)
    await mail.store_flags(ALICE, first.mailbox, [second.uid], "add", frozenset({"\\Seen"}))
    info = SessionInfo(id="x", protocol="imap")
    session = Session(
        rmail_server.kernel,
        ImapSettings(),
        Wire(lambda _: None),
        info,
        Catalog().offer,
        ValueCache(),
        Lanes(1),
    )
    session.logged_in(Principal(ALICE, Address.parse("alice@example.com")))
    session.selected = Selected(view, name="INBOX", is_read_only=True)
    await tell_missed(session, session.selected, LastSeen(view.uidvalidity, view.modseq))
    assert session.wire.written_bytes == 0
    await tell_missed(session, session.selected, LastSeen(view.uidvalidity, ModSeq(0)))
    assert session.wire.written_bytes > 0  # the third message
