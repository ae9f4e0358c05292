"""FETCH responses from columns: each item gives its values for many messages at once, and one
template joins them into lines (RFC 3501 7.4.2).

No I/O. Bodies whose bytes must be read are not made here; list views of clients are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Final

from rmail_imap import write
from rmail_imap.additions import FetchItem
from rmail_imap.bodies import cached_headers, cut, is_whole, needs
from rmail_imap.flag_words import FlagWriter
from rmail_imap.opaque import opaque
from rmail_imap.parse.fetch import AnyItem, BodyItem, Item
from rmail_imap.selected import Known
from rmail_kernel.storage.mail import Fetched, Field

CHUNK: Final = 2000
"""How many messages are answered before others get a turn."""
KEPT_CHUNK: Final = 250
"""The same when more is told than UIDs and flags."""
Values = Sequence[int | bytes]
"""One value of each message."""
_ON_VIEW: Final = frozenset({Item.UID, Item.FLAGS})
_LASTING: Final = frozenset(
    {
        Item.INTERNALDATE,
        Item.SIZE,
        Item.ENVELOPE,
        Item.BODY,
        Item.BODYSTRUCTURE,
        Item.UTF8_BODY,
        Item.UTF8_BODYSTRUCTURE,
        Item.EMAILID,
    }
)
_NIL: Final = b"NIL"
_FIELDS: Final[dict[Item, Field]] = {
    Item.ENVELOPE: Field.ENVELOPE,
    Item.BODY: Field.BODY,
    Item.BODYSTRUCTURE: Field.BODYSTRUCTURE,
    Item.UTF8_BODY: Field.BODY,
    Item.UTF8_BODYSTRUCTURE: Field.BODYSTRUCTURE,
    Item.EMAILID: Field.IDS,
    Item.PREVIEW: Field.PREVIEW,
    Item.PREVIEW_LAZY: Field.PREVIEW_LAZY,
    Item.THREADID: Field.IDS,
}


@dataclass(frozen=True, slots=True)
class Column:
    """One item: how a value looks in the template, and the values of some messages. `is_long`: the
    template has only the length, and the value follows it as it is.
    """

    template: bytes
    values: Callable[[Sequence[Fetched], FlagWriter], Values]
    is_long: bool = False


def _flags(rows: Sequence[Fetched], flags: FlagWriter) -> Values:
    return flags.column([row.uid for row in rows], [row.flags for row in rows])


def _id(text: str | None) -> bytes:
    return b"NIL" if text is None else b"(%b)" % text.encode()


def _save_date(at: datetime | None) -> bytes:
    return b"NIL" if at is None else write.date_time(at)


def _preview(text: str | None) -> bytes:
    return b"NIL" if text is None else write.string(text.encode())


_COLUMNS: Final[dict[Item, Column]] = {
    Item.UID: Column(b"UID %d", lambda rows, _: [row.uid for row in rows]),
    Item.FLAGS: Column(b"FLAGS %b", _flags),
    Item.INTERNALDATE: Column(
        b"INTERNALDATE %b", lambda rows, _: [write.date_time(row.internal_date) for row in rows]
    ),
    Item.SIZE: Column(b"RFC822.SIZE %d", lambda rows, _: [row.size_bytes for row in rows]),
    Item.ENVELOPE: Column(
        b"ENVELOPE %b", lambda rows, _: [row.raw_envelope or b"NIL" for row in rows]
    ),
    Item.BODY: Column(b"BODY %b", lambda rows, _: [opaque(row.raw_body or b"NIL") for row in rows]),
    Item.BODYSTRUCTURE: Column(
        b"BODYSTRUCTURE %b",
        lambda rows, _: [opaque(row.raw_bodystructure or b"NIL") for row in rows],
    ),
    Item.UTF8_BODY: Column(b"BODY %b", lambda rows, _: [row.raw_body or b"NIL" for row in rows]),
    Item.UTF8_BODYSTRUCTURE: Column(
        b"BODYSTRUCTURE %b", lambda rows, _: [row.raw_bodystructure or b"NIL" for row in rows]
    ),
    Item.MODSEQ: Column(b"MODSEQ (%d)", lambda rows, _: [row.modseq for row in rows]),
    Item.SAVEDATE: Column(
        b"SAVEDATE %b", lambda rows, _: [_save_date(row.save_date) for row in rows]
    ),
    Item.EMAILID: Column(b"EMAILID %b", lambda rows, _: [_id(row.email_id) for row in rows]),
    Item.THREADID: Column(b"THREADID %b", lambda rows, _: [_id(row.thread_id) for row in rows]),
    Item.PREVIEW: Column(
        b"PREVIEW %b", lambda rows, _: [_preview(row.preview or "") for row in rows]
    ),
    Item.PREVIEW_LAZY: Column(
        b"PREVIEW %b", lambda rows, _: [_preview(row.preview) for row in rows]
    ),
}


def _column(item: Item | FetchItem) -> Column:
    if isinstance(item, Item):
        return _COLUMNS[item]
    template = item.name.encode("ascii").replace(b"%", b"%%") + b" %b"
    return Column(template, lambda rows, _: item.values(rows))


def _fields(item: AnyItem) -> Field:
    if isinstance(item, BodyItem):
        return needs(item)
    return item.fields if isinstance(item, FetchItem) else _FIELDS.get(item, Field.NONE)


def _headers(item: BodyItem) -> Column:
    def values(rows: Sequence[Fetched], _: FlagWriter) -> Values:
        return cached_headers(item, [row.raw_headers or b"" for row in rows])

    return Column(item.label.replace(b"%", b"%%") + b" %b", values)


def _whole(item: BodyItem) -> Column:
    """A message, or a part of its bytes, that the store gives with its row."""

    def values(rows: Sequence[Fetched], _: FlagWriter) -> list[bytes]:
        return [cut(item, row.content.raw or b"") for row in rows if row.content]

    return Column(item.label.replace(b"%", b"%%") + b" {%d}\r\n", values, is_long=True)


class Plan:
    """What one FETCH needs, worked out once.

    Attributes:
        fields: what the store must read.
        bodies: the items among them that are bytes of the message.
        lacks: what of UID and MODSEQ is not asked for.
        view_items: all items, when the view of the mailbox has what they tell.
        lasting: the items that never change, when the view has all there is to tell beside them.
        whole: the one item that is bytes of whole messages, when the view has all there is beside.
    """

    def __init__(self, items: Sequence[AnyItem], *, is_read_only: bool) -> None:
        self._simple = [_column(item) for item in items if not isinstance(item, BodyItem)]
        self.bodies = [item for item in items if isinstance(item, BodyItem)]
        self.has_flags = Item.FLAGS in items
        self.has_modseq = Item.MODSEQ in items
        self.lacks = [item for item in (Item.UID, Item.MODSEQ) if item not in items]
        self.sets_seen = not is_read_only and any(item.sets_seen for item in self.bodies)
        headers = [item for item in self.bodies if needs(item) is Field.HEADERS]
        whole = [item for item in self.bodies if is_whole(item)]
        self._needs_headers, self._needs_raw = bool(headers), bool(whole)
        self._is_at_hand = len(headers) + len(whole) == len(self.bodies)
        self._columns = [*self._simple]
        if self._is_at_hand:
            self._columns += [_whole(one) if one in whole else _headers(one) for one in self.bodies]
        self._on_view = [item for item in items if isinstance(item, Item) and item in _ON_VIEW]
        self.view_items = self._on_view if _ON_VIEW.issuperset(items) else []
        others = [item for item in items if item not in _ON_VIEW]
        can_last = not self.sets_seen and all(one in _LASTING or one in headers for one in others)
        self.lasting = tuple(others) if can_last else ()
        is_single = len(whole) == 1 and whole == others
        self.whole = whole[0] if is_single else None
        self._lasting_columns = [
            _headers(item) if isinstance(item, BodyItem) else _column(item) for item in self.lasting
        ]
        self.fields = Field.NONE
        for item in items:
            self.fields |= _fields(item)

    def is_ready(self, rows: Sequence[Fetched]) -> bool:
        """Whether lines can be made of what the store gave: no body, or only cached headers none of
        which was cut short, and small messages.
        """
        return (
            self._is_at_hand
            and (not self._needs_headers or all(row.has_all_headers for row in rows))
            and (not self._needs_raw or all(row.content and row.content.raw for row in rows))
        )

    def lines(self, numbers: Sequence[int], rows: Sequence[Fetched], flags: FlagWriter) -> bytes:
        """The responses of messages for which `is_ready` holds."""
        columns = [column.values(rows, flags) for column in self._columns]
        if self._needs_raw:
            return _long_lines(self._columns, numbers, columns)
        return _lines([column.template for column in self._columns], numbers, columns)

    def lasting_values(
        self, rows: Sequence[Fetched], flags: FlagWriter
    ) -> tuple[list[bytes], bool]:
        """The values of `lasting` as one, of messages for which `is_ready` holds; and whether all
        could be told.
        """
        columns = [column.values(rows, flags) for column in self._lasting_columns]
        template = b" ".join(column.template for column in self._lasting_columns)
        found = [template % values for values in zip(*columns, strict=True)]
        return found, not any(_NIL in column for column in columns)

    def lasting_lines(self, known: Known, flags: FlagWriter, values: Sequence[bytes]) -> bytes:
        """The responses of messages whose `lasting_values` are known."""
        templates = [*(_COLUMNS[item].template for item in self._on_view), b"%b"]
        columns = [*_view_columns(self._on_view, known, flags), values]
        return _lines(templates, known.numbers, columns)

    def whole_line(self, known: Known, flags: FlagWriter, raw: bytes) -> bytes:
        """The response of one message, of which `raw` is what `whole` asks for."""
        columns = _view_columns(self._on_view, known, flags)
        return _long_lines(self._columns, known.numbers, [*columns, [raw]])

    def simple_values(
        self, row: Fetched, flags: FlagWriter, more: Iterable[Item] = ()
    ) -> list[bytes]:
        """Each value of a message but its bodies, then those of `more`."""
        columns = [*self._simple, *(_COLUMNS[item] for item in more)]
        return [column.template % column.values([row], flags)[0] for column in columns]


@lru_cache(maxsize=128)
def plan_of(items: tuple[AnyItem, ...], *, is_read_only: bool) -> Plan:
    """The plan for these items; plans do not change."""
    return Plan(items, is_read_only=is_read_only)


def view_lines(items: Sequence[Item], known: Known, flags: FlagWriter) -> bytes:
    """The responses of messages when the view has all there is to tell: UID and FLAGS."""
    columns = _view_columns(items, known, flags)
    return _lines([_COLUMNS[item].template for item in items], known.numbers, columns)


def _view_columns(items: Sequence[Item], known: Known, flags: FlagWriter) -> list[Values]:
    return [
        known.uids if item is Item.UID else flags.column(known.uids, known.words) for item in items
    ]


def _lines(templates: Sequence[bytes], numbers: Sequence[int], columns: Sequence[Values]) -> bytes:
    template = b"* %d FETCH (" + b" ".join(templates) + b")\r\n"
    return b"".join([template % values for values in zip(numbers, *columns, strict=True)])


def _long_lines(
    columns: Sequence[Column], numbers: Sequence[int], found: Sequence[Values]
) -> bytes:
    """As `_lines`, with long values: copying them once is far quicker than formatting them."""
    pieces: list[bytes] = []
    for number, *values in zip(numbers, *found, strict=True):
        lead = b"* %d FETCH (" % number
        for column, value in zip(columns, values, strict=True):
            if column.is_long and isinstance(value, bytes):
                pieces += (lead + column.template % len(value), value)
            else:
                pieces.append(lead + column.template % value)
            lead = b" "
        pieces.append(b")\r\n")
    return b"".join(pieces)
