"""The law of order: with several writing processes no reader ever sees a UID or a change too late.

RMAIL_ORDER_SECONDS sets the length of the run.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.storage_contract.rig import ALICE, opened

SECONDS = float(os.environ.get("RMAIL_ORDER_SECONDS", "2"))
WRITERS, WATCHERS = 4, 4
ROOT = Path(__file__).parents[2]


def _start(role: str, driver: str, root: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.storage_contract.worker", role, driver, str(root)]
    return subprocess.Popen(
        [*command, str(SECONDS)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _run(driver: str, root: Path) -> tuple[int, list[dict[str, Any]]]:
    """Writers and watchers on one mailbox: messages stored, and the watchers' reports."""
    roles = ["write"] * WRITERS + ["watch"] * WATCHERS
    started = [_start(role, driver, root) for role in roles]
    try:
        for process in started:  # all of them are up before any of them begins
            assert process.stdout is not None
            while process.stdout.readline() not in ("ready\n", ""):
                pass
        for process in started:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        results = [process.communicate(timeout=2 * SECONDS + 60)[0] for process in started]
    finally:
        for process in started:
            process.kill()
            process.wait()
    found = [json.loads(result.splitlines()[-1]) for result in results]
    return sum(found[:WRITERS]), found[WRITERS:]


async def _prepare(root: Path) -> None:
    async with opened(root) as store:
        await store.mail.mailboxes(ALICE)


@pytest.mark.timeout(180 + 2 * SECONDS)
async def test_readers_never_see_a_uid_or_change_appear_late(tmp_path: Path, driver: str) -> None:
    await _prepare(tmp_path)
    stored, reports = _run(driver, tmp_path)
    for report in reports:
        assert report["late_uids"] == 0
        assert report["late_modseqs"] == 0
        assert report["wrong_uidnext"] == 0
        assert report["wrong_views"] == 0
        assert report["messages"] <= stored
    async with opened(tmp_path, driver) as store:
        view = await store.mail.view(ALICE, "INBOX")
        assert list(view.uids) == list(range(1, stored + 1))
        status = await store.mail.status(ALICE, "INBOX")
        assert (status.total, status.unseen) == (stored, sum(not f & 8 for f in view.flags))


@pytest.mark.timeout(180 + 2 * SECONDS)
async def test_the_check_finds_a_driver_that_allocates_outside_the_transaction(
    tmp_path: Path,
) -> None:
    await _prepare(tmp_path)
    _, reports = _run("split-allocation", tmp_path)
    assert sum(report["late_uids"] for report in reports) > 0
    assert sum(report["late_modseqs"] for report in reports) > 0
