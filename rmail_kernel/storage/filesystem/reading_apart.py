"""Texts of messages as the process that indexes reads them for one that serves: what is asked, what
is answered. What it has read, it indexes without reading it again.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final, NamedTuple

import apsw
import msgspec

from rmail_kernel.storage.filesystem import tables
from rmail_kernel.storage.filesystem.account import Moved, Reader
from rmail_kernel.storage.filesystem.layout import AccountPaths
from rmail_kernel.storage.filesystem.remembering import Box, Texts
from rmail_kernel.storage.filesystem.shared_texts import share
from rmail_kernel.storage.filesystem.texts import MessageText
from rmail_kernel.storage.filesystem.unindexed import read_rows

MAX_KEPT_BYTES: Final = 8 << 20
"""Texts that are kept until they are indexed."""


class Wanted(NamedTuple):
    """Messages of one mailbox from UID `start` on, as many as come at once."""

    home: str
    mailbox: int
    uidvalidity: int
    start: int

    def dump(self) -> bytes:
        """It as a line."""
        return json.dumps(self._asdict()).encode() + b"\n"

    @property
    def box(self) -> Box:
        """The mailbox, for the process that reads."""
        return Box(self.home, self.mailbox, self.uidvalidity)


class Found(NamedTuple):
    """What was read, by UID; the UID below which that is all. None: there is no such mailbox, or
    it cannot be read.
    """

    texts: dict[int, MessageText]
    upto: int | None

    def dump(self) -> bytes:
        """It as bytes, their number before them in a line of its own."""
        raw = self.raw
        return b"%d\n%b" % (len(raw), raw)

    @property
    def raw(self) -> bytes:
        """It as bytes."""
        rows = [(uid, one.header, one.body, one.is_sure) for uid, one in self.texts.items()]
        return _ENCODER.encode((rows, self.upto))


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(
    tuple[list[tuple[int, str, str, bool]], int | None]  # as `Found.dump` has it
)


def parse_found(raw: bytes) -> Found:
    """What the bytes after the line say."""
    rows, upto = _DECODER.decode(raw)
    texts = {uid: MessageText(header, body, sure) for uid, header, body, sure in rows}
    return Found(texts, upto)


def read(wanted: Wanted, kept: Texts) -> Found:
    """Reads some, and keeps them as long as there is room."""
    try:
        reader = Reader(AccountPaths.below(Path(wanted.home)))
    except (OSError, Moved, apsw.Error):
        return Found({}, None)
    try:
        row = tables.mailbox_row(reader.db, wanted.mailbox)
        if row is None or row.uidvalidity != wanted.uidvalidity:
            return Found({}, None)
        directory = AccountPaths.below(Path(wanted.home)).mailbox(row.name)
        found, upto = read_rows(directory, row, wanted.start, reader.db)
    except (OSError, apsw.Error):
        return Found({}, None)
    finally:
        reader.db.close()
    kept.add(wanted.box, found)
    answer = Found(found, upto)
    if found:
        paths = AccountPaths.below(Path(wanted.home))
        share(paths, wanted.mailbox, wanted.uidvalidity, wanted.start, upto, answer.raw)
    return answer
