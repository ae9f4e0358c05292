"""The account's database is harmed in each way while IMAP sessions are open: they go on, and
see the right mail.
"""

from __future__ import annotations

import asyncio
import imaplib
from pathlib import Path

import pytest

from rmail_kernel.testing import RunningServer
from tests.storage_filesystem.damage import KINDS, harm

LOGIN = ("alice@example.com", "secret")
RAW = b"Subject: %d\r\n\r\nHello\r\n"
COUNT = 5


@pytest.fixture
def rmail_plugins() -> list[str]:
    return ["imap"]


def _session(port: int) -> imaplib.IMAP4:
    imap = imaplib.IMAP4("127.0.0.1", port, timeout=20)
    imap.login(*LOGIN)
    assert imap.select("INBOX")[0] == "OK"
    return imap


def _seen(imap: imaplib.IMAP4) -> dict[int, tuple[set[bytes], bytes]]:
    """Flags and content by UID."""
    status, found = imap.uid("FETCH", "1:*", "(UID FLAGS BODY.PEEK[])")
    assert status == "OK"
    seen = {}
    for one in found:
        if isinstance(one, tuple):
            uid = int(one[0].split(b"UID ")[1].split()[0].rstrip(b")"))
            seen[uid] = (set(imaplib.ParseFlags(one[0])) - {b"\\Recent"}, one[1])
    return seen


def _live_through(port: int, root: Path, kind: str) -> None:
    with _session(port) as one, _session(port) as other:
        for number in range(COUNT):
            assert one.append("INBOX", "(\\Flagged)", "", RAW % number)[0] == "OK"
        for session in (one, other):
            assert session.noop()[0] == "OK"
        before = _seen(one)
        assert len(before) == COUNT
        harm(root, kind)
        assert _seen(other) == before
        assert other.uid("STORE", "2", "+FLAGS", "(\\Seen $Late)")[0] == "OK"
        assert one.append("INBOX", "", "", RAW % COUNT)[0] == "OK"
        assert one.noop()[0] == "OK"
        now = _seen(one)
        (new,) = now.keys() - before.keys()
        assert new > max(before)
        assert now[2][0] == {b"\\Flagged", b"\\Seen", b"$Late"}
        assert {uid: raw for uid, (_, raw) in now.items() if uid != new} == {
            uid: raw for uid, (_, raw) in before.items()
        }
        assert other.noop()[0] == "OK"
        assert _seen(other) == now
    with _session(port) as third:
        assert _seen(third) == now


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "older"])
async def test_sessions_live_through_harm_to_the_database(
    rmail_server: RunningServer, kind: str
) -> None:
    await asyncio.to_thread(_live_through, rmail_server.ports["imap"], rmail_server.mail_root, kind)
