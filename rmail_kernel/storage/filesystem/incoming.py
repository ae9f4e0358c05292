"""The way of new messages through pool and writer: written in parallel, then named in one batch."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from rmail_kernel.errors import Invalid
from rmail_kernel.storage.filesystem.account import OpenAccount
from rmail_kernel.storage.filesystem.appending import Prepared, append, is_small, prepare
from rmail_kernel.storage.filesystem.disk import Owner
from rmail_kernel.storage.filesystem.transaction import Room
from rmail_kernel.storage.mail import Appended, AppendItem

_log = structlog.get_logger("rmail.storage")


async def store_messages(
    account: OpenAccount,
    owner: Owner,
    items: Sequence[AppendItem],
    room: Room,
    now: float,
) -> list[Appended]:
    """See MailStore.append. Nothing is left of messages that could not be stored."""
    named = [item.op_id for item in items if item.op_id is not None]
    if len(set(named)) < len(named):
        raise Invalid("Two messages of one call have the same operation id")
    if all(is_small(item) for item in items):
        return await _store_small(account, owner, items, room, now)
    directory = account.paths.temporary
    outcomes = await asyncio.gather(
        *(account.run(prepare, directory, item, owner, now) for item in items),
        return_exceptions=True,
    )
    prepared = [one for one in outcomes if isinstance(one, Prepared)]
    is_stored = False
    try:
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        stored = await account.write(lambda tx: append(tx, prepared, room))
        is_stored = True
    finally:
        if not is_stored:
            await account.run(_discard, prepared)
    return stored


async def _store_small(
    account: OpenAccount,
    owner: Owner,
    items: Sequence[AppendItem],
    room: Room,
    now: float,
) -> list[Appended]:
    """Writes and names messages in one go: nothing of it waits for a disk but the commit."""
    prepared: list[Prepared] = []
    directory = account.paths.temporary

    def write() -> None:
        for item in items:
            prepared.append(prepare(directory, item, owner, now))

    return await account.write(
        lambda tx: append(tx, prepared, room),
        before=write,
        failed=lambda: _discard(prepared),
    )


def _discard(prepared: Sequence[Prepared]) -> None:
    """Removes what was not stored. What resists is removed as a leftover later: whoever waits must
    hear of the first trouble, not of this.
    """
    for one in prepared:
        try:
            one.path.unlink(missing_ok=True)
        except OSError as error:
            _log.warning("a temporary file stays", error=str(error))
