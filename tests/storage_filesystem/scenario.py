"""A fixed series of operations, and processes that die in the middle of it.

`python -m tests.storage_filesystem.scenario` reads a JSON list of [folder, failpoint, count] and
runs the series once for each in a forked process; it prints how each ended.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from rmail_kernel import failpoints
from rmail_kernel.storage.filesystem import FilesystemMailStore, schema
from rmail_kernel.storage.filesystem.unsettled import SMALL_BYTES
from rmail_kernel.storage.ids import MailboxId, Uid
from rmail_kernel.storage.mail import Field, MailStore
from tests.storage_contract.rig import ALICE, Opened, item, opened
from tests.storage_filesystem.at_rest import rest

MORE = frozenset({"$K", "\\Seen"})
INBOX = MailboxId(1)
LARGE = (2, 6)
"""Messages that are synced as files before they are committed."""
Step = Callable[[Opened], Awaitable[object]]
State = dict[str, list[list[Any]]]


def _message(number: int, mailbox: str = "INBOX", *flags: str) -> Any:
    raw = b"Subject: message %d\r\n\r\n" % number
    if number in LARGE:
        raw += b"x" * SMALL_BYTES
    return item(raw, *flags, mailbox=mailbox, op_id=f"op-{number}")


async def _settle(store: Opened) -> None:
    assert isinstance(store.mail, FilesystemMailStore)
    await store.mail.settle(ALICE)


async def _replace(store: Opened) -> None:
    junk = await store.mail.status(ALICE, "Junk")
    await store.put(replace(_message(9, "Junk"), replaces=(junk.id, Uid(1))))


KEYWORDS = [f"$K{index:02}" for index in range(30)]
"""More than there are letters."""
STEPS: list[Step] = [
    lambda s: s.mail.mailboxes(ALICE),
    lambda s: s.mail.create(ALICE, "Work/Now"),
    lambda s: s.put(_message(1)),
    lambda s: s.put(_message(2, "INBOX", "\\Seen", "$Old")),
    lambda s: s.put(_message(3), _message(4, "Work"), _message(5)),
    lambda s: s.mail.store_flags(
        ALICE, INBOX, [Uid(1), Uid(3)], "add", frozenset({"$K", "\\Seen"})
    ),
    lambda s: s.mail.annotate(ALICE, "Work", {"/private/comment": b"mine", "/shared/x": b"\xff"}),
    lambda s: s.mail.annotate(ALICE, "Work", {"/private/specialuse": b"\\Flagged"}),
    lambda s: s.mail.copy(ALICE, INBOX, [Uid(1), Uid(2)], "Work/Now", op_id="copy"),
    lambda s: s.mail.move(ALICE, INBOX, [Uid(3), Uid(4)], "Work", op_id="move"),
    lambda s: s.mail.expunge(ALICE, INBOX, [Uid(2)], only_deleted=False),
    lambda s: s.mail.store_flags(ALICE, INBOX, [Uid(1)], "remove", frozenset({"\\Seen"})),
    lambda s: s.mail.rename(ALICE, "Work", "Done/Work"),
    lambda s: s.mail.subscribe(ALICE, "Done/Work", True),
    _settle,
    lambda s: s.put(_message(6, "Junk")),
    lambda s: s.mail.delete(ALICE, "Junk"),
    lambda s: s.mail.create(ALICE, "Junk", special_use="\\Junk"),
    lambda s: s.put(_message(8, "INBOX", *KEYWORDS)),
    lambda s: s.mail.store_flags(ALICE, INBOX, [Uid(1)], "add", frozenset(KEYWORDS[-2:])),
    lambda s: s.mail.copy(ALICE, INBOX, [Uid(1)], "Done/Work/Now", op_id="more"),
    _settle,
    lambda s: s.mail.store_flags(ALICE, INBOX, [Uid(1)], "remove", frozenset(KEYWORDS[-1:])),
    lambda s: s.mail.annotate(ALICE, None, {"/shared/admin": b"me"}),
    lambda s: s.put(_message(7, "Junk")),
    _replace,
    _settle,
]


async def state(mail: MailStore) -> State:
    """Everything that users see: mailboxes, subscriptions, and UID, flags, date and bytes of each
    message.
    """
    notes: list[Any] = sorted((await mail.annotations(ALICE, None)).items())
    found: State = {"": [notes, await mail.subscriptions(ALICE)]}
    for status in await mail.mailboxes(ALICE):
        view = await mail.view(ALICE, status.id)
        notes = sorted((await mail.annotations(ALICE, status.id)).items())
        rows: list[list[Any]] = [
            [status.is_subscribed, status.special_use, len(view.keywords), notes]
        ]
        async for some in mail.fetch(ALICE, status.id, list(map(Uid, view.uids)), Field.CONTENT):
            for one in some:
                assert one.content is not None
                raw = await one.content.read()
                names = sorted(view.flag_names(one.flags))
                rows.append([one.uid, names, one.internal_date.timestamp(), raw.decode()])
                assert one.uid < status.uidnext
        found[status.name] = rows
        assert len(rows) - 1 == status.total
    return found


async def run(root: Path, done: Callable[[int], object], clock: Any) -> None:
    """Runs the series; `done` is told the number of steps that were answered."""
    async with opened(root, clock=clock, check_after=False) as store:
        for number, step in enumerate(STEPS, 1):
            await step(store)
            done(number)


def _child(root: Path, name: str, count: int) -> None:
    from rmail_kernel.testing import FakeClock

    rest()
    vars(schema)["CHECKPOINT_PAGES"] = 30  # so that there is something to write back
    failpoints.arm(name, count)
    with (root / "answered").open("wb", buffering=0) as ledger:
        asyncio.run(run(root / "store", lambda _: ledger.write(b"."), FakeClock()))


def main() -> None:
    """Forks once for each case, so that the imports are paid for once."""
    results = []
    for folder, name, count in json.load(sys.stdin):
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                _child(Path(folder), name, count)
                status = 0
            finally:
                os._exit(status)
        results.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    sys.stdout.write(json.dumps(results))


if __name__ == "__main__":
    main()
