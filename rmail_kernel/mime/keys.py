"""What sorting and threading need of a message, taken from its header once, at delivery.

RFC 5256 2 (base subject, sent date, message ids) and 3 (sort addresses), RFC 5957 (display names).
"""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta, timezone
from email.utils import parsedate_tz
from functools import lru_cache
from operator import attrgetter
from typing import Any, Final, get_type_hints

import msgspec

from rmail_kernel.mime.addresses import AddressItem, Group, Mailbox
from rmail_kernel.mime.charsets import decode_raw
from rmail_kernel.mime.envelope import Envelope
from rmail_kernel.mime.headers import decode_words
from rmail_kernel.mime.subject import base_subject

MAX_REFERENCES: Final = 200
"""Message ids of one message that are kept: the first, and the last of the others."""
MAX_ID_CHARS: Final = 500
MAX_NAME_CHARS: Final = 200
# No part of it goes past the next bracket, so that no input takes more than linear time.
_ID: Final = re.compile(
    rb"""<\s*+( (?: "(?:[^"\\<>]++|\\[^<>])*+" | [^\s<>"@] )++ )\s*+@\s*+([^\s<>@]++)\s*+>""",
    re.VERBOSE,
)
_QUOTED: Final = re.compile(rb'"((?:[^"\\]++|\\.)*+)"', re.DOTALL)
_ESCAPE: Final = re.compile(rb"\\(.)", re.DOTALL)
_MAX_DATE_BYTES: Final = 200
# RFC 5322 3.3 as nearly all write it.
_USUAL_DATE: Final = re.compile(
    rb"\s*+(?:[A-Z][a-z][a-z], ?)?(\d\d?) ([A-Z][a-z][a-z]) ([12]\d{3})"
    rb" ([01]\d|2[0-3]):([0-5]\d):([0-5]\d) ([+-][01]\d)([0-5]\d)\s*+"
)
_MONTHS: Final = {
    name: number
    for number, name in enumerate(
        b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(), start=1
    )
}
_MAX_SUBJECT_BYTES: Final = 16_384
_VERSION: Final = b"\x01"


class MessageKeys(msgspec.Struct, frozen=True, array_like=True):
    """Keys of one message; texts are decoded and not folded, ids are without angle brackets.

    Attributes:
        message_id: the valid Message-ID, None without one (RFC 5256 3, REFERENCES step 1).
        references: ids of References in order, or else the first of In-Reply-To; without itself
            and none twice.
        base_subject: RFC 5256 2.1.
        is_reply: the subject tells of a reply or forward.
        sent_at: the Date: field, or else the INTERNALDATE; UTC (RFC 5256 2.2).
        from_mailbox, to_mailbox, cc_mailbox: addr-mailbox of the first address, or "".
        from_name, to_name: display name of the first address, its address without one (RFC 5957).
    """

    message_id: str | None
    references: tuple[str, ...]
    base_subject: str
    is_reply: bool
    sent_at: datetime
    from_mailbox: str
    to_mailbox: str
    cc_mailbox: str
    from_name: str
    to_name: str


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(MessageKeys)


def message_keys(
    envelope: Envelope, raw_references: bytes | None, received_at: datetime
) -> MessageKeys:
    """The keys of a message.

    Args:
        raw_references: the value of the References field, if there is one.
        received_at: its INTERNALDATE.
    """
    subject, is_reply = base_subject(decode_words((envelope.subject or b"")[:_MAX_SUBJECT_BYTES]))
    own = message_ids(envelope.message_id or b"", 1)
    message_id = own[0] if own else None
    references = message_ids(raw_references or b"", MAX_REFERENCES)
    if not references:
        references = message_ids(envelope.in_reply_to or b"", 1)
    return MessageKeys(
        message_id,
        tuple(one for one in references if one != message_id),
        subject,
        is_reply,
        sent_date(envelope.date or b"") or received_at,
        _mailbox(envelope.from_),
        _mailbox(envelope.to),
        _mailbox(envelope.cc),
        _name(envelope.from_),
        _name(envelope.to),
    )


def message_ids(raw_value: bytes, limit: int) -> tuple[str, ...]:
    """The valid message ids in a field, each once; of more than `limit` the first and the last.

    Quoting that is not needed does not count (RFC 5256 2: ids are compared normalised).
    """
    found: dict[str, None] = {}
    for match in _ID.finditer(raw_value):
        local = _QUOTED.sub(_unquoted, match[1]) if b'"' in match[1] else match[1]
        text = decode_raw(local + b"@" + match[2])
        if len(text) <= MAX_ID_CHARS:
            found[text] = None
        if limit == 1 and found:
            break
    ids = tuple(found)
    return ids if len(ids) <= limit else (ids[0], *ids[-limit + 1 :])


