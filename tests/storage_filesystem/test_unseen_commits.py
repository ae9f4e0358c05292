"""A writer is killed when its commit is in the log and nobody sees it yet, the next one is killed
while it recovers, and whoever comes after them finds the commit: no message is lost by that.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from rmail_kernel.errors import Conflict, NotFound
from rmail_kernel.storage.filesystem import agreement, schema, tables
from rmail_kernel.storage.filesystem.layout import AccountPaths
from rmail_kernel.storage.ids import Uid
from rmail_kernel.storage.mail import Field
from tests.storage_contract.rig import ALICE, Opened, item, opened
from tests.storage_filesystem.unseen import LARGE, SMALL, WORKS

ROOT = Path(__file__).parents[2]
MESSAGES = [f"Subject: {number}\r\n\r\n".encode() for number in range(3)]
SENT = b"Subject: sent\r\n\r\n"
BEFORE = {"INBOX": MESSAGES, "Sent": [SENT]}
DONE = {
    "move": BEFORE | {"INBOX": MESSAGES[2:], "Archive": MESSAGES[:2]},
    "copy": BEFORE | {"Archive": MESSAGES[:2]},
    "large": BEFORE | {"INBOX": [*MESSAGES, LARGE]},
    "small": BEFORE | {"INBOX": [*MESSAGES, SMALL]},
    "create": BEFORE,
    "rename": {"INBOX": MESSAGES, "Other": [SENT]},
    "delete": {"INBOX": MESSAGES},
    "expunge": BEFORE | {"INBOX": MESSAGES[1:]},
    "flags": BEFORE,
}
"""What each work has to come to."""
CASES = [
    *((work, "recovery.removed") for work in WORKS if work not in {"expunge", "flags"}),
    *((work, step) for work in WORKS for step in ("commit.before", "commit.after")),
]
"""Where the second process dies; what announces no files is not recovered from."""


def _start(root: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.storage_filesystem.unseen", str(root), *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def kill_two(root: Path, work: str, then: str, failpoint: str) -> None:
    """One process dies with its commit unseen; another, which had the account open all the time,
    dies at a step of what it does next.
    """
    with _start(root, then, failpoint) as second:
        assert second.stdout is not None
        assert second.stdout.readline() == "open\n"
        with _start(root, work) as first:
            first.communicate(timeout=60)
        assert first.returncode == 137
        second.communicate("go\n", timeout=60)
    assert second.returncode == 137


async def contents(store: Opened) -> dict[str, list[bytes]]:
    """All that can be read, by mailbox."""
    found: dict[str, list[bytes]] = {}
    for status in await store.mail.mailboxes(ALICE):
        view = await store.mail.view(ALICE, status.id)
        found[status.name] = []
        async for some in store.mail.fetch(
            ALICE, status.id, list(map(Uid, view.uids)), Field.CONTENT
        ):
            for one in some:
                assert one.content is not None
                found[status.name].append(await one.content.read())
        assert len(found[status.name]) == status.total
    return found


@pytest.mark.parametrize(("work", "failpoint"), CASES)
async def test_a_commit_that_nobody_saw_is_no_danger_to_what_it_was_about(
    tmp_path: Path, work: str, failpoint: str
) -> None:
    root = tmp_path / "store"
    async with opened(root) as store:
        await store.put(*map(item, MESSAGES))
        await store.put(item(SENT, mailbox="Sent"))
    kill_two(root, work, "flags", failpoint)
    async with opened(root) as store:  # compares index and files at its end
        before = await contents(store)
        # The client had no answer, so it may be done or not; and it tries again.
        with suppress(Conflict, NotFound):
            await WORKS[work](store)
        after = await contents(store)
    kept = MESSAGES[1:] if work == "expunge" else MESSAGES
    assert set(kept) <= set(before["INBOX"] + before["Archive"])
    assert {name: raws for name, raws in after.items() if raws} == DONE[work]


async def test_recoveries_take_no_modseq_beyond_the_reserve(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await store.put(item())
    paths = AccountPaths.of(tmp_path, ALICE)
    db = schema.connect(paths.database)
    db.execute("UPDATE account SET modseq_reserved = modseq + 1")
    counters = tables.account_row(db)
    paths.counters.write_text(json.dumps(counters.as_json()))
    for _ in range(3):
        paths.lock.write_text("\n")  # somebody died
        async with opened(tmp_path) as store:
            assert (await store.mail.status(ALICE, "INBOX")).total == 1
        assert agreement.is_agreed(db, paths)
    assert tables.account_row(db).modseq >= counters.modseq + 3
    db.close()
