"""Opens a store of any driver below a folder, in a test or in a process of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from rmail_kernel.clock import Clock
from rmail_kernel.content import Content
from rmail_kernel.model import Address
from rmail_kernel.process.events import LocalEvents
from rmail_kernel.storage.accounts import Account, Directory
from rmail_kernel.storage.events import EventBus
from rmail_kernel.storage.filesystem import FilesystemMailStore, prepare_root
from rmail_kernel.storage.filesystem.directory import FilesystemDirectory
from rmail_kernel.storage.filesystem.fsck import check
from rmail_kernel.storage.ids import AccountId
from rmail_kernel.storage.mail import Appended, AppendItem, MailStore
from tests.storage_contract.broken import SplitAllocationStore

ALICE = AccountId("alice@example.com")
BOB = AccountId("bob@example.com")
MESSAGE = b"From: Ann <ann@example.org>\r\nSubject: Hello\r\n\r\nA line.\r\n"
StoreClass = Callable[[Path, Directory, EventBus, Clock, ThreadPoolExecutor], FilesystemMailStore]
DRIVERS: dict[str, StoreClass] = {
    "filesystem": FilesystemMailStore,
    "split-allocation": SplitAllocationStore,
}
"""The drivers that must pass, and one that must not."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A store as one process has it open."""

    mail: MailStore
    directory: Directory
    events: LocalEvents
    root: Path

    async def put(self, *items: AppendItem, account: AccountId = ALICE) -> list[Appended]:
        """Appends messages."""
        return await self.mail.append(account, items)


@asynccontextmanager
async def opened(
    root: Path, driver: str = "filesystem", clock: Clock | None = None, *, check_after: bool = True
) -> AsyncIterator[Opened]:
    """The store below `root`, with two accounts; made when absent."""
    prepare_root(root)
    clock = clock or Clock()
    events = LocalEvents()
    directory = FilesystemDirectory(root, clock=clock, events=events)
    if not await directory.has_domain("example.com"):
        await directory.add_domain("example.com")
        for account in (ALICE, BOB):
            address = Address.parse(account)
            await directory.create(Account(account, address, "x", quota_mb=64))
    with ThreadPoolExecutor(4) as pool:
        store = DRIVERS[driver](root, directory, events, clock, pool)
        try:
            yield Opened(store, directory, events, root)
            if check_after and driver == "filesystem":
                await _check(store, directory, root)
        finally:
            await store.close()
            await directory.close()


async def _check(store: FilesystemMailStore, directory: Directory, root: Path) -> None:
    """Whatever a test did, the files and the index must agree afterwards."""
    used = [path.name for path in root.glob("domains/*/users/*") if (path / "account.db").exists()]
    for account in await directory.users("example.com"):
        if account.address.local not in used:
            continue
        report = await check(store, account.id, repair=False, progress=lambda *_: None)
        assert report.findings == [], report.findings


def item(
    raw: bytes = MESSAGE,
    *flags: str,
    mailbox: str = "INBOX",
    op_id: str | None = None,
    create: bool = False,
) -> AppendItem:
    """A message to append."""
    return AppendItem(mailbox, Content.of(raw), frozenset(flags), None, op_id=op_id, create=create)
