"""After a power loss an answered message is whole, under its UID, whatever became of its file; its
row has it until the file is on disk.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import cast

import apsw
import pytest

from rmail_kernel.errors import Temporary
from rmail_kernel.storage.filesystem import FilesystemMailStore, unsettled
from rmail_kernel.storage.filesystem.appending import append, prepare
from rmail_kernel.storage.filesystem.batch import Batches, Work
from rmail_kernel.storage.filesystem.copying import copy
from rmail_kernel.storage.filesystem.disk import Owner
from rmail_kernel.storage.filesystem.expunging import expunge
from rmail_kernel.storage.filesystem.flagging import store_flags
from rmail_kernel.storage.filesystem.layout import AccountPaths
from rmail_kernel.storage.filesystem.outside import take_mailbox
from rmail_kernel.storage.filesystem.transaction import NO_LIMIT
from rmail_kernel.storage.ids import MailboxId, Uid
from rmail_kernel.storage.mail import Field
from rmail_kernel.testing import FakeClock
from tests.storage_contract.rig import ALICE, MESSAGE, Opened, item, opened
from tests.storage_contract.test_messages import fetched
from tests.storage_filesystem.damage import paths as paths_of
from tests.storage_filesystem.scenario import STEPS, State, state
from tests.storage_filesystem.test_crashes import COUNTS, ROOT, crash, expected_states

INBOX = MailboxId(1)
KINDS = ("emptied", "cut", "removed")
# Steps after a commit: what was made before one may be found as from outside.
STEPS_AFTER = ("commit.after", "append.landed", "followup.after", "unsettled.synced")
CASES = [(name, count) for name in STEPS_AFTER for count in range(1, COUNTS[name] + 1)]


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, int], Path]:
    """A store for each step at which the power fails; copied before it is used."""
    return crash(tmp_path_factory.mktemp("left"), CASES)


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> list[State]:
    """What is seen after each number of steps, when nothing goes wrong."""
    return asyncio.run(expected_states(tmp_path_factory.mktemp("expected") / "store"))


def lose_power(root: Path, kind: str) -> int:
    """Takes from a store what was not synced: contents or names of files, and the intent."""
    paths = paths_of(root)
    if not paths.database.exists():
        return 0
    paths.lock.write_bytes(b"")
    with apsw.Connection(str(paths.database)) as db:
        rows = list(db.execute("SELECT key >> 32, key & 0xffffffff, content FROM incoming"))
    db.close()
    for mailbox, uid, raw in rows:
        for directory in paths.mailboxes.iterdir():
            if json.loads((directory / "status.json").read_bytes())["id"] == mailbox:
                for path in directory.glob(f"*/{uid:08d}_*.eml"):
                    _harm(path, raw, kind)
    return len(rows)


def _harm(path: Path, raw: bytes, kind: str) -> None:
    path.unlink()  # other links to it were synced
    if kind != "removed":
        path.write_bytes(raw[: len(raw) // 2] if kind == "cut" else b"")


@pytest.mark.timeout(240)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]}:{case[1]}")
async def test_what_was_answered_survives_a_power_loss(
    case: tuple[str, int],
    kind: str,
    left: dict[tuple[str, int], Path],
    expected: list[State],
    tmp_path: Path,
) -> None:
    answered = len((left[case] / "answered").read_bytes())
    shutil.copytree(left[case] / "store", tmp_path / "store")
    lose_power(tmp_path / "store", kind)
    async with opened(tmp_path / "store", clock=FakeClock()) as store:
        found = await state(store.mail)
        assert found in expected[answered : answered + 2]
        if answered < len(STEPS) and found == expected[answered]:
            await STEPS[answered](store)
            assert await state(store.mail) == expected[answered + 1]


@pytest.mark.timeout(240)
@pytest.mark.parametrize("count", [1, 2])
async def test_a_crash_while_messages_are_restored_is_made_good(
    count: int, left: dict[tuple[str, int], Path], expected: list[State], tmp_path: Path
) -> None:
    case = next(  # the fifth step has stored several
        case for case, folder in left.items() if len((folder / "answered").read_bytes()) == 5
    )
    shutil.copytree(left[case], tmp_path / "case")
    assert lose_power(tmp_path / "case/store", "removed") > count
    done = subprocess.run(
        [sys.executable, "-m", "tests.storage_filesystem.scenario"],
        cwd=ROOT,
        input=json.dumps([(str(tmp_path / "case"), "restore.replaced", count)]),
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == [137]
    async with opened(tmp_path / "case/store", clock=FakeClock()) as store:
        assert await state(store.mail) in expected[5:7]


def rows(paths: AccountPaths) -> int:
    """How many messages are unsettled."""
    with apsw.Connection(str(paths.database)) as db:
        found = db.execute("SELECT count(*) FROM incoming").fetchall()
    db.close()
    return cast(int, found[0][0])


@pytest.mark.parametrize("count", [1, unsettled.FEW + 1])
async def test_the_settling_pass_leaves_no_rows(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths, count: int
) -> None:
    await store.put(*(item() for _ in range(count)))
    await mail.settle(ALICE)
    assert rows(paths) == 0
    assert len(await fetched(store, list(range(1, count + 1)), Field.CONTENT)) == count


async def test_a_message_above_the_limit_is_synced_before_it_is_answered(
    store: Opened, paths: AccountPaths
) -> None:
    await store.put(item(MESSAGE + b"x" * unsettled.SMALL_BYTES))
    assert rows(paths) == 0


async def test_an_expunged_or_deleted_message_leaves_no_row(
    store: Opened, paths: AccountPaths
) -> None:
    await store.put(item(), item(mailbox="Trash"))
    await store.mail.expunge(ALICE, INBOX, [Uid(1)], only_deleted=False)
    await store.mail.delete(ALICE, "Trash")
    assert rows(paths) == 0


async def test_after_a_failed_sync_messages_are_written_anew(
    store: Opened,
    mail: FilesystemMailStore,
    paths: AccountPaths,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await store.put(item())
    path = paths.mailboxes / "INBOX/0000/00000001_.eml"
    inode = path.stat().st_ino

    def fail(*_: object) -> list[int]:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(unsettled, "sync", fail)
        await mail.settle(ALICE)
    assert rows(paths) == 0
    assert path.stat().st_ino != inode
    assert path.read_bytes() == MESSAGE


async def test_what_shares_a_batch_with_a_new_message_sees_it(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths
) -> None:
    await mail.settle(ALICE)
    owner = Owner.of(store.root)
    batches = Batches(paths, owner, FakeClock().time)
    prepared = [prepare(paths.temporary, item(), owner, 0.0) for _ in range(2)]
    works = [
        Work(lambda tx: append(tx, prepared, NO_LIMIT)),
        Work(partial(take_mailbox, INBOX)),
        Work(lambda tx: copy(tx, INBOX, [1, 2], "Sent", None, NO_LIMIT)),
        Work(lambda tx: store_flags(tx, INBOX, [1], "add", frozenset({"\\Seen"}), None)),
        Work(lambda tx: expunge(tx, INBOX, [2], only_deleted=False)),
    ]
    outcomes, _ = batches.run(works)
    batches.close()
    assert [outcome.error for outcome in outcomes] == [None] * len(works)
    names = {path.name for path in paths.mailboxes.glob("*/*/*.eml")}
    assert names == {"00000001_S.eml", "00000001_.eml", "00000002_.eml"}
    sent = next(one for one in await mail.mailboxes(ALICE) if one.name == "Sent")
    assert sent.total == 2
    assert (await mail.view(ALICE, INBOX)).total == 1
    assert list(paths.temporary.iterdir()) == []


async def test_an_operation_that_cannot_be_prepared_fails_alone(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths
) -> None:
    await mail.settle(ALICE)
    batches = Batches(paths, Owner.of(store.root), FakeClock().time)

    def full() -> None:
        raise OSError(28, "No space left on device")

    outcomes, _ = batches.run([Work(lambda _: 1), Work(lambda _: 2, before=full)])
    alone, _ = batches.run([Work(lambda _: 2, before=full)])
    batches.close()
    assert outcomes[0].value == 1
    assert isinstance(outcomes[1].error, Temporary)
    assert isinstance(alone[0].error, Temporary)
