"""Small files beside the store ({mail_root}/run, {mail_root}/tls): written atomically, owned by the
owner of mail_root, also when root writes them.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def make_folder(root: Path, *names: str, mode: int = 0o700) -> Path:
    """Makes a folder below `root`, and `root` itself, where they are absent.

    Raises:
        OSError: it cannot be made.
    """
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = root
    for name in names:
        folder = folder / name
        try:
            folder.mkdir(mode=mode)
        except FileExistsError:
            continue
        give_to_owner(root, folder)
    return folder


def write(root: Path, path: Path, data: bytes, mode: int = 0o600) -> None:
    """Replaces `path` in one step; after a crash it holds the old or the new content, whole.

    Raises:
        OSError: it cannot be written; nothing is left behind.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(mode)
        give_to_owner(root, temporary)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def give_to_owner(root: Path, path: Path) -> None:
    """Makes the owner of `root` the owner of `path`; only root can, others own it already."""
    if os.geteuid() == 0:
        owner = root.stat()
        os.chown(path, owner.st_uid, owner.st_gid)
