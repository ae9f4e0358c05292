"""SIGHUP: what changes at once, what needs a restart, what a bad file does."""

from __future__ import annotations

import signal
import socket
import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rmail_kernel import config
from rmail_kernel.net import certificate
from rmail_kernel.process import reload, settings_pipe
from tests.process.conftest import ServerProcess


class Certificate:
    """A certificate and its key in two files, which `write` replaces."""

    def __init__(self, folder: Path) -> None:
        self.cert_file, self.key_file = folder / "tls.crt", folder / "tls.key"

    def write(self, name: str) -> None:
        """Makes both files anew, for another name."""
        key, cert = certificate.make([name], datetime.now(UTC))
        self.cert_file.write_bytes(cert)
        self.key_file.write_bytes(key)

    def trusted(self) -> ssl.SSLContext:
        """A client's context that accepts only the certificate of now."""
        context = ssl.create_default_context(cafile=str(self.cert_file))
        context.check_hostname = False
        return context


@pytest.fixture
def certificate_files(tmp_path: Path) -> Certificate:
    return Certificate(tmp_path)


@pytest.mark.parametrize("workers", [0, 1])
def test_sighup_serves_the_new_certificate_while_an_old_session_lives(
    server: ServerProcess, certificate_files: Certificate, workers: int
) -> None:
    tls = {"cert_file": "tls.crt", "key_file": "tls.key"}
    certificate_files.write("one.example")
    server.configure(tls=tls)
    server.start(workers)
    with server.connect("probes", certificate_files.trusted()) as old:
        assert old.ask("word") == "first"
        certificate_files.write("two.example")
        server.configure(tls=tls, probe={"word": "second"})
        server.signal(signal.SIGHUP)
        while not accepts(server, certificate_files.trusted()):
            continue
        while old.ask("word") != "second":
            continue


def accepts(server: ServerProcess, context: ssl.SSLContext) -> bool:
    """Whether a new connection shows the certificate that the client trusts."""
    try:
        with server.connect("probes", context) as client:
            return client.ask("ping") == "pong"
    except ssl.SSLError:
        return False


@pytest.mark.parametrize("workers", [0, 1])
def test_a_bad_new_file_is_logged_and_the_old_settings_stay(
    server: ServerProcess, notifications: socket.socket, workers: int
) -> None:
    server.start(workers)
    assert notifications.recv(1000) == b"READY=1"
    server.config.write_text('{"mail_rot": "x"}')
    server.signal(signal.SIGHUP)
    assert notifications.recv(1000).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
    assert notifications.recv(1000) == b"READY=1"
    assert "settings kept" in server.errors()
    assert "did you mean 'mail_root'" in server.errors()
    with server.connect() as client:
        assert client.ask("word") == "first"
    server.signal(signal.SIGTERM)
    assert notifications.recv(1000) == b"STOPPING=1"
    assert server.end() == 0


@pytest.mark.parametrize("workers", [0, 1])
def test_settings_that_need_a_restart_are_named_and_not_taken(
    server: ServerProcess, notifications: socket.socket, workers: int
) -> None:
    server.start(workers)
    notifications.recv(1000)
    server.configure(mail_root="elsewhere", probe={"port": 1, "word": "second"})
    server.signal(signal.SIGHUP)
    notifications.recv(1000)
    notifications.recv(1000)
    with server.connect() as client:
        while client.ask("word") != "second":
            continue
    log = server.errors()
    assert '"path":"mail_root"' in log
    assert '"listener":"probe"' in log
    assert '"listener":"probes"' not in log
    assert not (server.config.parent / "elsewhere").exists()


def settings(**keys: object) -> config.Settings:
    return config.build(keys, {}, environ={})


def test_settings_survive_the_pipe_with_their_secrets() -> None:
    one = settings(
        mail_root="/srv/mail",
        exchange_api={"token_secret": "s" * 32},
        tls={"cert_file": "/etc/c", "key_file": "/etc/k"},
    )
    other = settings_pipe.parse(settings_pipe.dump(one))
    assert other.model_dump() == one.model_dump()
    assert b"\n" not in settings_pipe.dump(one)


def test_only_what_can_change_at_run_time_is_taken() -> None:
    running = settings(hostname="a.example", process={"threads": 2, "drain_s": 1}, workers=1)
    new = settings(hostname="b.example", process={"threads": 3, "drain_s": 2}, workers=2)
    assert reload.changed(running, new) == ["workers", "process.threads"]
    taken = reload.keep_running(running, new)
    assert (taken.hostname, taken.process.drain_s) == ("b.example", 2)
    assert (taken.process.threads, taken.workers) == (2, 1)
