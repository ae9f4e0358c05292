"""Sessions with a real server, and mail in its store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio

from rmail_kernel.content import Content
from rmail_kernel.storage.ids import AccountId
from rmail_kernel.storage.mail import Appended, AppendItem
from rmail_kernel.testing import RunningServer, Transcript

Connect = Callable[..., Awaitable[Transcript]]
Fill = Callable[..., Awaitable[list[Appended]]]
ALICE = AccountId("alice@example.com")
RAW = b"From: Bob <bob@example.com>\r\nTo: alice@example.com\r\nSubject: %b\r\n\r\nHello %b\r\n"


@pytest.fixture
def rmail_plugins() -> list[str]:
    return ["imap"]


@pytest_asyncio.fixture
async def connect(rmail_server: RunningServer) -> AsyncIterator[Connect]:
    """Opens a logged-in session; closing it checks that nothing is left unread."""
    async with AsyncExitStack() as stack:

        async def open_session(mailbox: str = "", listener: str = "imap") -> Transcript:
            client = await stack.enter_async_context(rmail_server.connect(listener))
            await client.run("""
                S: * OK [CAPABILITY *] *
                C: login LOGIN alice secret
                S: login OK [CAPABILITY *] *
            """)
            if mailbox:
                await client.send(f"select SELECT {mailbox}\r\n".encode())
                await client.until("select OK *")
            return client

        yield open_session


@pytest_asyncio.fixture
async def client(connect: Connect) -> Transcript:
    """A logged-in session of alice."""
    return await connect()


@pytest.fixture
def fill(rmail_server: RunningServer) -> Fill:
    """Puts messages into a mailbox of alice: a count, or raw messages."""

    async def append(
        what: int | list[bytes], mailbox: str = "INBOX", flags: frozenset[str] = frozenset()
    ) -> list[Appended]:
        raws = what
        if isinstance(raws, int):
            raws = [RAW % (b"%d" % n, b"%d" % n) for n in range(1, raws + 1)]
        items = [AppendItem(mailbox, Content.of(raw), flags) for raw in raws]
        return await rmail_server.kernel.mail.append(ALICE, items)

    return append
