"""A process of its own that writes to a store, or watches it and counts what appears too late.

`python -m tests.storage_contract.worker ROLE DRIVER ROOT SECONDS` prints one JSON object.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rmail_kernel.storage.ids import MailboxId, ModSeq, Uid
from tests.storage_contract.rig import ALICE, Opened, item, opened

INBOX = MailboxId(1)
LANES = 4


@dataclass(slots=True)
class Report:
    """What a watcher saw. `late_uids`: UIDs below one that was visible before they were."""

    messages: int = 0
    late_uids: int = 0
    late_modseqs: int = 0
    wrong_uidnext: int = 0
    wrong_views: int = 0
    flags: dict[int, int] = field(default_factory=dict)


async def write(store: Opened, until: float) -> int:
    """Appends and changes flags from several tasks until the time is over; how many were stored."""

    async def lane(number: int) -> int:
        stored = 0
        choice = random.Random(number)
        while time.monotonic() < until:
            (one,) = await store.put(item())
            stored += 1
            if choice.random() < 0.3:
                await store.mail.store_flags(
                    ALICE, INBOX, [Uid(choice.randint(1, one.uid))], "add", frozenset({"\\Seen"})
                )
        return stored

    return sum(await asyncio.gather(*map(lane, range(LANES))))


async def watch(store: Opened, until: float) -> Report:
    """Reads changes and views until the time is over and everything written has been seen."""
    report = Report()
    known: dict[int, int] = {}
    upto = ModSeq(0)
    while True:
        is_last = time.monotonic() >= until
        changes = await store.mail.changes(ALICE, INBOX, upto)
        highest = max(known, default=0)
        for one in changes.changed:
            report.late_uids += one.uid not in known and one.uid < highest
            report.wrong_uidnext += one.uid >= changes.uidnext
            known[one.uid] = one.flags
        upto = changes.upto
        view = await store.mail.view(ALICE, INBOX)
        if view.modseq == upto:
            seen = dict(zip(view.uids[: view.total], view.flags[: view.total], strict=True))
            # What the view has and the changes never told appeared at or below `upto`, too late.
            report.late_modseqs += len(seen.items() ^ known.items())
            report.wrong_views += list(seen) != sorted(seen)
            if is_last:
                break
        await asyncio.sleep(0.001)  # a pace, not a wait: two watchers must not take both cores
    report.messages, report.flags = len(known), known
    return report


async def main(role: str, driver: str, root: str, seconds: str) -> None:
    """Runs one process."""
    async with opened(Path(root), driver) as store:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.readline()
        until = time.monotonic() + float(seconds)
        if role == "write":
            found: object = await write(store, until)
        else:
            found = asdict(await watch(store, until + 0.5))
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:5]))
