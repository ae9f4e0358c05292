"""Whatever call of whatever operation fails, the caller gets Temporary, nothing is half-done, a
retry does it, and the store is sound afterwards.
"""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path

import pytest

from rmail_kernel.storage.ids import MailboxId, Uid
from tests.faults.injection import TROUBLES, run_module
from tests.faults.steps import OPERATIONS
from tests.storage_contract.rig import ALICE, item, opened
from tests.storage_filesystem.scenario import state

pytestmark = pytest.mark.tool("gcc")  # it builds what makes the calls fail


@pytest.mark.timeout(240)
@pytest.mark.parametrize("trouble", TROUBLES)
def test_an_operation_on_a_failing_disk_is_done_or_not_and_the_caller_knows(
    tmp_path: Path, trouble: str
) -> None:
    done = run_module("tests.faults.steps", str(tmp_path), trouble)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["wrong"] == []
    assert found["failed"].keys() == OPERATIONS.keys()
    assert sum(found["failed"].values()) >= len(OPERATIONS)


async def test_a_commit_that_failed_and_is_there_after_all_finds_its_files(tmp_path: Path) -> None:
    raws = [f"Subject: {number}\r\n\r\n".encode() for number in range(3)]
    async with opened(tmp_path / "0") as store:
        await store.put(*map(item, raws))
    for nth in itertools.count(1):
        root = tmp_path / str(nth)
        shutil.copytree(tmp_path / "0", root)
        died = run_module("tests.faults.abandoned", str(root), str(nth))
        assert died.returncode == 137, died.stderr[-3000:]
        answer, failed, _ = died.stdout.splitlines()[-1].split()
        async with opened(root) as store:  # compares index and files at its end
            found = await state(store.mail)
            contents = [row[-1].encode() for rows in found.values() for row in rows[1:] if rows]
            assert sorted(one for one in contents if one in raws) == raws, nth
            await store.mail.move(ALICE, MailboxId(1), [Uid(1), Uid(2)], "Archive", op_id="move")
            assert len((await store.mail.view(ALICE, "Archive")).uids) == 2
        if not int(failed):
            assert answer == "moved"
            break
    assert nth > 2


async def test_a_log_that_could_not_be_synced_is_begun_anew_before_anything_is_answered(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path / "0") as store:
        await store.put(item(), item())
    begun = set()
    for nth in itertools.count(1):
        root = tmp_path / str(nth)
        shutil.copytree(tmp_path / "0", root)
        died = run_module("tests.faults.abandoned", str(root), str(nth), "again")
        assert died.returncode == 137, died.stderr[-3000:]
        answer, failed, times = died.stdout.splitlines()[-1].split()
        begun.add((answer, times))
        async with opened(root) as store:
            assert len((await store.mail.view(ALICE, "Archive")).uids) == 2
        if not int(failed):
            break
    assert ("temporary", "1") in begun  # the sync of the commit was the one that failed
    assert ("moved", "0") in begun
