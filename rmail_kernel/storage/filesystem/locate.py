"""Finding the file of a message whose name may lag behind its flags."""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path

from rmail_kernel.storage.filesystem.layout import file_name, parse_file, shard_name, shard_of


def message_path(mailbox: Path, uid: int, word: int) -> Path:
    """Where a message with these flags should be."""
    return mailbox / shard_name(shard_of(uid)) / file_name(uid, word)


def message_name(mailbox: str, uid: int, word: int) -> str:
    """As `message_path`, for those who look for many: a Path is dearer than a look."""
    return f"{mailbox}/{shard_name(shard_of(uid))}/{file_name(uid, word)}"


def find_file(mailbox: Path, uid: int, *words: int) -> Path | None:
    """The file of a message: by the names it may have, then by its UID in the shard."""
    found = find_name(str(mailbox), uid, *words)
    return None if found is None else Path(found)


def find_name(mailbox: str, uid: int, *words: int) -> str | None:
    """As `find_file`, for those who look for many: a Path is dearer than a look."""
    return Names().find(mailbox, uid, *words)


class Names:
    """Files of many messages: no shard is listed twice. For those that hold the account's lock, and
    tell of the files that they change.

    Args:
        is_many: shards are listed at once, for who will ask for much of them.
    """

    def __init__(self, *, is_many: bool = False) -> None:
        self._is_many = is_many
        self._listed: dict[str, dict[str, list[str]]] = {}

    def find(self, mailbox: str, uid: int, *words: int) -> str | None:
        """The file of a message: by the names it may have, then by its UID in the shard."""
        shard = f"{mailbox}/{shard_name(shard_of(uid))}"
        wanted = [file_name(uid, word) for word in words]
        for name in () if self._is_many else wanted:
            if os.path.exists(path := f"{shard}/{name}"):  # noqa: PTH110 - see above
                return path
        if shard not in self._listed:
            self._listed[shard] = _by_uid(shard)
        found = self._listed[shard].get(f"{uid:08d}", ())
        for name in wanted:
            if name in found:
                return f"{shard}/{name}"
        return next((f"{shard}/{name}" for name in found if parse_file(name)), None)

    def forget(self, mailbox: str, uid: int) -> None:
        """The file of a message was removed, or has the name of its flags now."""
        self._listed.get(f"{mailbox}/{shard_name(shard_of(uid))}", {}).pop(f"{uid:08d}", None)


def _by_uid(shard: str) -> dict[str, list[str]]:
    """The names in a shard, by what should be a UID."""
    found = defaultdict[str, list[str]](list)
    try:
        names = os.listdir(shard)
    except (FileNotFoundError, NotADirectoryError):
        return found
    for name in names:
        found[name.partition("_")[0]].append(name)
    return found


def settled(named: int) -> int:
    """The flags that the file's name had when last known to be durable."""
    return named if named >= 0 else ~named
