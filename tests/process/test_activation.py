"""Sockets from systemd."""

from __future__ import annotations

import os
import signal
import socket
import sys

import pytest

from rmail_kernel.errors import ConfigError
from rmail_kernel.process import activation
from tests.process.conftest import ServerProcess

# Moves the inherited descriptor to 3 and names this very process, as systemd does.
AS_SYSTEMD = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.argv[2], sys.argv[2:])
"""


@pytest.mark.parametrize("workers", [0, 1])
def test_a_socket_of_systemd_is_served_instead_of_the_configured_port(
    server: ServerProcess, workers: int
) -> None:
    server.configure(probe={"port": 1}, tls={"enabled": False})
    server.environ |= {"LISTEN_FDS": "1", "LISTEN_FDNAMES": "probe"}
    with socket.create_server(("127.0.0.1", 0)) as given:
        descriptor = given.fileno()
        prefix = (sys.executable, "-c", AS_SYSTEMD, str(descriptor))
        server.start(workers, *prefix, pass_fds=(descriptor,))
        assert server.ports == {"probe": given.getsockname()[1]}
        with server.connect() as client:
            assert client.ask("ping") == "pong"
        server.signal(signal.SIGTERM)
        assert server.end() == 0


def test_a_socket_that_no_listener_claims_is_closed_with_a_warning(server: ServerProcess) -> None:
    server.environ |= {"LISTEN_FDS": "1", "LISTEN_FDNAMES": "gopher"}
    with socket.create_server(("127.0.0.1", 0)) as given:
        descriptor = given.fileno()
        prefix = (sys.executable, "-c", AS_SYSTEMD, str(descriptor))
        server.start(1, *prefix, pass_fds=(descriptor,))
    assert "no listener has its name" in server.errors()


def test_a_socket_that_is_not_tcp_ends_the_start_in_one_line(server: ServerProcess) -> None:
    server.environ |= {"LISTEN_FDS": "1", "LISTEN_FDNAMES": "probe"}
    with socket.socket(socket.AF_UNIX) as given:
        descriptor = given.fileno()
        prefix = (sys.executable, "-c", AS_SYSTEMD, str(descriptor))
        server.spawn(1, *prefix, pass_fds=(descriptor,))
        assert server.end() == 2
    assert server.errors() == "rmail: descriptor 3 of LISTEN_FDS is no TCP socket\n"


def test_sockets_for_another_process_are_left_alone() -> None:
    environ = {"LISTEN_PID": "1", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "smtp"}
    assert activation.take(environ) == {}
    assert environ == {}


@pytest.mark.parametrize(("count", "names"), [("2", "smtp"), ("2", "smtp:smtp"), ("1", "")])
def test_names_that_do_not_fit_the_sockets_are_refused(count: str, names: str) -> None:
    environ = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": count, "LISTEN_FDNAMES": names}
    with pytest.raises(ConfigError, match="a name of its own"):
        activation.take(environ)
