"""Each operation of a store, with the disk failing at its first call, its second, and so on.

`python -m tests.faults.steps ROOT TROUBLE` prints a JSON object: how many failures each operation
met, and what was wrong.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from rmail_kernel.errors import Temporary
from rmail_kernel.storage.filesystem import FilesystemMailStore
from rmail_kernel.storage.filesystem.fsck import check
from rmail_kernel.storage.filesystem.layout import AccountPaths
from rmail_kernel.storage.filesystem.settling import leftovers
from rmail_kernel.storage.filesystem.unsettled import SMALL_BYTES
from rmail_kernel.storage.ids import MailboxId, Uid
from tests.faults.injection import TROUBLES, Faults, Trouble
from tests.storage_contract.rig import ALICE, MESSAGE, Opened, item, opened
from tests.storage_filesystem.scenario import State, state

INBOX = MailboxId(1)
LARGE = MESSAGE + b"x" * SMALL_BYTES
MAX_CALLS = 200
LATER_S = 2 * 86_400
Act = Callable[[Opened], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Operation:
    """Something a client asks for. `undo` leads back to where it can be asked for again."""

    act: Act
    undo: Act


async def _uids(store: Opened, mailbox: str) -> list[Uid]:
    view = await store.mail.view(ALICE, mailbox)
    return [Uid(uid) for uid in view.uids[: view.total]]


async def _empty(store: Opened, mailbox: str) -> None:
    status = await store.mail.status(ALICE, mailbox)
    await store.mail.expunge(ALICE, status.id, None, only_deleted=False)


async def _fill(store: Opened, mailbox: str) -> None:
    await store.put(item(mailbox=mailbox), item(LARGE, mailbox=mailbox))


async def _move(store: Opened, source: str, target: str) -> None:
    status = await store.mail.status(ALICE, source)
    await store.mail.move(ALICE, status.id, await _uids(store, source), target)


async def _expunge(store: Opened, mailbox: str) -> None:
    status = await store.mail.status(ALICE, mailbox)
    await store.mail.expunge(ALICE, status.id, await _uids(store, mailbox), only_deleted=False)


async def _flag(store: Opened, op: str) -> None:
    uids = await _uids(store, "INBOX")
    flags = frozenset({"\\Flagged", "$New"})
    if op == "add":
        await store.mail.store_flags(ALICE, INBOX, uids, "add", flags)
    else:
        await store.mail.store_flags(ALICE, INBOX, uids, "remove", flags)


async def _rename_back(store: Opened) -> None:
    await store.mail.rename(ALICE, "Weekly", "Daily")
    await store.mail.subscribe(ALICE, "Weekly", False)


OPERATIONS: dict[str, Operation] = {
    "append": Operation(lambda s: s.put(item(mailbox="Sent")), lambda s: _empty(s, "Sent")),
    "append of a large message": Operation(
        lambda s: s.put(item(LARGE, mailbox="Sent")), lambda s: _empty(s, "Sent")
    ),
    "flags": Operation(lambda s: _flag(s, "add"), lambda s: _flag(s, "remove")),
    "copy": Operation(
        lambda s: s.mail.copy(ALICE, INBOX, [Uid(1), Uid(2)], "Junk"), lambda s: _empty(s, "Junk")
    ),
    "move": Operation(
        lambda s: _move(s, "Archive", "Trash"), lambda s: _move(s, "Trash", "Archive")
    ),
    "expunge": Operation(lambda s: _expunge(s, "Drafts"), lambda s: _fill(s, "Drafts")),
    "create": Operation(
        lambda s: s.mail.create(ALICE, "New"), lambda s: s.mail.delete(ALICE, "New")
    ),
    "rename": Operation(
        lambda s: s.mail.rename(ALICE, "Old", "Older"),
        lambda s: s.mail.rename(ALICE, "Older", "Old"),
    ),
    "delete": Operation(
        lambda s: s.mail.delete(ALICE, "Gone"), lambda s: s.mail.create(ALICE, "Gone")
    ),
    "delete of a subscribed mailbox": Operation(
        lambda s: s.mail.delete(ALICE, "Read"), lambda s: s.mail.create(ALICE, "Read")
    ),
    "rename of a subscribed mailbox": Operation(
        lambda s: s.mail.rename(ALICE, "Daily", "Weekly"), _rename_back
    ),
    "subscribe": Operation(
        lambda s: s.mail.subscribe(ALICE, "Sent", False),
        lambda s: s.mail.subscribe(ALICE, "Sent", True),
    ),
}


def _bare(found: State) -> dict[str, list[object]]:
    """What was there, without UIDs and the number of keywords, which stay."""
    bare: dict[str, list[object]] = {"": [*found[""]]}
    for name in found.keys() - bare.keys():
        rows = found[name]
        bare[name] = [rows[0][:2], *sorted([one[1], one[3]] for one in rows[1:])]
    return bare


class Round:
    """One operation under one trouble, until it needs no call that has not failed yet."""

    def __init__(self, store: Opened, faults: Faults, trouble: Trouble, name: str) -> None:
        self._store = store
        self._faults = faults
        self._trouble = trouble
        self._name = name
        self._operation = OPERATIONS[name]
        self.wrong: list[str] = []

    async def run(self) -> int:
        """How many calls failed in turn."""
        before = _bare(await state(self._store.mail))
        await self._operation.act(self._store)
        after = _bare(await state(self._store.mail))
        await self._operation.undo(self._store)
        for nth in range(1, MAX_CALLS):
            if not await self._once(nth, before, after):
                return nth - 1
        self.wrong.append(f"{self._name}: no end")
        return MAX_CALLS

    async def _once(self, nth: int, before: object, after: object) -> bool:
        """Whether a call failed."""
        self._faults.arm(self._trouble, nth)
        error: Exception | None = None
        try:
            await self._operation.act(self._store)
        except Exception as caught:
            error = caught
        fired = self._faults.disarm()
        found = _bare(await state(self._store.mail))
        where = f"{self._name}, call {nth}"
        if error is not None and not isinstance(error, Temporary):
            self.wrong.append(f"{where}: {error!r}")
        if error is None and found != after:
            self.wrong.append(f"{where}: answered, not done: {_difference(found, after)}")
        if found not in (before, after):
            self.wrong.append(f"{where}: half done: {_difference(found, before)}")
        if found != after:
            await self._operation.act(self._store)
            again = _bare(await state(self._store.mail))
            if again != after:
                self.wrong.append(f"{where}: a retry: {_difference(again, after)}")
        await self._operation.undo(self._store)
        return fired > 0


def _difference(found: object, wanted: object) -> str:
    assert isinstance(found, dict)
    assert isinstance(wanted, dict)
    names = found.keys() | wanted.keys()
    return repr(
        {
            name: (str(found.get(name))[:200], str(wanted.get(name))[:200])
            for name in names
            if found.get(name) != wanted.get(name)
        }
    )


async def main(root: Path, trouble: str) -> None:
    """Runs all operations."""
    result: dict[str, int] = {}
    wrong: list[str] = []
    faults = Faults(root)
    async with opened(root) as store:
        assert isinstance(store.mail, FilesystemMailStore)
        await store.put(item(MESSAGE, "\\Seen"), item(LARGE))
        await _fill(store, "Archive")
        await _fill(store, "Drafts")
        for name in ("Old", "Old/Inner", "Gone", "Read", "Daily"):
            await store.mail.create(ALICE, name)
        for name in ("Read", "Daily"):
            await store.mail.subscribe(ALICE, name, True)
        for name in OPERATIONS:
            one = Round(store, faults, TROUBLES[trouble], name)
            result[name] = await one.run()
            wrong += one.wrong
        report = await check(store.mail, ALICE, repair=False, progress=lambda *_: None)
        wrong += [found.text for found in report.findings]
        paths = AccountPaths.of(root, ALICE)
        # What resists to be removed, or was withdrawn, goes later; nothing else may be there.
        for path in leftovers(paths, time.time() + LATER_S):
            path.unlink()
        left = [*paths.temporary.iterdir(), *paths.home.rglob(".*.json.*")]
        wrong += [f"left over: {path.name}" for path in left if not path.is_dir()]
    sys.stdout.write(json.dumps({"failed": result, "wrong": wrong}) + "\n")


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
