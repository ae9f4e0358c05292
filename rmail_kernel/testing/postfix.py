"""A real Postfix on loopback, with folders of its own: the peer that most mail servers talk to.

It needs Debian's package `postfix` and root, which Postfix's master process needs to change users.
It is started and stopped by its own commands and touches nothing of an installed one.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email import message_from_bytes
from email.message import Message
from pathlib import Path

from rmail_kernel.net import certificate

DOMAIN = "postfix.test"
_INSTALLED = Path("/etc/postfix")
_TEMPLATE = Path("/usr/share/postfix/master.cf.dist")
_START_S = 20.0
_COMMAND_S = 30.0
_POLL_S = 0.05
_FIRST_OF_CLIENTS = 32_768
_OTHERS = ("maildrop", "uucp", "ifmail", "bsmtp", "scalemail-backend", "mailman")
_MAIN = """\
compatibility_level = 3.6
queue_directory = {dir}/spool
data_directory = {dir}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
myhostname = mx.postfix.test
mydestination =
mynetworks = 127.0.0.1/32
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
maillog_file = {dir}/mail.log
maillog_file_prefixes = {dir}
alias_maps =
alias_database =
local_recipient_maps =
virtual_mailbox_domains = postfix.test
virtual_mailbox_base = {dir}/mail
virtual_mailbox_maps = inline:{{ @postfix.test=all/ }}
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
virtual_minimum_uid = 1
transport_maps = inline:{{ example.com=smtp:[127.0.0.1]:{peer_port} }}
smtpd_recipient_restrictions =
  check_recipient_access inline:{{ {{ busy@postfix.test = 450 4.2.1 busy }},
    {{ gone@postfix.test = 550 5.1.1 gone }} }},
  permit_mynetworks, reject
