"""Searching through the store; the conditions themselves have their own tests."""

from __future__ import annotations

from rmail_kernel.storage.ids import MailboxId
from rmail_kernel.storage.search import And, Body, HasFlag, Header, Not, SearchNode, UidIn
from tests.storage_contract.rig import ALICE, MESSAGE, Opened, item

INBOX = MailboxId(1)


async def test_search_answers_with_ascending_uids(store: Opened, other: Opened) -> None:
    await store.put(
        item(MESSAGE, "\\Seen", "$Work"), item(b"Subject: Other\r\n\r\nword\r\n"), item()
    )
    wanted: list[tuple[SearchNode, list[int]]] = [
        (HasFlag("$work"), [1]),
        (Not(HasFlag("\\Seen")), [2, 3]),
        (Header("Subject", "hello"), [1, 3]),
        (Body("WORD"), [2]),
        (And((Header("From", "ann"), UidIn(((2, 9),)))), [3]),
    ]
    for query, uids in wanted:
        assert await other.mail.search(ALICE, INBOX, query) == uids