def _unquoted(match: re.Match[bytes]) -> bytes:
    return _ESCAPE.sub(rb"\1", match[1])


def sent_date(raw_value: bytes) -> datetime | None:
    """The moment of a Date: field in UTC, None if it tells of no day (RFC 5256 2.2: a bad zone is
    UTC, a bad time midnight).
    """
    usual = _USUAL_DATE.fullmatch(raw_value)
    if usual is not None and usual[2] in _MONTHS:
        return _usual_date(usual)
    try:
        found = parsedate_tz(raw_value[:_MAX_DATE_BYTES].decode("latin-1"))
    except (ValueError, IndexError, TypeError, OverflowError):
        return None
    if found is None:
        return None
    year, month, day, hour, minute, second = found[:6]
    if not (0 <= hour < 24 and 0 <= minute < 60 and 0 <= second <= 60):
        hour = minute = second = 0
    try:
        zone = timezone(timedelta(seconds=found[9] or 0))
    except ValueError:
        zone = UTC
    try:
        moment = datetime(year, month, day, hour, minute, min(second, 59), tzinfo=zone)
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _usual_date(found: re.Match[bytes]) -> datetime | None:
    day, year, hour, minute, second = map(int, found.group(1, 3, 4, 5, 6))
    minutes = int(found[8]) if found[7].startswith(b"+") else -int(found[8])
    try:
        local = datetime(year, _MONTHS[found[2]], day, hour, minute, second, tzinfo=UTC)
        return local - timedelta(hours=int(found[7]), minutes=minutes)
    except (ValueError, OverflowError):
        return None


def _mailbox(items: tuple[AddressItem, ...]) -> str:
    """The addr-mailbox as ENVELOPE has it: of a group its name (RFC 9051 7.5.2)."""
    if not items:
        return ""
    first = items[0]
    text = first.name if isinstance(first, Group) else first.local
    return text[:MAX_NAME_CHARS]


def _name(items: tuple[AddressItem, ...]) -> str:
    if not items:
        return ""
    first = items[0]
    return (first.name or (first.address if isinstance(first, Mailbox) else ""))[:MAX_NAME_CHARS]


@lru_cache(maxsize=256)
def keys_reader(names: tuple[str, ...]) -> Callable[[Sequence[bytes]], list[list[Any]]]:
    """Reads some attributes of many that `encode_keys` gave, in a fraction of the time that all of
    them take: a list of values for each name.

    Args:
        names: of attributes of MessageKeys.

    Raises:
        ValueError: by the function, for another version or damaged bytes.
    """
    types = get_type_hints(MessageKeys)
    every = MessageKeys.__struct_fields__
    needed = every[: 1 + max(map(every.index, names))]
    fields = [(name, types[name] if name in names else msgspec.Raw) for name in needed]
    part = msgspec.defstruct("SomeKeys", fields, array_like=True, frozen=True, gc=False)
    decoder = msgspec.msgpack.Decoder(list[int | part])  # type: ignore[valid-type] # made just now
    values = [attrgetter(name) for name in names]

    def read(raws: Sequence[bytes]) -> list[list[Any]]:
        # One after another they are what an array of MessagePack holds: the version byte is one,
        # and so is a positive number.
        start = b"\xdd" + (2 * len(raws)).to_bytes(4, "big")
        try:
            found: list[Any] = decoder.decode(b"".join((start, *raws)))
        except msgspec.DecodeError as error:
            raise ValueError("damaged keys") from error
        if found[::2] != [_VERSION[0]] * len(raws):
            raise ValueError("keys of unknown version")
        try:
            return [[*map(value, found[1::2])] for value in values]
        except AttributeError as error:  # it was a number
            raise ValueError("damaged keys") from error

    return read


def encode_keys(keys: MessageKeys) -> bytes:
    """`keys` for storing: a version byte and MessagePack."""
    return _VERSION + _ENCODER.encode(keys)


def decode_keys(raw: bytes) -> MessageKeys:
    """What `encode_keys` gave. ValueError for another version or damaged bytes."""
    if raw[:1] != _VERSION:
        raise ValueError(f"keys of unknown version {raw[:1].hex() or 'none'}")
    try:
        return _DECODER.decode(memoryview(raw)[1:])
    except msgspec.DecodeError as error:
        raise ValueError("damaged keys") from error