smtpd_delay_reject = yes
smtpd_discard_ehlo_keywords =
smtpd_tls_security_level = may
smtpd_tls_chain_files = {certificate}
smtp_tls_security_level = {client_tls}
smtp_dns_support_level = disabled
smtp_host_lookup = native
smtputf8_enable = yes
message_size_limit = 104857600
mailbox_size_limit = 0
virtual_mailbox_limit = 0
in_flow_delay = 0
maximal_backoff_time = 4s
minimal_backoff_time = 2s
queue_run_delay = 2s
"""


class Postfix:
    """A running Postfix.

    It takes mail for postfix.test, any user, into one maildir; busy@ gets 450, gone@ gets 550. Mail
    for example.com goes on to `peer_port`.

    Attributes:
        port: where it listens, with STARTTLS, PIPELINING, CHUNKING, SMTPUTF8 and DSN.
        peer_port: a free port for the server under test.
        certificate: what its certificate is verified against; for localhost and 127.0.0.1.
    """

    def __init__(self, folder: Path, port: int, peer_port: int, certificate_file: Path) -> None:
        self._folder = folder
        self._main = (folder / "etc/main.cf").read_text()
        self.port = port
        self.peer_port = peer_port
        self.certificate = certificate_file

    def messages(self) -> list[Message]:
        """What is in the maildir, in no order."""
        found = []
        for path in (self._folder / "mail/all/new").glob("*"):
            found.append(message_from_bytes(path.read_bytes()))
        return found

    async def wait_for(self, subject: str, timeout_s: float = 20.0) -> Message:
        """A message with this in its subject.

        Raises:
            AssertionError: it did not come; with the end of Postfix's log.
        """
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            for message in self.messages():
                if subject in str(message["Subject"]):
                    return message
            await asyncio.sleep(_POLL_S)  # another program's folder tells nobody
        raise AssertionError(f"no message {subject!r}; {self.log()[-2000:]}")

    def configure(self, more: str) -> None:
        """Takes more lines of main.cf, in place of those of an earlier call."""
        (self._folder / "etc/main.cf").write_text(self._main + more)
        self.command("reload")

    def command(self, word: str) -> None:
        """Runs `postfix WORD`. RuntimeError: it failed."""
        _run(self._folder, word)

    def log(self) -> str:
        """Its log."""
        path = self._folder / "mail.log"
        return path.read_text("utf-8", "replace") if path.exists() else ""


@contextmanager
def running(*, client_tls: str = "may") -> Iterator[Postfix]:
    """Starts one and stops it.

    Args:
        client_tls: "may" or "none": whether it uses STARTTLS when it sends.

    Raises:
        RuntimeError: it does not start.
    """
    folder = Path(tempfile.mkdtemp(prefix="rmail-postfix-"))
    try:
        postfix = _write(folder, client_tls)
        try:
            _run(folder, "start")
            _wait(postfix)
            yield postfix
        finally:
            _stop(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write(folder: Path, client_tls: str) -> Postfix:
    folder.chmod(0o755)
    user = pwd.getpwnam("nobody")
    for name in ("etc", "spool", "data", "mail", "keys"):
        (folder / name).mkdir(mode=0o755)
    os.chown(folder / "mail", user.pw_uid, user.pw_gid)
    os.chown(folder / "data", pwd.getpwnam("postfix").pw_uid, -1)
    file = certificate.ensure(folder / "keys", "mx.postfix.test", [])
    port, peer_port = _free_ports(2)
    values = {"dir": folder, "uid": user.pw_uid, "gid": user.pw_gid, "certificate": file}
    main = _MAIN.format(**values, peer_port=peer_port, client_tls=client_tls)
    (folder / "etc/main.cf").write_text(main)
    (folder / "etc/master.cf").write_text(_master(port))
    for name in ("postfix-files", "dynamicmaps.cf"):
        if (_INSTALLED / name).is_file():
            shutil.copy(_INSTALLED / name, folder / "etc")
        if (_INSTALLED / f"{name}.d").is_dir():
            shutil.copytree(_INSTALLED / f"{name}.d", folder / "etc" / f"{name}.d")
    return Postfix(folder, port, peer_port, file)


def _master(port: int) -> str:
    """The services of the distribution, none in a chroot, with one listener."""
    path = _INSTALLED / "master.cf"
    source = (path if path.is_file() else _TEMPLATE).read_text("utf-8")
    lines = [f"127.0.0.1:{port} inet n - n - 50 smtpd"]
    for line in source.splitlines():
        words = line.split()
        is_service = len(words) >= 8 and line[0] not in "# \t"
        if is_service and not (words[1] == "inet" or words[0] in _OTHERS):
            lines.append(" ".join([*words[:4], "n", *words[5:]]))
    return "\n".join(lines) + "\n"


def _free_ports(count: int) -> list[int]:
    """Ports below those that the system gives to clients, who would take them before they are used
    or between two tests.
    """
    ports: list[int] = []
    for port in random.sample(range(10_000, _FIRST_OF_CLIENTS), 1000):
        with suppress(OSError):  # somebody has it
            socket.create_server(("127.0.0.1", port)).close()
            ports.append(port)
        if len(ports) == count:
            return ports
    raise RuntimeError("no port is free")


def _run(folder: Path, command: str) -> None:
    done = subprocess.run(  # noqa: S603 - words of our own
        ["postfix", "-c", str(folder / "etc"), command],  # noqa: S607 - where it is installed
        stdout=subprocess.DEVNULL,  # a pipe would be kept open by what it leaves running
        stderr=subprocess.DEVNULL,
        timeout=_COMMAND_S,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"postfix {command} failed with {done.returncode}")


def _stop(folder: Path) -> None:
    """Stops it; with force where it does not end. All are in the process group of its master."""
    try:
        pid = int((folder / "spool/pid/master.pid").read_text().split()[0])
    except (FileNotFoundError, IndexError):
        return  # it did not start
    with suppress(RuntimeError, subprocess.TimeoutExpired):
        _run(folder, "stop")
        return
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def _wait(postfix: Postfix) -> None:
    end = time.monotonic() + _START_S
    while time.monotonic() < end:
        try:
            with socket.create_connection(("127.0.0.1", postfix.port), 5) as client:
                if client.recv(3) == b"220":
                    return
        except OSError:
            time.sleep(_POLL_S)
    raise RuntimeError(f"Postfix does not answer; {postfix.log()[-2000:]}")
