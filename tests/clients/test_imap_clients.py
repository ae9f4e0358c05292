"""Real IMAP clients against a whole server: what they send, not what we think they send."""

from __future__ import annotations

import asyncio
import imaplib
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from imapclient import IMAPClient

from rmail_kernel.storage.ids import AccountId
from rmail_kernel.storage.mail import Flag
from rmail_kernel.testing import RunningServer, trusting_context

T = TypeVar("T")
RAW = b"From: Bob <bob@example.com>\r\nSubject: %b\r\nMessage-ID: <%b@x>\r\n\r\nHello %b\r\n"
LOGIN = ("alice@example.com", "secret")


@pytest.fixture
def rmail_plugins() -> list[str]:
    return ["imap"]


def raw(name: str) -> bytes:
    """A small message."""
    return RAW % ((name.encode(),) * 3)


async def in_thread(work: Callable[[], T]) -> T:
    """Blocking clients run beside the server's loop."""
    return await asyncio.to_thread(work)


async def program(*command: str, stdin: bytes = b"") -> bytes:
    """What a program prints; it must succeed."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate(stdin)
    assert process.returncode == 0, err.decode("utf-8", "replace")
    return out


async def test_imaplib(rmail_server: RunningServer) -> None:
    def session() -> None:
        with imaplib.IMAP4("127.0.0.1", rmail_server.ports["imap"]) as imap:
            imap.login(*LOGIN)
            assert imap.append("INBOX", "(\\Seen)", "", raw("one"))[0] == "OK"
            assert imap.select("INBOX") == ("OK", [b"1"])
            assert imap.search(None, "ALL") == ("OK", [b"1"])
            assert imap.search("UTF-8", "SUBJECT", "one") == ("OK", [b"1"])
            fetched: Any = imap.fetch("1", "(BODY.PEEK[])")
            assert fetched[1][0][1] == raw("one")
            assert imap.store("1", "+FLAGS", "(\\Deleted)") == (
                "OK",
                [b"1 (FLAGS (\\Deleted \\Seen \\Recent))"],
            )
            assert imap.expunge() == ("OK", [b"1"])
            assert imap.create("Work/2026")[0] == "OK"
            assert b'(\\HasNoChildren) "/" "Work/2026"' in imap.list()[1]
            assert imap.namespace() == ("OK", [b'(("" "/")) NIL NIL'])

    await in_thread(session)


async def test_imaplib_starttls_and_implicit_tls(rmail_server: RunningServer) -> None:
    def session() -> None:
        with imaplib.IMAP4("127.0.0.1", rmail_server.ports["imap"]) as imap:
            imap.starttls(trusting_context())
            imap.authenticate("PLAIN", lambda _: b"\0alice\0secret")
            assert imap.select("INBOX")[0] == "OK"
        port = rmail_server.ports["imaps"]
        with imaplib.IMAP4_SSL("127.0.0.1", port, ssl_context=trusting_context()) as imap:
            imap.login(*LOGIN)
            assert imap.noop()[0] == "OK"

    await in_thread(session)


async def test_imapclient(rmail_server: RunningServer) -> None:
    def session() -> None:
        port = rmail_server.ports["imap"]
        with IMAPClient("127.0.0.1", port, ssl=False, use_uid=True) as client:
            client.login(*LOGIN)
            client.create_folder("Entwürfe & mehr")
            assert client.folder_exists("Entwürfe & mehr")
            assert client.find_special_folder(b"\\Sent") == "Sent"
            for name in ("one", "two", "three"):
                client.append("INBOX", raw(name), ["\\Flagged"])
            assert client.select_folder("INBOX")[b"EXISTS"] == 3
            found = client.fetch([1, 2, 3], ["ENVELOPE", "BODYSTRUCTURE", "FLAGS", "RFC822.SIZE"])
            assert [found[uid][b"ENVELOPE"].subject for uid in (1, 2, 3)] == [
                b"one",
                b"two",
                b"three",
            ]
            assert client.search(["SUBJECT", "two"]) == [2]
            client.move([1, 3], "Entwürfe & mehr")
            assert client.search() == [2]
            client.copy([2], "Entwürfe & mehr")
            assert client.folder_status("Entwürfe & mehr")[b"MESSAGES"] == 3
            client.idle()
            with IMAPClient("127.0.0.1", port, ssl=False) as other:
                other.login(*LOGIN)
                other.append("INBOX", raw("four"))
            assert (2, b"EXISTS") in client.idle_check(timeout=10)
            client.idle_done()
            client.delete_messages([2])
            client.expunge([2])
            assert client.search() == [4]

    await in_thread(session)


@pytest.mark.tool("curl")
async def test_curl(rmail_server: RunningServer, tmp_path: Path) -> None:
    base = f"imap://127.0.0.1:{rmail_server.ports['imap']}"
    curl = ("curl", "-sS", "-u", ":".join(LOGIN))
    message = tmp_path / "message.eml"
    message.write_bytes(raw("up"))
    await program(*curl, "-T", str(message), f"{base}/INBOX")
    assert await program(*curl, f"{base}/INBOX;MAILINDEX=1") == raw("up")
    assert b"* SEARCH 1\r\n" in await program(*curl, f"{base}/INBOX", "-X", "SEARCH SUBJECT up")
    assert b'"/" "INBOX"' in await program(*curl, f"{base}/")
    secure = f"imaps://127.0.0.1:{rmail_server.ports['imaps']}"
    assert b"EXISTS" in await program(*curl, "-k", f"{secure}/", "-X", "EXAMINE INBOX")


MBSYNC = """
IMAPAccount a
Host 127.0.0.1
Port {port}
User alice@example.com
Pass secret
SSLType None
AuthMechs LOGIN

IMAPStore far
Account a

MaildirStore near
Path {path}/
Inbox {path}/INBOX
SubFolders Verbatim

Channel c
Far :far:
Near :near:
Patterns INBOX
Create Both
Expunge Both
Sync All
SyncState *
"""


@pytest.mark.tool("mbsync")
async def test_mbsync_both_ways(rmail_server: RunningServer, tmp_path: Path) -> None:
    account = "alice@example.com"
    for name in ("one", "two", "three"):
        await rmail_server.deliver(raw(name), account)
    config = tmp_path / "mbsyncrc"
    text = MBSYNC.format(port=rmail_server.ports["imap"], path=tmp_path / "mail")
    config.write_text(text)
    (tmp_path / "mail").mkdir()
    sync = ("mbsync", "-c", str(config), "c")
    await program(*sync)
    inbox = tmp_path / "mail" / "INBOX"
    pulled = sorted([*(inbox / "new").iterdir(), *(inbox / "cur").iterdir()])
    assert len(pulled) == 3
    (inbox / "new" / f"1.1.{socket.gethostname()}").write_bytes(raw("four").replace(b"\r\n", b"\n"))
    for path, flag in zip(pulled, ("F", "T", ""), strict=True):
        if flag:
            path.rename(inbox / "cur" / f"{path.name.partition(':')[0]}:2,{flag}")
    await program(*sync)
    messages = await rmail_server.messages()
    assert len(messages) == 3
    assert any(b"Hello four" in message for message in messages)
    view = await rmail_server.kernel.mail.view(AccountId(account), "INBOX")
    assert sum(bool(word & Flag.FLAGGED) for word in view.flags[: view.total]) == 1
    await program(*sync)
    assert await rmail_server.messages() == messages
