"""Changes that wait for a slow peer: merged, bounded."""

from __future__ import annotations

import pytest

from rmail_kernel.process.outbox import MAX_LINE_BYTES, LineReader, Pending, encode
from rmail_kernel.storage.events import Change
from rmail_kernel.storage.ids import AccountId


def change(account: str = "alice", container: int = 1, modseq: int = 1) -> Change:
    return Change(AccountId(account), "mail", container, modseq)


def test_changes_of_one_container_merge_to_the_highest_modseq() -> None:
    pending = Pending()
    for modseq in (3, 9, 5):
        pending.add(change(modseq=modseq))
    assert pending.take() == [change(modseq=9)]
    assert pending.take() == []


def test_containers_of_an_account_merge_at_the_limit() -> None:
    pending = Pending(limit=3)
    for container in (1, 2, 3, 4):
        pending.add(change(container=container, modseq=container))
    assert pending.take() == [change(container=0, modseq=3), change(container=4, modseq=4)]


def test_the_oldest_account_goes_when_merging_does_not_help() -> None:
    pending = Pending(limit=2)
    for account in ("alice", "bob", "carol"):
        pending.add(change(account))
    assert len(pending) == 2
    assert [found.account for found in pending.take()] == ["bob", "carol"]


def test_changes_survive_the_wire_in_any_pieces() -> None:
    reader, sent = LineReader(), [change(modseq=7), change("bob", 2)]
    data = b"".join(map(encode, sent))
    found = [item for index in range(len(data)) for item in reader.feed(data[index : index + 1])]
    assert found == sent


@pytest.mark.parametrize("data", [b"x" * (MAX_LINE_BYTES + 1), b"{}\n", b"not json\n"])
def test_a_peer_that_does_not_speak_the_protocol_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        LineReader().feed(data)


def test_a_change_too_long_for_a_line_is_not_sent() -> None:
    assert encode(change("a" * MAX_LINE_BYTES)) == b""
