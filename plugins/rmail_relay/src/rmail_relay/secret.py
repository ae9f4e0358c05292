"""The secret of the relay, `{mail_root}/queue/srs.key`: made once, kept for ever."""

from __future__ import annotations

import os
from pathlib import Path

from rmail_kernel.errors import Corrupt

_BYTES = 32


def read_secret(mail_root: Path) -> bytes:
    """The secret; made, durably, when there is none.

    Raises:
        Corrupt: the file was cut. OSError: it cannot be read or made.
    """
    path = mail_root / "queue" / "srs.key"
    if not path.exists():
        _make(path, mail_root)
    secret = path.read_bytes()
    if len(secret) != _BYTES:
        raise Corrupt("The key of SRS addresses was changed", path=str(path))
    return secret


def _make(path: Path, mail_root: Path) -> None:
    """Of several processes one wins; the others take what it made."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    aside = path.with_name(f"srs.{os.urandom(8).hex()}")
    fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    owner = mail_root.stat()
    try:
        os.write(fd, os.urandom(_BYTES))
        if os.geteuid() == 0:  # files belong to the store's owner, also when root runs a command
            os.fchown(fd, owner.st_uid, owner.st_gid)
            os.chown(path.parent, owner.st_uid, owner.st_gid)
        os.fsync(fd)
    finally:
        os.close(fd)
    try:
        os.link(aside, path)
    except FileExistsError:
        return
    finally:
        aside.unlink()
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
