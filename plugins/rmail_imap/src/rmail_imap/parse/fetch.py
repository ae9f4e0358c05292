"""What FETCH asks for (RFC 3501 6.4.5 and 9: fetch-att, section)."""

from __future__ import annotations

import enum
import re
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

from rmail_imap import write
from rmail_imap.additions import FetchItem
from rmail_imap.errors import BadSyntax
from rmail_imap.parse.cursor import Cursor, Dialect
from rmail_imap.parse.returns import Partial, partial
from rmail_imap.parse.sets import NumberSet, number_set
from rmail_kernel.mime import Section, SectionKind
from rmail_kernel.storage.ids import ModSeq

_PART: Final = re.compile(rb"[1-9]\d{0,8}(?:\.[1-9]\d{0,8})*+")
_KIND: Final = re.compile(rb"[A-Za-z.]++")
_LAZY: Final = re.compile(rb"(?i) \(LAZY(?: LAZY)*\)")
_MAX_ITEMS: Final = 200
_MAX_FIELDS: Final = 200
_MAX_PART_DEPTH: Final = 100
_MAX_KNOWN_BYTES: Final = 512


class Item(enum.Enum):
    """Data items that are one value of a message; the value is the name on the wire."""

    UID = b"UID"
    FLAGS = b"FLAGS"
    INTERNALDATE = b"INTERNALDATE"
    SIZE = b"RFC822.SIZE"
    ENVELOPE = b"ENVELOPE"
    BODY = b"BODY"
    BODYSTRUCTURE = b"BODYSTRUCTURE"
    UTF8_BODY = b"BODY of message/global, too"  # RFC 9051 7.5.2, RFC 9755 6
    UTF8_BODYSTRUCTURE = b"BODYSTRUCTURE of message/global, too"
    MODSEQ = b"MODSEQ"
    SAVEDATE = b"SAVEDATE"  # RFC 8514 4.2
    EMAILID = b"EMAILID"  # RFC 8474 5.3
    THREADID = b"THREADID"
    PREVIEW = b"PREVIEW"  # RFC 8970 3
    PREVIEW_LAZY = b"PREVIEW (LAZY)"  # RFC 8970 4.1


Form = Literal["encoded", "decoded", "size"]


@dataclass(frozen=True, slots=True)
class BodyItem:
    """Bytes of a message: BODY[section]<partial> or one of the RFC822 items.

    Attributes:
        label: name in the response.
        sets_seen: fetching it sets \\Seen.
        partial: first byte and count, None for all.
        form: "encoded" as they are, "decoded" without their transfer encoding, or only how many
            bytes that gives (RFC 3516 4.2).
    """

    section: Section
    label: bytes
    sets_seen: bool
    partial: tuple[int, int] | None = None
    form: Form = "encoded"


AnyItem = Item | BodyItem | FetchItem


@dataclass(frozen=True, slots=True)
class FetchArgs:
    """FETCH set items [(CHANGEDSINCE modseq VANISHED PARTIAL range)]."""

    messages: NumberSet
    items: tuple[AnyItem, ...]
    changed_since: ModSeq | None = None
    partial: Partial | None = None
    tells_vanished: bool = False

    def of(self, messages: NumberSet) -> FetchArgs:
        """The same of other messages."""
        more = self.changed_since, self.partial, self.tells_vanished
        return FetchArgs(messages, self.items, *more)


