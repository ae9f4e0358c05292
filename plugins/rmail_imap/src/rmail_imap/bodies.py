"""Bytes of a message for FETCH: which range a section names, read from the store's reader.

RFC 3501 6.4.5. Never a large body in memory: what is longer than PIECE_BYTES is sent in pieces.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Final

from rmail_imap.binary import Decoded, decode, is_decoded
from rmail_imap.parse.fetch import BodyItem
from rmail_imap.session import Session
from rmail_imap.wire import Disconnected
from rmail_kernel.errors import Corrupt, NotFound, RmailError
from rmail_kernel.mime import CACHED_FIELDS, Part, decode_structure, field_block, find_part, locate
from rmail_kernel.storage.mail import Fetched, Field
from rmail_kernel.storage.reader import MessageReader

PIECE_BYTES: Final = 1 << 18
_INLINE_BYTES: Final = 1 << 16
_FROM_FILE: Final = Field.CONTENT | Field.STRUCTURE


@dataclass(frozen=True, slots=True)
class Found:
    """Where the bytes of a section are: ready, or a range [start, end) of the message, or of what
    a part of it was decoded to.
    """

    raw: bytes | None
    start: int = 0
    end: int = 0
    decoded: Decoded | None = None

    @property
    def may_have_nul(self) -> bool:
        """Whether a NUL may be among them; it may in what was not decoded."""
        return self.decoded is None or self.decoded.has_nul

    @property
    def range(self) -> tuple[int, int]:
        """Both ends."""
        return self.start, self.end

    @property
    def size(self) -> int:
        """How many they are."""
        return self.end - self.start


def needs(item: BodyItem) -> Field:
    """What the store must read for an item."""
    section = item.section
    if (
        item.form != "encoded"
        or section.part
        or section.kind in ("HEADER", "TEXT", "MIME", "HEADER.FIELDS.NOT")
    ):
        return _FROM_FILE
    if section.kind == "HEADER.FIELDS":
        is_cached = all(name.lower() in CACHED_FIELDS for name in section.fields)
        return Field.HEADERS if is_cached else _FROM_FILE
    return Field.CONTENT


def cached_headers(item: BodyItem, raw_headers: Sequence[bytes]) -> list[bytes]:
    """The answers, as literals, to a HEADER.FIELDS that `needs` only cached headers, of messages
    whose cached headers are complete.
    """
    names = item.section.fields
    return [literal(cut(item, filter_fields(raw, names))) for raw in raw_headers]


def is_whole(item: BodyItem) -> bool:
    """Whether an item is of the whole message, header and all."""
    return needs(item) is Field.CONTENT


def cut(item: BodyItem, raw: bytes) -> bytes:
    """The bytes of a section with the item's partial applied."""
    if item.partial is None:
        return raw
    first, count = item.partial
    return raw[first : first + count]


def literal(raw: bytes) -> bytes:
    """RFC 3501 4.3."""
    return b"{%d}\r\n%b" % (len(raw), raw)


def filter_fields(raw_headers: bytes, names: tuple[bytes, ...]) -> bytes:
    """What `field_block` gives for cached headers, whose lines are all fields, several times
    faster: list views of clients ask it of every message.
    """
    block = b"".join(_matcher(names).findall(b"\n" + raw_headers))[1:]
    return block + b"\n\r\n" if block else b"\r\n"


@lru_cache(maxsize=128)
def _matcher(names: tuple[bytes, ...]) -> re.Pattern[bytes]:
    """Whole fields of these names, with their continuation lines and the line end before, which is
    what the engine looks for: it finds a byte faster than a place.
    """
    any_name = b"|".join(b"".join(map(_any_case, name)) for name in names)
    return re.compile(rb"\n(?:" + any_name + rb")[ \t]*+:[^\n]*+(?:\n[ \t][^\n]*+)*+")


def _any_case(code: int) -> bytes:
    """A byte in either case; the regular expression engine is slower at it when it is told to
    ignore case, for it tries each name at each line then.
    """
    raw = bytes((code,))
    return b"[%b%b]" % (raw.upper(), raw.lower()) if raw.isalpha() else re.escape(raw)


