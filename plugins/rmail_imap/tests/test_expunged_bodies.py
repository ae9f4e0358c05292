"""FETCH of a message that somebody else expunged while it was looked at (RFC 2180 4.1.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from rmail_imap.bodies import Body
from rmail_imap.catalog import Catalog
from rmail_imap.config import ImapSettings
from rmail_imap.parse.cursor import Cursor
from rmail_imap.parse.fetch import BodyItem, fetch_args
from rmail_imap.selected import Selected
from rmail_imap.session import Session
from rmail_imap.value_cache import ValueCache
from rmail_imap.wire import Wire

from rmail_kernel.errors import NotFound
from rmail_kernel.lanes import Lanes
from rmail_kernel.model import Address, Principal, SessionInfo
from rmail_kernel.storage.ids import AccountId
from rmail_kernel.storage.mail import Field
from rmail_kernel.testing import RunningServer

if TYPE_CHECKING:
    from plugins.rmail_imap.tests.conftest import Fill

ALICE = AccountId("alice@example.com")


@pytest.mark.parametrize("item", ["BODY.PEEK[TEXT]", "BODY.PEEK[]", "BINARY.PEEK[1]"])
async def test_it_is_gone_and_not_damaged(
    rmail_server: RunningServer, fill: Fill, item: str
) -> None:
    (one,) = await fill(1)
    mail = rmail_server.kernel.mail
    fetched = [
        row
        async for batch in mail.fetch(ALICE, one.mailbox, [one.uid], Field.NONE)
        for row in batch
    ]
    session = _session(rmail_server)
    session.selected = Selected(
        await mail.view(ALICE, one.mailbox), name="INBOX", is_read_only=True
    )
    await mail.expunge(ALICE, one.mailbox, [one.uid], only_deleted=False)
    (wanted,) = fetch_args(Cursor(f" 1 {item}".encode())).items
    assert isinstance(wanted, BodyItem)
    with pytest.raises(NotFound):
        await Body(session, fetched[0]).find(wanted)


def _session(server: RunningServer) -> Session:
    info = SessionInfo(id="x", protocol="imap", peer_host="", peer_port=0, local_port=0, tls="")
    session = Session(
        server.kernel,
        ImapSettings(),
        Wire(lambda _: None),
        info,
        Catalog().offer,
        ValueCache(),
        Lanes(1),
    )
    session.logged_in(Principal(ALICE, Address.parse("alice@example.com")))
    return session
