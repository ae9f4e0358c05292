"""Spool entries are whole or absent, and belong to one worker at a time."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from rmail_kernel import Envelope
from rmail_kernel.content import Content
from rmail_kernel.delivery.api import Status
from rmail_kernel.delivery.spool import Spool
from rmail_kernel.delivery.targets import EVENTS, Entry, Result, Target
from rmail_kernel.errors import Corrupt, Temporary
from rmail_kernel.model import Address, RecipientOptions, Reject
from rmail_kernel.storage.ids import AccountId

MakeEnvelope = Callable[..., Envelope]
ALICE, DAVE = Address("alice", "example.com"), Address("dave", "elsewhere.test")
CONTENT = Content.of(b"Subject: x\r\n\r\nbody\r\n")


@pytest.fixture
def entry(make_envelope: MakeEnvelope) -> Entry:
    targets = (
        Target(ALICE, (Address("sales", "example.com"), ALICE), AccountId("alice@example.com")),
        Target(DAVE, (DAVE,)),
        Target(Address("gone", "example.com"), (ALICE,), None, Reject("gone", 550, "5.1.1")),
    )
    envelope = make_envelope("sales@example.com", '"q @"@example.com', user="alice")
    return Entry("a1", envelope, targets)


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


def test_what_is_taken_is_what_was_written(spool: Spool, entry: Entry) -> None:
    large = Content.of(b"Subject: x\r\n\r\n" + b"y" * (3 << 20))
    spool.write(entry, large).release()
    held = spool.take("a1")
    assert held is not None
    assert held.entry == entry
    assert held.content.read() == large.read()
    assert (held.attempts, held.done) == (0, {})
    held.release()


def test_an_entry_in_work_is_left_alone(spool: Spool, entry: Entry) -> None:
    held = spool.write(entry, CONTENT)
    assert spool.take("a1") is None
    held.release()
    again = spool.take("a1")
    assert again is not None
    assert spool.take("a1") is None
    spool.remove(again)
    assert spool.take("a1") is None
    assert spool.ids() == []


def test_progress_is_remembered(spool: Spool, entry: Entry) -> None:
    held = spool.write(entry, CONTENT)
    done = {
        "alice@example.com": Result(Status.STORED),
        "gone@example.com": Result(Status.REJECTED, Reject("gone", 550, "5.1.1")),
    }
    spool.note(held, 3, done, ["gone@example.com"])
    held.release()
    again = spool.take("a1")
    assert again is not None
    assert (again.attempts, again.done, again.owed) == (3, done, ("gone@example.com",))
    spool.remove(again)
    assert list(spool.directory.iterdir()) == []


def test_progress_of_version_1_is_taken(spool: Spool, entry: Entry) -> None:
    spool.write(entry, CONTENT).release()
    old = '{"version": 1, "attempts": 2, "done": {"alice@example.com": ["stored", null]}}'
    (spool.directory / "a1.json").write_text(old)
    held = spool.take("a1")
    assert held is not None
    held.release()
    assert (held.attempts, held.owed) == (2, ())
    assert held.done == {"alice@example.com": Result(Status.STORED)}


@pytest.mark.parametrize("raw", [b"", b"{}\n", b"not json\n", b'{"version": 2}\n', b"[1]\nx"])
def test_what_cannot_be_read_is_put_aside_and_kept(spool: Spool, raw: bytes) -> None:
    spool.directory.mkdir()
    (spool.directory / "b2.msg").write_bytes(raw)
    with pytest.raises(Corrupt):
        spool.take("b2")
    assert spool.ids() == []
    assert (spool.directory / "b2.bad").read_bytes() == raw


def test_leftovers_of_a_crash_are_tidied_and_work_in_progress_is_not(
    spool: Spool, entry: Entry
) -> None:
    held = spool.write(entry, CONTENT)
    spool.note(held, 1, {})
    for name in ("c3.tmp", "c3.new", "c3.json"):
        (spool.directory / name).write_bytes(b"half")
        os.utime(spool.directory / name, (0, 0))
    (spool.directory / "d4.tmp").write_bytes(b"being written")
    spool.tidy()
    assert sorted(path.name for path in spool.directory.iterdir()) == [
        "a1.json",
        "a1.msg",
        "d4.tmp",
    ]
    held.release()


def test_what_the_disk_does_not_give_stays_and_is_free_for_the_next_attempt(
    spool: Spool, entry: Entry
) -> None:
    spool.write(entry, CONTENT).release()
    (spool.directory / "a1.json").mkdir()
    with pytest.raises(Temporary):
        spool.take("a1")
    (spool.directory / "a1.json").rmdir()
    held = spool.take("a1")
    assert held is not None
    held.release()


def test_an_entry_that_cannot_be_cleared_is_let_go(spool: Spool, entry: Entry) -> None:
    held = spool.write(entry, CONTENT)
    (spool.directory / "a1.json").mkdir()
    with pytest.raises(Temporary):
        spool.remove(held)
    assert held._file.closed


def test_what_a_sender_asked_for_is_kept(spool: Spool, entry: Entry) -> None:
    options = (RecipientOptions(DAVE, frozenset({"SUCCESS", "DELAY"}), "rfc822;d+x@old.test"),)
    asked = replace(
        entry.envelope,
        ret="HDRS",
        envid="order 7",
        require_tls=True,
        options=options,
        is_binary=True,
    )
    spool.write(replace(entry, envelope=asked), CONTENT).release()
    held = spool.take("a1")
    assert held is not None
    assert held.entry.envelope == asked
    assert held.entry.envelope.options_of(DAVE).orcpt == "rfc822;d+x@old.test"
    assert held.entry.envelope.options_of(ALICE).notify == frozenset()
    held.release()


def test_an_entry_of_version_1_is_taken(spool: Spool) -> None:
    spool.directory.mkdir()
    raw_entry = (
        b'{"version": 1, "id": "b2", "sender": "carol@remote.test",'
        b' "recipients": ["alice@example.com"], "received_at": "2026-01-01T00:00:00+00:00",'
        b' "smtputf8": false, "is_8bit": true, "session": {"id": "s1", "protocol": "smtp",'
        b' "peer_host": "192.0.2.1", "peer_port": 0, "local_port": 0, "helo": "client.test",'
        b' "tls": "", "principal": null, "is_extended": true}, "targets": [{"address":'
        b' "alice@example.com", "recipients": ["alice@example.com"], "account":'
        b' "alice@example.com", "refusal": null}]}\n'
    )
    (spool.directory / "b2.msg").write_bytes(raw_entry + CONTENT.read())
    held = spool.take("b2")
    assert held is not None
    envelope = held.entry.envelope
    assert envelope.is_8bit
    assert not envelope.is_binary
    assert [envelope.options_of(ALICE).wants(event) for event in EVENTS] == [False, True, True]
    assert held.content.read() == CONTENT.read()
    held.release()


def test_what_was_asked_for_an_alias_is_asked_for_its_target(entry: Entry) -> None:
    sales = Address("sales", "example.com")
    options = (
        RecipientOptions(sales, frozenset({"NEVER"})),
        RecipientOptions(ALICE, frozenset({"SUCCESS"})),
    )
    asked = replace(entry, envelope=replace(entry.envelope, options=options))
    # RFC 3461 5.2.7.3: alice leads to two places.
    assert asked.onward().options_of(ALICE).notify == frozenset({"NEVER"})
    onward = replace(asked, targets=entry.targets[:2]).onward()
    assert onward.options_of(ALICE).notify == frozenset({"SUCCESS"})
    assert onward.options_of(ALICE).orcpt == "rfc822;sales@example.com"
    assert onward.options_of(DAVE) == RecipientOptions(DAVE)
