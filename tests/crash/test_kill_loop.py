"""kill -9 of workers and supervisors under load: what was acknowledged is stored, once and whole.

`RMAIL_KILLS=200 pytest tests/crash` runs the long form.
"""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest

from tests.crash.ledger import Clients, Ledger, check, flag_some, name_of, read_all
from tests.installation import Installation

KILLS = int(os.environ.get("RMAIL_KILLS", "6"))


def kill_one(server: Installation, chance: random.Random) -> float | None:
    """kill -9 of a random worker, or of the supervisor, which is then started anew. When that was,
    by the monotonic clock; None when there was nobody.
    """
    assert server.process is not None
    workers = server.workers()
    if workers and chance.random() < 0.75:
        try:
            os.kill(chance.choice(workers), signal.SIGKILL)
        except ProcessLookupError:
            return None
        return time.monotonic()
    server.process.kill()
    killed_at = time.monotonic()
    server.process.wait()
    server.start()
    return killed_at


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    return Installation(tmp_path)


def _tell(what: str) -> None:
    """When it was, so that the report of a test that took too long says where the time went."""
    print(f"{time.monotonic():.1f}: {what}")


# A machine that does other things as well takes ten times as long for a start as an idle one. Each
# wait within has an end of its own: servers that do not get ready, clients that do not stop.
@pytest.mark.timeout(240 + 20 * KILLS)
def test_nothing_acknowledged_is_lost_and_no_uid_is_reused(installation: Installation) -> None:
    chance = random.Random(20260102)
    ledger = Ledger()
    installation.start()
    with Clients(installation.ports, ledger):
        for _ in range(KILLS):
            time.sleep(chance.uniform(0.1, 0.6))  # load between two kills is the test itself
            kill_one(installation, chance)
            _tell("killed one")
        ledger.wait_for(KILLS + 1)
    _tell("the clients have stopped")
    for uid, _, raw in read_all(installation.ports()["imap"]):
        ledger.observe(uid, name_of(raw) or "torn")
    installation.stop()
    before = _lose_database(installation, ledger)
    _tell("the database is lost")
    assert installation.rmail("fsck").returncode == 0
    _tell("checked")
    installation.start()
    stored = read_all(installation.ports()["imap"])
    installation.stop()
    assert [(uid, flags) for uid, flags, _ in stored] == before
    assert before[0][1] == b"$Forwarded \\Flagged"
    check(ledger, stored)
    kept = len(ledger.acknowledged)
    print(f"{KILLS} kills, {kept} acknowledged, {len(stored)} stored")


def _lose_database(installation: Installation, ledger: Ledger) -> list[tuple[int, bytes]]:
    """Deletes the account's database between two runs; UIDs and flags as they were."""
    installation.start()
    flag_some(installation.ports()["imap"])
    before = read_all(installation.ports()["imap"])
    check(ledger, before)
    installation.stop()
    for path in (installation.root / "store/domains/example.com/users/alice").glob("account.db*"):
        path.unlink()
    return [(uid, flags) for uid, flags, _ in before]
