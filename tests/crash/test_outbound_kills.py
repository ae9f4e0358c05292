"""kill -9 of workers and supervisors while mail goes out: every recipient of an accepted message is
served once: delivered here, delivered there, or told about to the sender.

`RMAIL_KILLS=100 pytest tests/crash` runs the long form.
"""

from __future__ import annotations

import itertools
import json
import random
import re
import smtplib
import threading
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest

from tests.crash.ledger import Ledger, message, name_of, read_all
from tests.crash.sink import Sink
from tests.crash.test_kill_loop import KILLS, kill_one
from tests.installation import PASSWORD, USER, Installation

Taken = Mapping[tuple[str, str], list[tuple[float, int]]]
PARALLEL = 4
SETTLE_S = 60.0
NEAR_S = 5.0  # between the yes of the sink, its being written down, and a kill; in either order


class Senders:
    """Users who send, each message to four recipients, and note what was acknowledged."""

    def __init__(self, installation: Installation) -> None:
        self.ledger = Ledger()
        self._installation = installation
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(n,)) for n in range(3)]

    def __enter__(self) -> Senders:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def _run(self, number: int) -> None:
        names = (f"out{number}-{count}" for count in itertools.count())
        while not self._stop.is_set():
            try:
                self._send(names)
            except (OSError, smtplib.SMTPException, ValueError):
                self._stop.wait(0.05)  # the server is being replaced; do not spin

    def _send(self, names: Iterator[str]) -> None:
        port = self._installation.ports()["submission"]
        client = smtplib.SMTP("127.0.0.1", port, timeout=10)
        try:
            client.login(USER, PASSWORD)
            while not self._stop.is_set():
                name = next(names)
                raw = message(name).replace(b"x@remote.test", USER.encode())
                client.sendmail(USER, [USER, *recipients_of(name)], raw)
                self.ledger.acknowledge(name)
                self._stop.wait(0.03)  # the queue must be able to follow
        finally:
            client.close()


def recipients_of(name: str) -> list[str]:
    """Foreign recipients of a message."""
    return [f"{name}@ok.test", f"{name}@later.test", f"{name}@bad.test"]


@pytest.mark.timeout(300 + 20 * KILLS)
def test_every_recipient_is_served_once(tmp_path: Path) -> None:
    with Sink() as sink:
        smarthost = {"host": "127.0.0.1", "port": sink.port, "tls": "none"}
        relay = {
            "smarthost": smarthost,
            "retry_schedule_s": [1],
            "max_age_s": 3600,
            "max_parallel": PARALLEL,
            "max_parallel_per_destination": PARALLEL,
        }
        changes = {
            "plugins": ["smtp", "imap", "relay"],
            "tls": {"enabled": False},
            "smtp": {"submission_port": 0},
            "relay": relay,
        }
        installation = Installation(tmp_path, changes)
        installation.start()
        chance = random.Random(20260103)
        kills: list[float] = []
        with Senders(installation) as senders:
            for _ in range(KILLS):
                time.sleep(chance.uniform(0.2, 0.8))  # load between two kills is the test itself
                killed_at = kill_one(installation, chance)
                kills += [] if killed_at is None else [killed_at]
            time.sleep(0.5)  # and load after the last kill
            senders.ledger.wait_for(KILLS + 1)
        _wait_until_empty(installation)
        stored = [raw for _, _, raw in read_all(installation.ports()["imap"])]
        installation.stop()
        acknowledged = senders.ledger.acknowledged.keys()
        _check(acknowledged, sink.taken, stored)
        again = _check_second_copies(sink.taken, kills)
        print(f"{KILLS} kills, {len(acknowledged)} acknowledged, {again} sent again")


def _wait_until_empty(installation: Installation) -> None:
    """Until nothing is in the queue or the spool; another process knows, so we ask."""
    deadline = time.monotonic() + SETTLE_S + 2 * KILLS
    while True:
        found = installation.rmail("queue", "list", "--json")
        assert found.returncode == 0, found.stderr
        spooled = list((installation.root / "store/spool").glob("*.msg"))
        if not json.loads(found.stdout) and not spooled:
            return
        assert time.monotonic() < deadline, f"{found.stdout[-1500:]} {spooled[:3]}"
        time.sleep(0.3)  # between two looks at another process


def _check(acknowledged: Collection[str], taken: Taken, stored: list[bytes]) -> None:
    here = Counter(
        name for raw in stored if b"multipart/report" not in raw and (name := name_of(raw))
    )
    told = Counter(
        found[1].decode()
        for raw in stored
        if b"multipart/report" in raw and (found := re.search(rb"(?m)^Subject: (out\S+)", raw))
    )
    for name in acknowledged:
        assert here[name] == 1, f"{name} is here {here[name]} times"
        assert told[name] == 1, f"the sender of {name} was told {told[name]} times"
        for domain in ("ok.test", "later.test"):
            assert (name, f"{name}@{domain}") in taken, f"{name} did not reach {domain}"
        assert (name, f"{name}@bad.test") not in taken
    twice_here = [name for name, count in (here + Counter()).items() if count > 1]
    assert not twice_here
    assert not [name for name, count in told.items() if count > 1]


@dataclass(slots=True)
class _Repeated:
    """A transaction of the sink whose recipients it served once more; when its cause may have been.

    Attributes:
        since, until: between its yes and the next copy, as far as clocks of two processes agree.
    """

    since: float
    until: float
    recipients: set[tuple[str, str]] = field(default_factory=set)


def _repeated(taken: Taken) -> tuple[list[_Repeated], int]:
    """The transactions that were repeated, and how many second copies they made."""
    found: dict[int, _Repeated] = {}
    count = 0
    for recipient, copies in taken.items():
        for (at, transaction), (next_at, _) in pairwise(copies):
            one = found.setdefault(transaction, _Repeated(at - NEAR_S, at + NEAR_S))
            one.until = min(one.until, next_at)
            one.recipients.add(recipient)
            count += 1
    return list(found.values()), count


def _check_second_copies(taken: Taken, kills: list[float]) -> int:
    """A copy follows another only if a process died between the sink's yes and its being written
    down: one for each recipient and kill, and no more transactions than were under way at once.
    How many copies there were.
    """
    left, count = _repeated(taken)
    left.sort(key=lambda one: one.until)
    for kill in kills:  # each takes those that a later one cannot be the cause of
        blamed: list[_Repeated] = []
        told: set[tuple[str, str]] = set()
        for one in left:
            may_be = one.since <= kill <= one.until and told.isdisjoint(one.recipients)
            if may_be and len(blamed) < PARALLEL:
                blamed.append(one)
                told |= one.recipients
        left = [one for one in left if one not in blamed]
    assert not left, f"second copies, and nobody died in between: {left[:3]}"
    return count
