"""Unix stream sockets in {mail_root}/run, for the store's owner only, at paths of any length."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rmail_kernel import runfiles


def bind(mail_root: Path, path: Path) -> socket.socket:
    """A socket at `path` that does not listen yet; what lies there is removed.

    Raises:
        OSError: it cannot be made.
    """
    path.unlink(missing_ok=True)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _short(path) as address:
            bound.bind(address)
        path.chmod(0o600)
        runfiles.give_to_owner(mail_root, path)
        bound.setblocking(False)
    except BaseException:
        bound.close()
        raise
    return bound


def connect(path: Path) -> socket.socket:
    """A connection that does not block; to a local socket it is made at once, or refused.

    Raises:
        OSError: nobody listens there.
    """
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        opened.setblocking(False)
        with _short(path) as address:
            opened.connect(address)
    except BaseException:
        opened.close()
        raise
    return opened


@contextmanager
def _short(path: Path) -> Iterator[str]:
    """A name for a socket's path that fits into sun_path (108 bytes, unix(7)) however deep the
    store lies.
    """
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
