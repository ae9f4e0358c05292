"""Becoming `process.user` once the sockets are open, and the limits of a process."""

from __future__ import annotations

import os
import pwd
import resource
from pathlib import Path

from rmail_kernel.errors import ConfigError

_PATH = "process.user"


def drop(user: str | None, mail_root: Path) -> None:
    """Becomes `user` for good; None changes nothing.

    Raises:
        ConfigError: no such user, no right to become it, or the store belongs to another one.
    """
    if user is None:
        return
    try:
        entry = pwd.getpwnam(user)
    except KeyError as error:
        raise ConfigError(f"there is no user {user!r}", path=_PATH) from error
    if os.geteuid() == entry.pw_uid:
        return
    if os.geteuid() != 0:
        raise ConfigError(f"only root can become {user!r}", path=_PATH)
    if mail_root.exists():
        owner = mail_root.stat().st_uid
        if owner != entry.pw_uid:
            raise ConfigError(f"{mail_root} belongs to uid {owner}, not to {user!r}", path=_PATH)
    else:
        mail_root.mkdir(mode=0o700, parents=True)
        os.chown(mail_root, entry.pw_uid, entry.pw_gid)
    os.initgroups(user, entry.pw_gid)
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)


def raise_open_files() -> None:
    """Lets this process open as many files as the hard limit allows: each session is one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