_FAST: Final = (Item.FLAGS, Item.INTERNALDATE, Item.SIZE)
_MACROS: Final[dict[str, tuple[Item, ...]]] = {
    "FAST": _FAST,
    "ALL": (*_FAST, Item.ENVELOPE),
    "FULL": (*_FAST, Item.ENVELOPE, Item.BODY),
}
_ITEMS: Final[dict[str, Item | BodyItem]] = {
    **{item.value.decode(): item for item in Item},
    "RFC822": BodyItem(Section(), b"RFC822", sets_seen=True),
    # Older than RFC 3501, and yet what Outlook asks for.
    "RFC822.PEEK": BodyItem(Section(), b"RFC822", sets_seen=False),
    "RFC822.TEXT": BodyItem(Section(kind="TEXT"), b"RFC822.TEXT", sets_seen=True),
    "RFC822.HEADER": BodyItem(Section(kind="HEADER"), b"RFC822.HEADER", sets_seen=False),
}
_UTF8: Final[dict[AnyItem, Item]] = {
    Item.BODY: Item.UTF8_BODY,
    Item.BODYSTRUCTURE: Item.UTF8_BODYSTRUCTURE,
}
BINARY: Final = frozenset({"BINARY", "BINARY.PEEK", "BINARY.SIZE"})
_KINDS: Final[dict[str, SectionKind]] = {
    "HEADER": "HEADER",
    "HEADER.FIELDS": "HEADER.FIELDS",
    "HEADER.FIELDS.NOT": "HEADER.FIELDS.NOT",
    "TEXT": "TEXT",
    "MIME": "MIME",
}


def fetch_args(cursor: Cursor) -> FetchArgs:
    """The arguments of FETCH and UID FETCH; UID FETCH always answers UID (RFC 3501 6.4.8)."""
    cursor.space()
    messages = number_set(cursor)
    cursor.space()
    rest = cursor.raw[cursor.at :]
    if len(rest) <= _MAX_KNOWN_BYTES:  # clients ask for the same of one message after another
        with suppress(BadSyntax):  # the fault is told by its place in the whole command
            return _known(rest, cursor.is_uid, cursor.dialect).of(messages)
    return _rest(cursor).of(messages)


@lru_cache(maxsize=256)
def _known(raw: bytes, is_uid: bool, dialect: Dialect) -> FetchArgs:
    return _rest(Cursor(raw, is_uid=is_uid, dialect=dialect))


def _rest(cursor: Cursor) -> FetchArgs:
    """What follows the set."""
    items = _items(cursor)
    if cursor.dialect.is_utf8:
        items = tuple(_UTF8.get(item, item) for item in items)
    modifiers = _modifiers(cursor)
    cursor.end()
    if cursor.is_uid and Item.UID not in items:
        items = (Item.UID, *items)
    if modifiers.changed_since is not None and Item.MODSEQ not in items:  # RFC 7162 3.1.4.1
        items = (*items, Item.MODSEQ)
    return FetchArgs(
        NumberSet(()), items, modifiers.changed_since, modifiers.partial, modifiers.tells_vanished
    )


@dataclass(slots=True)
class _Modifiers:
    """What stands in parentheses after the items (RFC 4466 2.4), each at most once."""

    changed_since: ModSeq | None = None
    partial: Partial | None = None
    tells_vanished: bool = False


def _modifiers(cursor: Cursor) -> _Modifiers:
    found = _Modifiers()
    if not cursor.skip(b" ("):
        return found
    while True:
        name = cursor.word()
        cursor.check("FETCH modifier", name)
        if name == "CHANGEDSINCE" and found.changed_since is None:
            cursor.space()
            found.changed_since = cursor.modseq()
        elif name == "VANISHED" and cursor.is_uid and not found.tells_vanished:
            found.tells_vanished = True  # RFC 7162 3.2.6
        elif name == "PARTIAL" and cursor.is_uid and found.partial is None:  # RFC 9394 3.3
            cursor.space()
            found.partial = partial(cursor)
        else:
            raise BadSyntax("Unknown modifier of FETCH")
        if not cursor.skip(b" "):
            break
    cursor.expect(b")")
    if found.tells_vanished and found.changed_since is None:
        raise BadSyntax("VANISHED needs CHANGEDSINCE")  # RFC 7162 3.2.6
    return found


def _items(cursor: Cursor) -> tuple[AnyItem, ...]:
    if not cursor.skip(b"("):
        start = cursor.at
        macro = _MACROS.get(cursor.word())
        if macro is not None:
            return macro
        cursor.at = start
        return (_item(cursor),)
    items = [_item(cursor)]
    while cursor.skip(b" "):
        items.append(_item(cursor))
        if len(items) > _MAX_ITEMS:
            raise BadSyntax("Too many data items", b"LIMIT")
    cursor.expect(b")")
    return tuple(dict.fromkeys(items))