class Body:
    """One message as body items see it.

    Args:
        session: to read more with, and to write to.
        stored: what the store gave.
    """

    def __init__(self, session: Session, stored: Fetched) -> None:
        self._session = session
        self._stored = stored
        self._opened: list[Fetched] = []
        self._root: Part | None = None
        self._decodings: dict[tuple[int, ...], Decoded] = {}

    def close(self) -> None:
        """Lets go of the files."""
        for stored in (self._stored, *self._opened):
            if stored.content is not None:
                stored.content.close()

    async def decode_all(self, items: Sequence[BodyItem]) -> None:
        """Decodes what is to be told decoded, each part once.

        Raises:
            Refused: UNKNOWN-CTE (RFC 3516 4.3).
        """
        for item in items:
            if item.form != "encoded":
                await self._decoded(item)

    async def find(self, item: BodyItem) -> Found | None:
        """The bytes of an item, None if the message has no such part."""
        section = item.section
        if item.form != "encoded":
            return await self._decoded(item)
        stored = self._stored
        if needs(item) is Field.HEADERS and stored.raw_headers is not None:
            if stored.has_all_headers:
                return _cut(filter_fields(stored.raw_headers, section.fields), item)
            await self._reopen()
        if not section.part and not section.kind:
            return _clip(0, (await self._content()).size, item)
        root = await self._structure()
        place = locate(root, section)
        if place is None:
            return None
        if not section.kind.startswith("HEADER.FIELDS"):
            return _clip(*place, item)
        raw_header = await self._read(*place)
        is_not = section.kind == "HEADER.FIELDS.NOT"
        block = partial(field_block, raw_header, section.fields, exclude=is_not)
        if len(raw_header) > _INLINE_BYTES:  # it may have very many fields; others want to run
            return _cut(await self._session.kernel.run(block), item)
        return _cut(block(), item)

    async def read(self, found: Found) -> bytes:
        """All bytes of a find, which must be small."""
        return found.raw if found.raw is not None else await self._piece(found, *found.range)

    async def send(self, found: Found) -> None:
        """Writes a large find in pieces; the announced literal must come whole or not at all."""
        wire = self._session.wire
        try:
            for start in range(found.start, found.end, PIECE_BYTES):
                wire.write(await self._piece(found, start, min(start + PIECE_BYTES, found.end)))
                await wire.flush()
        except RmailError as error:
            wire.abort()
            raise Disconnected from error

    async def _decoded(self, item: BodyItem) -> Found | None:
        """A part without its transfer encoding; what holds other parts has none (RFC 2045 6.4)."""
        if not item.section.part:
            return _clip(0, (await self._content()).size, item)
        part = find_part(await self._structure(), item.section.part)
        if part is None:
            return None
        if part.children or part.is_multipart or not is_decoded(part):
            return _clip(*part.body_range, item)
        decoded = self._decodings.get(item.section.part)
        if decoded is None:
            decoded = await decode(self._session.kernel, await self._content(), part)
            self._decodings[item.section.part] = decoded
        return replace(_clip(0, decoded.content.size, item), decoded=decoded)

    async def _piece(self, found: Found, start: int, end: int) -> bytes:
        if found.decoded is not None:
            return found.decoded.read(start, end)
        return await self._read(start, end)

    async def _read(self, start: int, end: int) -> bytes:
        raw = await (await self._content()).read(start, end)
        if len(raw) != end - start:
            raise Corrupt("The message is shorter than it was", uid=self._stored.uid)
        return raw

    async def _content(self) -> MessageReader:
        if self._stored.content is None:
            await self._reopen()
        assert self._stored.content is not None
        return self._stored.content

    async def _structure(self) -> Part:
        if self._root is None:
            if self._stored.raw_structure is None:
                await self._reopen()
            assert self._stored.raw_structure is not None
            self._root = decode_structure(self._stored.raw_structure)
        return self._root

    async def _reopen(self) -> None:
        """Asks the store for the message itself, where its cached headers do not suffice."""
        session = self._session
        rows = session.mail.fetch(
            session.account, session.mailbox.id, [self._stored.uid], _FROM_FILE
        )
        found = [batch[0] async for batch in rows]
        if not found:
            raise NotFound("The message was expunged meanwhile")
        self._opened.append(self._stored)
        self._stored = found[0]
        if self._stored.content is None:
            raise Corrupt("The message cannot be read", uid=self._stored.uid)


def _clip(start: int, end: int, item: BodyItem) -> Found:
    """The range with the item's partial applied; past the end it is empty (RFC 3501 6.4.5)."""
    if item.partial is not None:
        first, count = item.partial
        start = min(start + first, end)
        end = min(start + count, end)
    return Found(None, start, end)


def _cut(raw: bytes, item: BodyItem) -> Found:
    range_ = _clip(0, len(raw), item)
    return Found(raw[range_.start : range_.end], range_.start, range_.end)
