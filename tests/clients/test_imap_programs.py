"""Mail programs that people and their cron jobs use, against a whole server, each from Debian."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from rmail_kernel.storage.ids import AccountId
from rmail_kernel.storage.mail import Flag
from rmail_kernel.testing import RunningServer
from tests.clients.terminal import at_terminal

ACCOUNT = AccountId("alice@example.com")
RAW = b"From: Bob <bob@example.com>\r\nSubject: %b\r\nMessage-ID: <%b@x>\r\n\r\nHello %b\r\n"


@pytest.fixture
def rmail_plugins() -> list[str]:
    return ["imap"]


def raw(name: str) -> bytes:
    """A small message."""
    return RAW % ((name.encode(),) * 3)


async def fill(server: RunningServer, *names: str) -> None:
    for name in names:
        await server.deliver(raw(name), ACCOUNT)


async def flagged(server: RunningServer, flag: Flag, mailbox: str = "INBOX") -> int:
    """How many messages have a flag."""
    view = await server.kernel.mail.view(ACCOUNT, mailbox)
    return sum(bool(word & flag) for word in view.flags[: view.total])


async def program(home: Path, *command: str) -> None:
    """Runs a program in a home folder of its own; it must succeed."""
    process = await asyncio.create_subprocess_exec(
        *command,
        env={**os.environ, "HOME": str(home)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0, out.decode("utf-8", "replace")


def delivery_program(home: Path) -> Path:
    """A program that puts each message it gets into a file of home/got."""
    (home / "got").mkdir()
    path = home / "take"
    path.write_text(f"#!/bin/sh\nexec cat > $(mktemp {home}/got/XXXXXX)\n")
    path.chmod(0o700)
    return path


def names_of(files: Sequence[Path]) -> list[str]:
    """The subjects of messages in files."""
    lines = [line for path in files for line in path.read_text().splitlines()]
    return sorted(line[9:] for line in lines if line.startswith("Subject: "))


OFFLINEIMAP = """
[general]
accounts = t
metadata = {home}/metadata
ui = quiet
[Account t]
localrepository = L
remoterepository = R
[Repository L]
type = Maildir
localfolders = {home}/mail
[Repository R]
type = IMAP
remotehost = 127.0.0.1
remoteport = {port}
remoteuser = alice@example.com
remotepass = secret
ssl = no
starttls = no
auth_mechanisms = LOGIN
folderfilter = lambda folder: folder == 'INBOX'
"""


@pytest.mark.tool("offlineimap")
async def test_offlineimap_both_ways(rmail_server: RunningServer, tmp_path: Path) -> None:
    await fill(rmail_server, "one", "two")
    config = tmp_path / "config"
    config.write_text(OFFLINEIMAP.format(home=tmp_path, port=rmail_server.ports["imap"]))
    sync = ("offlineimap", "-o", "-c", str(config))
    await program(tmp_path, *sync)
    inbox = tmp_path / "mail" / "INBOX"
    pulled = [*(inbox / "new").iterdir(), *(inbox / "cur").iterdir()]
    assert names_of(pulled) == ["one", "two"]
    (inbox / "new" / "1.1.local").write_bytes(raw("three").replace(b"\r\n", b"\n"))
    pulled[0].rename(inbox / "cur" / f"{pulled[0].name.partition(':')[0]}:2,FS")
    await program(tmp_path, *sync)
    assert len(await rmail_server.messages()) == 3
    assert await flagged(rmail_server, Flag.FLAGGED) == 1


@pytest.mark.tool("fetchmail")
async def test_fetchmail_empties_the_mailbox(rmail_server: RunningServer, tmp_path: Path) -> None:
    await fill(rmail_server, "one", "two", "three")
    take = delivery_program(tmp_path)
    config = tmp_path / "config"
    config.write_text(
        f"poll 127.0.0.1 service {rmail_server.ports['imap']} protocol IMAP auth password "
        'user "alice@example.com" password "secret" sslproto "" no keep fetchall '
        f'mda "{take}"\n'
    )
    config.chmod(0o600)
    pid = str(tmp_path / "pid")
    await program(tmp_path, "fetchmail", "-f", str(config), "--nosyslog", "--pidfile", pid)
    assert names_of(list((tmp_path / "got").iterdir())) == ["one", "three", "two"]
    assert await rmail_server.messages() == []


GETMAIL = """
[retriever]
type = SimpleIMAPRetriever
server = 127.0.0.1
port = {port}
username = alice@example.com
password = secret
mailboxes = ("INBOX",)
[destination]
type = MDA_external
path = {take}
unixfrom = false
allow_root_commands = true
[options]
delete = true
read_all = true
delivered_to = false
received = false
"""


@pytest.mark.tool("getmail")
async def test_getmail_empties_the_mailbox(rmail_server: RunningServer, tmp_path: Path) -> None:
    await fill(rmail_server, "one", "two", "three")
    take = delivery_program(tmp_path)
    (tmp_path / "rc").write_text(GETMAIL.format(port=rmail_server.ports["imap"], take=take))
    await program(tmp_path, "getmail", "--getmaildir", str(tmp_path), "--rcfile", "rc")
    assert names_of(list((tmp_path / "got").iterdir())) == ["one", "three", "two"]
    assert await rmail_server.messages() == []


NEOMUTT = """
set folder = "imap://127.0.0.1:{port}/"
set spool_file = "+INBOX"
set imap_user = "alice@example.com"
set imap_pass = "secret"
set ssl_force_tls = no
set ssl_starttls = no
set imap_condstore = yes
set imap_qresync = yes
set header_cache = "{home}/cache"
set delete = yes
set confirm_append = no
set wait_key = no
"""


@pytest.mark.tool("neomutt")
@pytest.mark.parametrize("visits", [1, 2])
async def test_neomutt(rmail_server: RunningServer, tmp_path: Path, visits: int) -> None:
    """It flags, copies and deletes; on the second visit it resumes from its cache."""
    await fill(rmail_server, "one", "two", "three")
    (tmp_path / "rc").write_text(NEOMUTT.format(port=rmail_server.ports["imap"], home=tmp_path))
    keys = "push '<first-entry><flag-message><quit>'"
    for _ in range(visits):
        await at_terminal(
            ["neomutt", "-F", str(tmp_path / "rc"), "-e", keys], [], {"HOME": str(tmp_path)}
        )
    assert await flagged(rmail_server, Flag.FLAGGED) == visits % 2
    more = "push '<first-entry><copy-message>+Archive<enter><delete-message><quit>'"
    await at_terminal(
        ["neomutt", "-F", str(tmp_path / "rc"), "-e", more], [], {"HOME": str(tmp_path)}
    )
    assert [b"Hello one" in message for message in await rmail_server.messages()] == [False, False]
    assert (await rmail_server.kernel.mail.status(ACCOUNT, "Archive")).total == 1


@pytest.mark.tool("alpine")
async def test_alpine(rmail_server: RunningServer, tmp_path: Path) -> None:
    """It asks for the password, reads the first message and deletes it."""
    await fill(rmail_server, "one", "two")
    port = rmail_server.ports["imap"]
    (tmp_path / ".pinerc").write_text(
        f"inbox-path={{127.0.0.1:{port}/user=alice@example.com/notls}}INBOX\n"
        "user-domain=example.com\nfeature-list=quit-without-confirm,expunge-without-confirm,"
        "enable-full-header-cmd\n"
        "last-version-used=9.99\n"
    )
    steps = [
        (r"(?i)password", b"secret\r"),
        (r"Yes.*No", b"n"),  # whether to keep the password
        (r"one", b"\r"),
        (r"Hello one", b"d"),
        (r"marked for deletion", b"q"),
    ]
    command = ["alpine", "-i", "-p", str(tmp_path / ".pinerc")]
    await at_terminal(command, steps, {"HOME": str(tmp_path)})
    remaining = await rmail_server.messages()
    assert [b"Hello two" in message for message in remaining] == [True]


@pytest.mark.tool("aerc")
async def test_aerc(rmail_server: RunningServer, tmp_path: Path) -> None:
    """It lists INBOX, flags a message and moves it to Archive."""
    await fill(rmail_server, "one", "two")
    config = tmp_path / ".config" / "aerc"
    config.mkdir(parents=True)
    port = rmail_server.ports["imap"]
    (config / "accounts.conf").write_text(
        f"[test]\nsource = imap+insecure://alice%40example.com:secret@127.0.0.1:{port}\n"
        "from = Alice <alice@example.com>\ndefault = INBOX\n"
    )
    (config / "accounts.conf").chmod(0o600)
    steps = [
        (r"two", b":flag -x Flagged\r"),
        (r"(?i)flag", b":mv Archive\r"),
        (r"(?i)moved", b":quit\r"),
    ]
    await at_terminal(["aerc"], steps, {"HOME": str(tmp_path), "XDG_CONFIG_HOME": ""})
    assert len(await rmail_server.messages()) == 1
    assert await flagged(rmail_server, Flag.FLAGGED, "Archive") == 1
