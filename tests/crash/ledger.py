"""Clients that write down what a server acknowledged, and the check that it kept its word."""

from __future__ import annotations

import contextlib
import hashlib
import imaplib
import itertools
import json
import re
import smtplib
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tests.installation import PASSWORD, USER

STOP_S = 60.0
"""An answer takes at most ten seconds at a time, or it is an error."""
ENOUGH_S = 60.0
"""How long a machine that does much else may take for a few messages."""
_ERRORS = (OSError, smtplib.SMTPException, imaplib.IMAP4.error, urllib.error.URLError, ValueError)


@dataclass
class Ledger:
    """What was acknowledged: message id -> UID where the protocol tells it, else 0."""

    acknowledged: dict[str, int] = field(default_factory=dict)
    seen: dict[int, str] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    lock: threading.Condition = field(default_factory=threading.Condition)

    def acknowledge(self, name: str, uid: int = 0) -> None:
        """The server said yes to `name`."""
        with self.lock:
            self.acknowledged[name] = uid
            self.lock.notify_all()

    def wait_for(self, count: int) -> None:
        """Returns once so many messages were acknowledged."""
        with self.lock:
            is_done = self.lock.wait_for(lambda: len(self.acknowledged) >= count, ENOUGH_S)
        assert is_done, f"{len(self.acknowledged)} of {count} messages were acknowledged"

    def observe(self, uid: int, name: str) -> None:
        """A reader saw `name` under `uid`, which means it for ever (RFC 9051 2.3.1.1)."""
        with self.lock:
            known = self.seen.setdefault(uid, name)
            if known != name:
                self.broken.append(f"UID {uid} was {known} and is {name}")


def message(name: str) -> bytes:
    """A message that carries the hash of its own body, so that a torn file shows."""
    body = (f"{name} " * 200).encode()
    lines = b"\r\n".join(body[at : at + 70] for at in range(0, len(body), 70)) + b"\r\n"
    digest = hashlib.sha256(lines).hexdigest()
    head = f"Subject: {name}\r\nX-Body: {digest}\r\nFrom: x@remote.test\r\n\r\n"
    return head.encode() + lines


def name_of(raw: bytes) -> str | None:
    """The name of a stored message, or None when it is torn."""
    head, _, body = raw.partition(b"\r\n\r\n")
    name = re.search(rb"(?m)^Subject: (\S+)\r?$", head)
    digest = re.search(rb"(?m)^X-Body: (\w+)\r?$", head)
    if not name or not digest or hashlib.sha256(body).hexdigest().encode() != digest[1]:
        return None
    return name[1].decode()


class Clients:
    """Clients that deliver until told to stop; an error leaves its message of unknown outcome."""

    def __init__(self, ports: Callable[[], dict[str, int]], ledger: Ledger) -> None:
        self._ports = ports
        self._ledger = ledger
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(
                target=self._run, args=(work, f"{work.__name__.strip('_')}{number}"), daemon=True
            )
            for work, number in itertools.product((self._smtp, self._imap, self._http), range(2))
        ]

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        deadline = time.monotonic() + STOP_S
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        stuck = [thread.name for thread in self._threads if thread.is_alive()]
        assert not stuck, f"{stuck} wait for an answer that never comes"

    def _run(self, work: Callable[[Iterator[str]], None], prefix: str) -> None:
        names = (f"{prefix}-{number}" for number in itertools.count())
        while not self._stop.is_set():
            try:
                work(names)
            except _ERRORS:
                self._stop.wait(0.05)  # the server is being replaced; do not spin

    def _smtp(self, names: Iterator[str]) -> None:
        client = smtplib.SMTP("127.0.0.1", self._ports()["smtp"], timeout=10)
        try:
            while not self._stop.is_set():
                name = next(names)
                client.sendmail("x@remote.test", [USER], message(name))
                self._ledger.acknowledge(name)
        finally:
            client.close()

    def _imap(self, names: Iterator[str]) -> None:
        client = imaplib.IMAP4("127.0.0.1", self._ports()["imap"], timeout=10)
        try:
            client.login(USER, PASSWORD)
            while not self._stop.is_set():
                name = next(names)
                kind, data = client.append("INBOX", "", "", message(name))
                if kind == "OK":
                    match = re.search(rb"APPENDUID \d+ (\d+)", data[0] or b"")
                    self._ledger.acknowledge(name, int(match[1]) if match else 0)
        finally:
            with contextlib.suppress(*_ERRORS):
                client.shutdown()

    def _http(self, names: Iterator[str]) -> None:
        base = f"http://127.0.0.1:{self._ports()['http']}"
        login = json.dumps({"username": USER, "password": PASSWORD}).encode()
        token = _post(f"{base}/auth/login", login, {"Content-Type": "application/json"})["token"]
        while not self._stop.is_set():
            name = next(names)
            headers = {"Authorization": f"Bearer {token}", "Content-Type": "message/rfc822"}
            answer = _post(f"{base}/folders/INBOX/messages", message(name), headers)
            self._ledger.acknowledge(name, int(answer["uid"]))


def _post(url: str, body: bytes, headers: dict[str, str]) -> dict[str, str]:
    request = urllib.request.Request(url, body, headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            found: dict[str, str] = json.load(answer)
    except urllib.error.HTTPError as error:
        error.close()
        raise
    return found


def flag_some(port: int) -> None:
    """Sets a system flag and a keyword on the first messages of the INBOX."""
    client = imaplib.IMAP4("127.0.0.1", port, timeout=60)
    client.login(USER, PASSWORD)
    client.select("INBOX")
    client.uid("STORE", "1:20", "+FLAGS", "(\\Flagged $Forwarded)")
    client.logout()


def read_all(port: int) -> list[tuple[int, bytes, bytes]]:
    """UID, flags (but \\Recent) and bytes of every message in the INBOX, through IMAP."""
    client = imaplib.IMAP4("127.0.0.1", port, timeout=60)
    client.login(USER, PASSWORD)
    client.select("INBOX", readonly=True)
    _, data = client.uid("FETCH", "1:*", "(UID FLAGS BODY.PEEK[])")
    client.logout()
    found = []
    for item in data:
        if isinstance(item, tuple):
            uid = re.search(rb"UID (\d+)", item[0])
            flags = re.search(rb"FLAGS \(([^)]*)\)", item[0])
            assert uid is not None
            names = b" ".join(sorted(set(flags[1].split() if flags else ()) - {b"\\Recent"}))
            found.append((int(uid[1]), names, item[1]))
    return found


def check(ledger: Ledger, stored: list[tuple[int, bytes, bytes]]) -> None:
    """Every acknowledged message is there once, whole, under the UID that was told."""
    names = Counter[str]()
    for uid, _, raw in stored:
        name = name_of(raw)
        assert name is not None, f"UID {uid} is torn"
        ledger.observe(uid, name)
        names[name] += 1
    assert ledger.broken == []
    lost = ledger.acknowledged.keys() - names.keys()
    assert not lost, f"{len(lost)} acknowledged messages are gone, for example {sorted(lost)[:3]}"
    twice = [name for name, count in names.items() if count > 1]
    assert not twice, f"stored twice: {twice[:3]}"
    by_name = {name_of(raw): uid for uid, _, raw in stored}
    moved = {name for name, uid in ledger.acknowledged.items() if uid and by_name[name] != uid}
    assert not moved, f"under another UID than told: {sorted(moved)[:3]}"
