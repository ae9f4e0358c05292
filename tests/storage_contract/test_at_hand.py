"""What is known without waiting is as new as what is asked for, or it is not told."""

from __future__ import annotations

import asyncio

import pytest

from rmail_kernel.storage.ids import MailboxId, Uid
from rmail_kernel.storage.mail import MailboxView
from tests.storage_contract.rig import ALICE, MESSAGE, Opened, item
from tests.storage_filesystem.at_rest import LATE_S, TIMES

INBOX = MailboxId(1)
SEEN = frozenset({"\\Seen"})


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """No process commits anything by itself."""
    for module, name in TIMES:
        monkeypatch.setattr(module, name, LATE_S)


def bytes_of(
    store: Opened, view: MailboxView, uid: int, start: int = 0, count: int | None = None
) -> bytes | None:
    """Bytes of a message of a view."""
    place = ALICE, Uid(uid), view.flags[view.uids.index(uid)]
    return store.mail.read_at_hand(view, place, start, count)


async def test_nothing_is_at_hand_of_an_account_that_is_not_open(
    store: Opened, other: Opened
) -> None:
    await store.put(item())
    view = await store.mail.view(ALICE, INBOX)
    assert not other.mail.is_unchanged(ALICE, INBOX, view.modseq)
    assert other.mail.view_at_hand(ALICE, INBOX) is None
    assert bytes_of(other, view, 1) is None


async def test_a_mailbox_is_unchanged_until_another_process_has_answered_a_change(
    store: Opened, other: Opened
) -> None:
    for number in range(1, 20):
        await store.put(item())
        view = await other.mail.view(ALICE, INBOX)
        assert other.mail.is_unchanged(ALICE, INBOX, view.modseq)
        assert other.mail.view_at_hand(ALICE, INBOX) is view
        await store.mail.store_flags(ALICE, INBOX, [Uid(number)], "add", SEEN)
        assert not other.mail.is_unchanged(ALICE, INBOX, view.modseq)
        assert other.mail.view_at_hand(ALICE, INBOX) is None


async def test_what_happened_before_is_no_change_and_what_is_to_come_is_unknown(
    store: Opened,
) -> None:
    await store.put(item())
    view = await store.mail.view(ALICE, INBOX)
    for since in range(view.modseq + 3):
        is_now = since == view.modseq
        assert store.mail.is_unchanged(ALICE, INBOX, type(view.modseq)(since)) is is_now


async def test_a_database_that_is_gone_is_noticed_at_once_and_made_again(store: Opened) -> None:
    await store.put(item())
    view = await store.mail.view(ALICE, INBOX)
    (database,) = store.root.rglob("account.db")
    await asyncio.to_thread(database.unlink)
    assert not store.mail.is_unchanged(ALICE, INBOX, view.modseq)
    assert store.mail.view_at_hand(ALICE, INBOX) is None
    assert (await store.mail.changes(ALICE, INBOX, view.modseq)).upto >= view.modseq
    assert (await store.mail.view(ALICE, INBOX)).total == 1


async def test_bytes_at_hand_are_those_of_the_message(store: Opened) -> None:
    large = MESSAGE + b"x" * 78 + b"\r\n" + b"More.\r\n" * 100_000
    await store.put(item(), item(large))
    view = await store.mail.view(ALICE, INBOX)
    for start, count in ((0, None), (0, 10), (7, 10), (60, 1 << 40), (1 << 40, 10)):
        end = None if count is None else start + count
        assert bytes_of(store, view, 1, start, count) == MESSAGE[start:end]
    assert bytes_of(store, view, 2, 500_000, 2048) == large[500_000:502_048]
    assert bytes_of(store, view, 2) is None  # too much to be read beside others
    assert bytes_of(store, view, 2, 0, 1 << 20) is None
