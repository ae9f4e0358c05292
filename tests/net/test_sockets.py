"""Listening sockets: what is opened, inherited and refused."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from contextlib import closing
from pathlib import Path

import pytest

from rmail_kernel.errors import ConfigError
from rmail_kernel.net.listeners import Listener
from rmail_kernel.net.sockets import open_listeners, ports, who_listens


def listener(name: str, port: int = 0, host: str = "127.0.0.1") -> Listener:
    return Listener(name, host, port, asyncio.Protocol)


def test_port_0_gives_a_real_port_that_accepts() -> None:
    with closing(open_listeners([listener("smtp")], {})["smtp"]) as opened:
        port = ports({"smtp": opened})["smtp"]
        socket.create_connection(("127.0.0.1", port), timeout=5).close()


def test_an_inherited_socket_is_used_as_it_is() -> None:
    with socket.create_server(("127.0.0.1", 0)) as inherited:
        assert open_listeners([listener("smtp", 25)], {"smtp": inherited})["smtp"] is inherited


def test_a_port_in_use_names_port_and_process_and_closes_what_was_opened() -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        before = len(os.listdir("/proc/self/fd"))
        with pytest.raises(ConfigError) as caught:
            open_listeners([listener("imap"), listener("smtp", port)], {})
        assert len(os.listdir("/proc/self/fd")) == before
    assert f"smtp: port {port} on 127.0.0.1 is in use" in caught.value.safe
    assert f"(pid {os.getpid()})" in caught.value.safe


def test_with_patience_a_port_is_taken_once_it_becomes_free() -> None:
    holder = socket.create_server(("127.0.0.1", 0))
    port = holder.getsockname()[1]
    releasing = threading.Timer(0.2, holder.close)
    releasing.start()
    open_listeners([listener("smtp", port)], {}, patience_s=20)["smtp"].close()
    releasing.join()


def test_a_host_that_is_not_ours_is_refused() -> None:
    with pytest.raises(ConfigError, match="not an address of this machine"):
        open_listeners([listener("smtp", host="192.0.2.1")], {})


def test_the_holder_of_a_port_is_unknown_when_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        assert who_listens(port) is not None
    assert who_listens(port) is None


@pytest.mark.skipif(not Path("/proc/net/if_inet6").exists(), reason="this machine has no IPv6")
def test_the_ipv6_any_address_takes_both_families() -> None:
    with closing(open_listeners([listener("smtp", host="::")], {})["smtp"]) as opened:
        port = ports({"smtp": opened})["smtp"]
        for host in ("127.0.0.1", "::1"):
            socket.create_connection((host, port), timeout=5).close()
