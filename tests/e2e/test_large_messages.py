"""A large message passes through a worker in pieces, by every way in and out."""

from __future__ import annotations

import imaplib
import json
import smtplib
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.installation import PASSWORD, USER, Installation

SIZE_BYTES = 40 << 20
BOUND_KB = 32 << 10
"""What a worker may grow by meanwhile: less than the message."""
HEAD = (
    b'Subject: Large\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n'
    b"--b\r\n\r\nSee the file.\r\n--b\r\nContent-Type: application/octet-stream\r\n"
    b"Content-Transfer-Encoding: base64\r\n\r\n"
)
LINE = b"VGhlIHF1aWNrIGJyb3duIGZveCBqdW1wcyBvdmVyIHRoZSBsYXp5IGRvZyBhbmQgYWdhaW4gYQ==\r\n"


def message(size_bytes: int) -> bytes:
    """A message with an attachment of about so many bytes."""
    return HEAD + LINE * (size_bytes // len(LINE)) + b"--b--\r\n"


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A server that has had every way used once with a small message."""
    made = Installation(tmp_path_factory.mktemp("large"))
    made.start()
    try:
        for way in WAYS:
            for _ in range(2 * len(made.workers())):
                way(made, message(5000))
        yield made
    finally:
        made.stop()


def smtp_data(installation: Installation, raw: bytes) -> None:
    """Delivery."""
    with smtplib.SMTP("127.0.0.1", installation.ports()["smtp"], timeout=60) as client:
        client.sendmail("x@remote.test", [USER], raw)


def imap_append(installation: Installation, raw: bytes) -> None:
    """IMAP, in."""
    with imaplib.IMAP4("127.0.0.1", installation.ports()["imap"], timeout=60) as client:
        client.login(USER, PASSWORD)
        assert client.append("INBOX", "", "", raw)[0] == "OK"


def imap_fetch(installation: Installation, raw: bytes) -> None:
    """IMAP, out: the newest message."""
    with imaplib.IMAP4("127.0.0.1", installation.ports()["imap"], timeout=60) as client:
        client.login(USER, PASSWORD)
        client.select("INBOX")
        found = client.fetch("*", "(BODY.PEEK[])")[1][0]
        assert isinstance(found, tuple)
        assert len(found[1]) >= len(raw)


def api_both_ways(installation: Installation, raw: bytes) -> None:
    """The API, in and out."""
    base = f"http://127.0.0.1:{installation.ports()['http']}"
    login = json.dumps({"username": USER, "password": PASSWORD}).encode()
    kind = {"Content-Type": "application/json"}
    with urllib.request.urlopen(
        urllib.request.Request(f"{base}/auth/login", login, kind)
    ) as answer:
        token = {"Authorization": f"Bearer {json.load(answer)['token']}"}
    path = f"{base}/folders/INBOX/messages"
    kind = {"Content-Type": "message/rfc822"}
    with urllib.request.urlopen(urllib.request.Request(path, raw, token | kind)) as answer:
        uid = json.load(answer)["uid"]
    with urllib.request.urlopen(urllib.request.Request(f"{path}/{uid}", headers=token)) as answer:
        assert len(answer.read()) == len(raw)


WAYS: list[Callable[[Installation, bytes], None]] = [
    smtp_data,
    imap_append,
    imap_fetch,
    api_both_ways,
]


def memory_kb(pid: int, field: str) -> int:
    """A line of /proc/PID/status."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field + ":"))


@pytest.mark.parametrize("way", WAYS)
def test_worker_grows_by_less_than_the_message(
    installation: Installation, way: Callable[[Installation, bytes], None]
) -> None:
    workers = installation.workers()
    for pid in workers:
        Path(f"/proc/{pid}/clear_refs").write_text("5")  # the peak begins anew
    before = {pid: memory_kb(pid, "VmRSS") for pid in workers}
    way(installation, message(SIZE_BYTES))
    grown = [memory_kb(pid, "VmHWM") - before[pid] for pid in workers]
    assert max(grown) < BOUND_KB
