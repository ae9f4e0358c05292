"""Listening sockets that systemd opened for us (sd_listen_fds(3))."""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping

from rmail_kernel.errors import ConfigError

_FIRST = 3  # SD_LISTEN_FDS_START


def take(environ: MutableMapping[str, str]) -> dict[str, socket.socket]:
    """The sockets by name, once; the variables are removed so that children do not see them.

    Args:
        environ: environment variables with LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES.

    Raises:
        ConfigError: the variables contradict each other, or a name stands twice.
    """
    pid = environ.pop("LISTEN_PID", "")
    count = environ.pop("LISTEN_FDS", "")
    names = environ.pop("LISTEN_FDNAMES", "").split(":")
    if pid != str(os.getpid()) or not count.isdecimal():
        return {}  # meant for another process
    if len(names) != int(count) or len(set(names)) != len(names) or not all(names):
        raise ConfigError(
            f"LISTEN_FDNAMES must give each of the {count} sockets a name of its own, "
            "the listener's (FileDescriptorName= of the socket unit)"
        )
    return {name: _adopt(_FIRST + index) for index, name in enumerate(names)}


def _adopt(descriptor: int) -> socket.socket:
    try:
        adopted = socket.socket(fileno=descriptor)
    except OSError as error:
        raise ConfigError(f"descriptor {descriptor} of LISTEN_FDS is no socket") from error
    if (
        adopted.family not in (socket.AF_INET, socket.AF_INET6)
        or adopted.type != socket.SOCK_STREAM
    ):
        adopted.detach()
        raise ConfigError(f"descriptor {descriptor} of LISTEN_FDS is no TCP socket")
    adopted.set_inheritable(False)
    adopted.setblocking(False)
    return adopted
