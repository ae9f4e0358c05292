"""The text of one message file as the full-text index keeps it: what searches would read of it.

What is larger than its limits is left out and the message marked as not sure, so that no message
holds up those behind it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rmail_kernel.casemap import casemap
from rmail_kernel.mime import decode_structure, fields, walk
from rmail_kernel.mime.structure import Part
from rmail_kernel.storage.evaluate import MAX_HEADER_BYTES, field_text, part_text
from rmail_kernel.storage.filesystem.digest import digest, digest_of
from rmail_kernel.storage.filesystem.fulltext import joined
from rmail_kernel.storage.filesystem.locate import find_name, message_name, settled

MAX_PART_BYTES: Final = 1 << 20
"""Bytes of one part, as sent; larger ones are left out."""
MAX_CHARS: Final = 1 << 19
"""Characters of one message. So many of noise, with new trigrams all along, take seconds."""
MAX_TEXTS: Final = 10_000
"""Header fields of one message, and its parts."""
_Read = Callable[[int, int], bytes]


@dataclass(frozen=True, slots=True)
class MessageText:
    """Two columns of the index. Not `is_sure`: there is text that they lack. Header None: it was
    not asked for.
    """

    header: str | None = ""
    body: str = ""
    is_sure: bool = False


class _Budget:
    """Takes texts until there are enough of them."""

    def __init__(self) -> None:
        self.is_sure = True
        self._chars = MAX_CHARS

    def take(self, texts: Iterable[str | None]) -> str:
        """Those that fit, joined; None stands for one that does not."""
        taken = []
        for index, text in enumerate(texts):
            if index >= MAX_TEXTS:
                self.is_sure = False
                break
            if text is None or len(text) > self._chars:
                self.is_sure = False
            else:
                self._chars -= len(text)
                taken.append(text)
        return joined(taken)


ROWS: Final = (
    "SELECT uid, flags, named, size_bytes, structure, content FROM message"
    " LEFT JOIN summary ON summary.key = mailbox << 32 | uid"
    " LEFT JOIN incoming ON incoming.key = mailbox << 32 | uid"
)
"""Of account.db: what `stored_text` wants to know of messages, their sizes beside it."""


def stored_text(mailbox: Path, row: Sequence[Any], *, with_header: bool = True) -> MessageText:
    """The text of a message. OSError, ValueError.

    Args:
        mailbox: its directory.
        row: one of `ROWS`.
    """
    uid, flags, named, _, structure, content = row
    if content is not None:  # its file may have to be mended after a power loss
        return text_of_bytes(content, structure, with_header=with_header)
    directory = str(mailbox)
    try:  # most have the name that they should
        return _read_text(message_name(directory, uid, flags), structure, with_header)
    except FileNotFoundError:
        name = find_name(directory, uid, settled(named))
        if name is None:
            raise
        return _read_text(name, structure, with_header)


def _read_text(path: str, raw_structure: bytes | None, with_header: bool) -> MessageText:
    """The text of a message; without its structure the file is scanned."""
    root = decode_structure(raw_structure or digest_of(Path(path), 0).summary[5])
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return _text(root, lambda start, end: os.pread(fd, end - start, start), with_header)
    finally:
        os.close(fd)


def text_of_bytes(
    raw: bytes, raw_structure: bytes | None, *, with_header: bool = True
) -> MessageText:
    """The text of a message that is at hand. ValueError."""
    root = decode_structure(raw_structure or digest(raw, 0).summary[5])
    return _text(root, lambda start, end: raw[start:end], with_header)


def _text(root: Part, read: _Read, with_header: bool) -> MessageText:
    budget = _Budget()
    header = None
    if with_header:
        header = budget.take(_header_texts(read(0, min(root.body_start, MAX_HEADER_BYTES))))
    body = budget.take(_part_texts(read, root))
    return MessageText(header, body, budget.is_sure)


def _header_texts(raw_header: bytes) -> Iterator[str]:
    return (field_text(name, value) for name, value in fields(raw_header))


def _part_texts(read: _Read, root: Part) -> Iterator[str | None]:
    for part in walk(root):
        if part.type == "text":
            yield _part_text(read, part)
        if part.filename:
            yield casemap(part.filename)


def _part_text(read: _Read, part: Part) -> str | None:
    if part.body_end - part.body_start > MAX_PART_BYTES:
        return None
    return part_text(read(part.body_start, part.body_end), part)
