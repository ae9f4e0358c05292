"""The extension as an installed plugin of a whole server."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from rmail_kernel.content import Content
from rmail_kernel.storage.ids import AccountId
from rmail_kernel.storage.mail import AppendItem
from rmail_kernel.testing import RunningServer


@pytest.fixture
def rmail_plugins() -> list[str]:
    return ["unread_total", "imap"]


async def test_unread_messages_of_all_mailboxes_are_counted(rmail_server: RunningServer) -> None:
    arrived_at = datetime(2026, 3, 4, tzinfo=UTC)
    items = [
        AppendItem(mailbox, Content.of(b"Subject: x\r\n\r\n"), frozenset(flags), arrived_at)
        for mailbox, flags in (("INBOX", ()), ("INBOX", ("\\Seen",)), ("Archive", ()))
    ]
    await rmail_server.kernel.mail.append(AccountId("alice@example.com"), items)
    async with rmail_server.connect("imap") as client:
        await client.run("""
            S: * OK [CAPABILITY * X-UNREAD*] *
            C: a X-UNREAD
            S: a BAD *
            C: b LOGIN alice secret
            S: b OK [CAPABILITY * X-UNREAD*] *
            C: c X-UNREAD
            S: * X-UNREAD 2
            S: c OK X-UNREAD completed
            C: d X-UNREAD now
            S: d BAD *
            C: e EXAMINE INBOX
        """)
        await client.until("e OK *")
        await client.run("""
            C: f FETCH 1:2 (UID x-weekday FLAGS)
            S: * 1 FETCH (UID 1 X-WEEKDAY "Wed" FLAGS (*))
            S: * 2 FETCH (UID 2 X-WEEKDAY "Wed" FLAGS (\\Seen*))
            S: f OK *
            C: g FETCH 1 X-WEEKDAY
            S: * 1 FETCH (X-WEEKDAY "Wed")
            S: g OK *
        """)
