"""Opening listening sockets, or taking those that were inherited. It never accepts."""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import structlog

from rmail_kernel.errors import ConfigError
from rmail_kernel.net.listeners import Listener

_log = structlog.get_logger("rmail.sockets")
_BIND_AGAIN_S = 0.05
_TCP_LISTEN = "0A"  # state of /proc/net/tcp


def open_listeners(
    listeners: Iterable[Listener],
    inherited: Mapping[str, socket.socket],
    patience_s: float = 0.0,
) -> dict[str, socket.socket]:
    """One listening socket per listener, by name.

    Args:
        inherited: sockets by listener name that are used instead of new ones; one without a
            listener is closed, or its clients would wait for ever.
        patience_s: how long to wait, blocking, for ports in use to become free.

    Raises:
        ConfigError: a port is in use, needs rights, or the host is not an address of this machine;
            sockets opened so far are closed again.
    """
    listeners = list(listeners)
    for name in inherited.keys() - {listener.name for listener in listeners}:
        _log.warning("inherited socket closed: no listener has its name", listener=name)
        inherited[name].close()
    deadline = time.monotonic() + patience_s
    sockets: dict[str, socket.socket] = {}
    own: list[socket.socket] = []
    try:
        for listener in listeners:
            if listener.name in inherited:
                sockets[listener.name] = inherited[listener.name]
                continue
            sockets[listener.name] = _open(listener, deadline)
            own.append(sockets[listener.name])
    except ConfigError:
        for opened in own:
            opened.close()
        raise
    return sockets


def ports(sockets: Mapping[str, socket.socket]) -> dict[str, int]:
    """The real port of each socket."""
    return {name: opened.getsockname()[1] for name, opened in sockets.items()}


def _open(listener: Listener, deadline: float) -> socket.socket:
    try:
        family, address = _resolve(listener)
        opened = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise ConfigError(_explain(error, listener)) from error
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            both = listener.host == "::"
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if both else 1)
        _bind(opened, address, deadline)
        opened.listen(listener.backlog)
        opened.setblocking(False)
    except OSError as error:
        opened.close()
        raise ConfigError(_explain(error, listener)) from error
    return opened


def _bind(opened: socket.socket, address: tuple[str, int], deadline: float) -> None:
    while True:
        try:
            opened.bind(address)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() >= deadline:
                raise
            time.sleep(_BIND_AGAIN_S)
        else:
            return


def _resolve(listener: Listener) -> tuple[socket.AddressFamily, tuple[str, int]]:
    found = socket.getaddrinfo(
        listener.host, listener.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    family, _, _, _, address = found[0]
    return family, (str(address[0]), listener.port)


def _explain(error: OSError, listener: Listener) -> str:
    place = f"{listener.name}: port {listener.port} on {listener.host}"
    if error.errno == errno.EADDRINUSE:
        holder = who_listens(listener.port)
        return f"{place} is in use{f' by {holder}' if holder else ''}; stop it or set another port"
    if error.errno in (errno.EACCES, errno.EPERM):
        return (
            f"{place} needs rights that this user lacks; start as root with process.user, "
            "let systemd open the socket, or set a port above 1023"
        )
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return f"{listener.name}: {listener.host} is not an address of this machine"
    return f"{place} cannot be opened: {error.strerror}"


def who_listens(port: int) -> str | None:
    """The process that listens on a TCP port, as "name (pid 123)"; None: /proc does not say."""
    inodes = _listening_inodes(port)
    if not inodes:
        return None
    wanted = {f"socket:[{inode}]" for inode in inodes}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # not ours to read, or gone meanwhile
            if any(_target(entry) in wanted for entry in (process / "fd").iterdir()):
                return f"{(process / 'comm').read_text().strip()} (pid {process.name})"
    return None


def _listening_inodes(port: int) -> set[str]:
    found: set[str] = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _TCP_LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                    found.add(fields[9])
    return found


def _target(entry: Path) -> str:
    with suppress(OSError):  # closed meanwhile
        return str(entry.readlink())
    return ""
