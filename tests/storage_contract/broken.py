"""A driver with the fault the order check exists for: it gives out a UID before its transaction."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from rmail_kernel.storage.filesystem.appending import Prepared, place, prepare
from rmail_kernel.storage.filesystem.store import FilesystemMailStore
from rmail_kernel.storage.filesystem.transaction import Transaction
from rmail_kernel.storage.ids import AccountId
from rmail_kernel.storage.mail import Appended, AppendItem


class SplitAllocationStore(FilesystemMailStore):
    """Allocates in one transaction and inserts in the next."""

    async def append(self, account: AccountId, items: Sequence[AppendItem]) -> list[Appended]:
        """Stores messages, wrongly."""
        async with self._use(account) as one:
            found = []
            for item in items:
                uid, modseq = await one.write(partial(_allocate, item))
                made = await one.run(prepare, one.paths.temporary, item, self._owner, 0.0)
                found.append(await one.write(partial(_insert, made, uid, modseq)))
            return found


def _allocate(item: AppendItem, tx: Transaction) -> tuple[int, int]:
    return tx.allocate(tx.mailbox(item.mailbox), 1)[0], tx.next_modseq()


def _insert(made: Prepared, uid: int, modseq: int, tx: Transaction) -> Appended:
    return place(tx, made, tx.mailbox(made.item.mailbox), uid, modseq)