def _item(cursor: Cursor) -> AnyItem:
    name = cursor.word()
    if cursor.peek() == b"[" and name in ("BODY", "BODY.PEEK"):
        return _body_item(cursor, sets_seen=name == "BODY")
    if cursor.peek() == b"[" and name in BINARY:
        return _binary_item(cursor, name)
    cursor.check("FETCH", name)
    item = _ITEMS.get(name) or _added(cursor, name)
    if item is None:
        raise BadSyntax("Unknown data item")
    if item is Item.PREVIEW:
        lazy = _LAZY.match(cursor.raw, cursor.at)
        if lazy is not None:
            cursor.at = lazy.end()
            return Item.PREVIEW_LAZY
    return item


def _added(cursor: Cursor, name: str) -> FetchItem | None:
    """An item that a plugin brings along."""
    item = cursor.dialect.items.get(name)
    return None if item is None or item.capability.upper() in cursor.dialect.off else item


def is_item(name: str) -> bool:
    """Whether there is a shipped item of that upper-case name."""
    return name in _ITEMS or name in _MACROS or name == "BODY.PEEK" or name in BINARY


def _body_item(cursor: Cursor, *, sets_seen: bool) -> BodyItem:
    cursor.expect(b"[")
    section = _section(cursor)
    cursor.expect(b"]")
    octets = _octets(cursor) if cursor.skip(b"<") else None
    label = b"BODY[%b]" % _label(section)
    if octets is not None:
        label += b"<%d>" % octets[0]
    return BodyItem(section, label, sets_seen, octets)


def _binary_item(cursor: Cursor, name: str) -> BodyItem:
    """BINARY[part]<partial>, BINARY.PEEK and BINARY.SIZE (RFC 3516 4.2)."""
    cursor.check("FETCH", "BINARY")
    cursor.expect(b"[")
    section = _section(cursor)
    if section.kind:
        raise BadSyntax("Only a part can be decoded")
    cursor.expect(b"]")
    if name == "BINARY.SIZE":
        return BodyItem(section, b"BINARY.SIZE[%b]" % _label(section), False, None, "size")
    octets = _octets(cursor) if cursor.skip(b"<") else None
    label = b"BINARY[%b]" % _label(section)
    if octets is not None:
        label += b"<%d>" % octets[0]
    return BodyItem(section, label, name == "BINARY", octets, "decoded")


def _section(cursor: Cursor) -> Section:
    part: tuple[int, ...] = ()
    match = _PART.match(cursor.raw, cursor.at)
    if match is not None:
        cursor.at = match.end()
        part = tuple(map(int, match[0].split(b".")))
        if len(part) > _MAX_PART_DEPTH:
            raise BadSyntax("A section is too deep", b"LIMIT")
        if not cursor.skip(b"."):
            return Section(part)
    elif cursor.peek() == b"]":
        return Section()
    kind = _KINDS.get(cursor.take(_KIND, "a section").decode("ascii").upper())
    if kind is None or (kind == "MIME" and not part):
        raise BadSyntax("Unknown section")
    names = _field_names(cursor) if kind.startswith("HEADER.FIELDS") else ()
    return Section(part, kind, names)


def _field_names(cursor: Cursor) -> tuple[bytes, ...]:
    cursor.space()
    cursor.expect(b"(")
    names = [cursor.astring()]
    while cursor.skip(b" "):
        names.append(cursor.astring())
        if len(names) > _MAX_FIELDS:
            raise BadSyntax("Too many header fields", b"LIMIT")
    cursor.expect(b")")
    return tuple(names)


def _octets(cursor: Cursor) -> tuple[int, int]:
    start = cursor.number64()
    cursor.expect(b".")
    count = cursor.number64()
    cursor.expect(b">")
    if count == 0:  # RFC 3501 9: nz-number
        raise BadSyntax("A partial fetch of nothing")
    return start, count


def _label(section: Section) -> bytes:
    pieces = [b"%d" % number for number in section.part]
    if section.kind:
        pieces.append(section.kind.encode())
    label = b".".join(pieces)
    if section.fields:
        label += b" (%b)" % b" ".join(map(write.astring, section.fields))
    return label
