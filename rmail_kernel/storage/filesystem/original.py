"""What is below an account's `mailboxes/` that the original product wrote, and what it is here.

Looks only, changes nothing. The original named a directory as the client had named the mailbox:
nested at each `/`, in modified UTF-7 (RFC 3501 5.1.3) or UTF-8, and its status.json has no version.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rmail_kernel.errors import Corrupt, Invalid
from rmail_kernel.storage.filesystem.disk import read_json
from rmail_kernel.storage.filesystem.layout import (
    canonical,
    directory_name,
    mailbox_name,
    parse_shard,
)
from rmail_kernel.storage.filesystem.rebuild import message_files, shards
from rmail_kernel.storage.filesystem.tables import StatusFile

MAX_DEPTH = 32
_MODIFIED_UTF7 = re.compile(r"(?:[ -%'-~]|&[A-Za-z0-9+,]*-)*\Z")
_SHIFTED = re.compile(r"&([A-Za-z0-9+,]*)-")


@dataclass(frozen=True, slots=True)
class FoundMailbox:
    """A directory that is a mailbox. `name` and `target` (its directory name) are ours, '' when it
    cannot have one; `problems` are for people.
    """

    directory: str  # below mailboxes/
    name: str
    target: str
    is_original: bool
    messages: int
    size_bytes: int
    problems: tuple[str, ...] = ()

    @property
    def has_to_move(self) -> bool:
        """Whether it is not where we would look for it."""
        return bool(self.target) and self.directory != self.target

    @property
    def depth(self) -> int:
        """How many directories it is nested in."""
        return self.directory.count("/")


def find_mailboxes(mailboxes: Path) -> list[FoundMailbox]:
    """All mailboxes below an account's `mailboxes/`, INBOX first, then by name."""
    if not mailboxes.is_dir():
        return []
    taken: set[str] = set()
    found = []
    walked = sorted(_walk(mailboxes, "", 0), key=lambda one: (not _is_ours(one), one))
    for directory in walked:
        path = mailboxes / directory
        is_original = _is_original(path)
        name, problem = _name(directory, taken, is_original=is_original)
        taken.add(name)
        found.append(_look(path, directory, name, problem, is_original=is_original))
    return sorted(found, key=lambda one: (one.name != "INBOX", one.name, one.directory))


def _is_ours(directory: str) -> bool:
    return "/" not in directory and mailbox_name(directory) is not None


def _walk(mailboxes: Path, directory: str, depth: int) -> Iterator[str]:
    """Directories below `directory` that are mailboxes; those of our naming always are."""
    for path in (mailboxes / directory).iterdir():
        name = f"{directory}/{path.name}" if directory else path.name
        if path.is_symlink() or not path.is_dir():
            continue
        has_status = (path / "status.json").is_file()
        if directory and not has_status and parse_shard(path.name) is not None:
            continue
        inner = list(_walk(mailboxes, name, depth + 1)) if depth < MAX_DEPTH else []
        if has_status or inner or any(True for _ in shards(path)) or (not depth and _is_ours(name)):
            yield name
        yield from inner


def _is_original(path: Path) -> bool:
    """Whether the original wrote a mailbox; where status.json does not tell, the account does."""
    try:
        status = read_json(path / "status.json")
    except Corrupt:
        status = None
    if status:
        return "version" not in status
    home = next(one.parent for one in path.parents if one.name == "mailboxes")
    return not (home / "mail.json").exists()


def _name(directory: str, taken: set[str], *, is_original: bool) -> tuple[str, str]:
    """The name of a mailbox, and what is wrong with it."""
    levels = directory.split("/")
    if _is_ours(directory):
        levels = [mailbox_name(directory) or directory]
    if is_original:
        levels = [from_modified_utf7(level) for level in levels]
    try:
        name = wanted = canonical("/".join(levels))
        number = 1
        while name in taken:
            number += 1
            name = canonical(f"{wanted} {number}")
    except Invalid as error:
        return "", f"it cannot be a mailbox: {error.safe}"
    if name != wanted:
        return name, f"there is another {wanted}, so it becomes {name}"
    return name, ""


def from_modified_utf7(text: str) -> str:
    """A name as the client meant it; the text itself when it is no modified UTF-7, or when what it
    stands for would be decoded once more by the next run.
    """
    decoded = _decoded(text)
    return decoded if _decoded(decoded) == decoded else text


def _decoded(text: str) -> str:
    if not _MODIFIED_UTF7.match(text):
        return text
    try:
        return _SHIFTED.sub(lambda found: _characters(found[1]), text)
    except (binascii.Error, UnicodeDecodeError):
        return text


def _characters(shifted: str) -> str:
    """What stands between & and -: base64 with a comma for the slash, of UTF-16."""
    if not shifted:
        return "&"
    raw = base64.b64decode(shifted.replace(",", "/") + "=" * (-len(shifted) % 4), validate=True)
    return raw.decode("utf-16-be")


def _look(
    path: Path, directory: str, name: str, problem: str, *, is_original: bool
) -> FoundMailbox:
    problems = [problem] if problem else []
    try:
        status = StatusFile.of(read_json(path / "status.json") or {})
    except Corrupt:
        status = StatusFile()
    files = [file for _, shard in shards(path) for file in message_files(shard)]
    if files and status.uidvalidity is None:
        problems.append("status.json does not tell UIDVALIDITY; clients will load it anew")
    uids = {file.uid for file in files if file.uid}
    strays = len(files) - len(uids)
    if strays:
        problems.append(f"{strays} files have no UID of their own; they get new ones")
    size_bytes = sum(file.size_bytes for file in files)
    target = directory_name(name) if name else ""
    return FoundMailbox(
        directory, name, target, is_original, len(files), size_bytes, tuple(problems)
    )
