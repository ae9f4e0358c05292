"""The ENVELOPE of a message: the header fields that mail clients list, parsed but undecoded.

RFC 9051 7.5.2 (FETCH ENVELOPE). Values keep their RFC 2047 words, because IMAP sends them so.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from rmail_kernel.mime.addresses import AddressItem, addresses
from rmail_kernel.mime.headers import fields, unfold


class Envelope(msgspec.Struct, frozen=True, array_like=True):
    """Raw unfolded values: None for a field that is absent, b"" for one that is empty; absent
    address fields are ().

    `sender` and `reply_to` are those of From where the message has none (RFC 9051 7.5.2).
    """

    date: bytes | None = None
    subject: bytes | None = None
    from_: tuple[AddressItem, ...] = ()
    sender: tuple[AddressItem, ...] = ()
    reply_to: tuple[AddressItem, ...] = ()
    to: tuple[AddressItem, ...] = ()
    cc: tuple[AddressItem, ...] = ()
    bcc: tuple[AddressItem, ...] = ()
    in_reply_to: bytes | None = None
    message_id: bytes | None = None


MAX_ADDRESS_BYTES: Final = 64 * 1024
"""Bytes of one address field that the envelope is made of: some 1,500 addresses."""

_RECIPIENTS: Final = frozenset({b"to", b"cc", b"bcc"})
_FIELDS: Final = _RECIPIENTS | {
    b"date", b"subject", b"from", b"sender", b"reply-to", b"in-reply-to", b"message-id"
}  # fmt: skip


def parse_envelope(raw_header: bytes) -> Envelope:
    """The envelope of a header section. Of a field given twice the first counts; recipients of
    several fields are joined.
    """
    return envelope_of(fields(raw_header))


def envelope_of(header_fields: Iterable[tuple[bytes, bytes]]) -> Envelope:
    """The same from the fields (name as written, raw value)."""
    found: dict[bytes, bytes] = {}
    for written, value in header_fields:
        name = written.lower()
        if name in _FIELDS:
            if name not in found:
                found[name] = value
            elif name in _RECIPIENTS and len(found[name]) < MAX_ADDRESS_BYTES:
                found[name] += b"," + value
    from_ = _people(found, b"from")
    return Envelope(
        _text(found.get(b"date")),
        _text(found.get(b"subject")),
        from_,
        _people(found, b"sender") or from_,
        _people(found, b"reply-to") or from_,
        _people(found, b"to"),
        _people(found, b"cc"),
        _people(found, b"bcc"),
        _text(found.get(b"in-reply-to")),
        _text(found.get(b"message-id")),
    )


def _text(value: bytes | None) -> bytes | None:
    return None if value is None else unfold(value)


def _people(found: dict[bytes, bytes], name: bytes) -> tuple[AddressItem, ...]:
    value = found.get(name)
    if value is None:
        return ()
    if len(value) > MAX_ADDRESS_BYTES:
        value = value[: max(value.rfind(b",", 0, MAX_ADDRESS_BYTES), 0)]
    return addresses(value)
