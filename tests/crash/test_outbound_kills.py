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
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path

import pytest

from tests.crash.ledger import message, name_of, read_all
from tests.crash.sink import Sink
from tests.crash.test_kill_loop import KILLS, kill_one
from tests.installation import PASSWORD, USER, Installation

Taken = Mapping[tuple[str, str], list[tuple[float, int]]]
PARALLEL = 4
SETTLE_S = 60.0
BEFORE_S, AFTER_S = 1.0, 1.0  # between the yes of the sink, its being written down, and a kill


class Senders:
    """Users who send, each message to four recipients, and note what was acknowledged."""

    def __init__(self, installation: Installation) -> None:
        self.acknowledged: set[str] = set()
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
                self.acknowledged.add(name)
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
        _wait_until_empty(installation)
        stored = [raw for _, _, raw in read_all(installation.ports()["imap"])]
        installation.stop()
        _check(senders.acknowledged, sink.taken, stored)
        again = _check_second_copies(sink.taken, kills)
        print(f"{KILLS} kills, {len(senders.acknowledged)} acknowledged, {again} sent again")


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


def _check(acknowledged: set[str], taken: Taken, stored: list[bytes]) -> None:
    here = Counter(
        name for raw in stored if b"multipart/report" not in raw and (name := name_of(raw))
    )
    told = Counter(
        found[1].decode()
        for raw in stored
        if b"multipart/report" in raw and (found := re.search(rb"(?m)^Subject: (out\S+)", raw))
    )
    assert len(acknowledged) > KILLS
    for name in acknowledged:
        assert here[name] == 1, f"{name} is here {here[name]} times"
        assert told[name] == 1, f"the sender of {name} was told {told[name]} times"
        for domain in ("ok.test", "later.test"):
            assert (name, f"{name}@{domain}") in taken, f"{name} did not reach {domain}"
        assert (name, f"{name}@bad.test") not in taken
    twice_here = [name for name, count in (here + Counter()).items() if count > 1]
    assert not twice_here
    assert not [name for name, count in told.items() if count > 1]


def _check_second_copies(taken: Taken, kills: list[float]) -> int:
    """A copy follows another only if a process died between the sink's yes and its being written
    down: one for each recipient and kill, and no more transactions than were under way at once.
    How many copies there were.
    """
    blamed: defaultdict[float, set[int]] = defaultdict(set)
    count = 0
    for (name, recipient), copies in taken.items():
        used: set[float] = set()
        for (at, transaction), (next_at, _) in pairwise(copies):
            near = [kill for kill in kills if at - AFTER_S <= kill <= at + BEFORE_S]
            near = [kill for kill in near if kill <= next_at and kill not in used]
            assert near, f"{name} went to {recipient} twice, and nobody died in between"
            used.add(near[-1])
            blamed[near[-1]].add(transaction)
            count += 1
    for kill, transactions in blamed.items():
        assert len(transactions) <= PARALLEL, f"{len(transactions)} second copies after {kill}"
    return count
