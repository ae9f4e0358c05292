"""The JSON form of a message in a list, made from what the store keeps beside it."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from rmail_kernel.mime import (
    AddressItem,
    Group,
    Mailbox,
    Part,
    decode_structure,
    decode_words,
    parse_envelope,
    walk,
)
from rmail_kernel.storage.mail import Fetched, Field, MailboxView

SUMMARY_FIELDS = Field.HEADERS | Field.STRUCTURE


def summary_of(row: Fetched, view: MailboxView) -> dict[str, Any]:
    """One entry of a message list. Text is decoded; dates are ISO 8601."""
    envelope = parse_envelope(row.raw_headers or b"")
    message_id = envelope.message_id
    return {
        "uid": row.uid,
        "flags": view.flag_names(row.flags),
        "size": row.size_bytes,
        "date": _date(envelope.date),
        "internal_date": row.internal_date.astimezone(UTC).isoformat(timespec="seconds"),
        "from": next(iter(_people(envelope.from_)), ""),
        "to": _people(envelope.to),
        "cc": _people(envelope.cc),
        "subject": decode_words(envelope.subject) if envelope.subject else "",
        "message_id": decode_words(message_id) if message_id else None,
        "has_attachments": row.raw_structure is not None and _has_attachments(row.raw_structure),
    }


def _people(items: tuple[AddressItem, ...]) -> list[str]:
    """`Name <address>` or `address` each; the members of a group stand for it (RFC 5322 3.4)."""
    found: list[str] = []
    for item in items:
        members = item.members if isinstance(item, Group) else (item,)
        found.extend(map(_person, members))
    return found


def _person(mailbox: Mailbox) -> str:
    return f"{mailbox.name} <{mailbox.address}>" if mailbox.name else mailbox.address


def _date(raw: bytes | None) -> str | None:
    """The Date field in ISO 8601, or None when there is none that can be read."""
    if not raw:
        return None
    try:
        date: datetime = parsedate_to_datetime(raw.decode("ascii"))
        return date.isoformat()
    except (ValueError, IndexError, OverflowError):
        return None


def _has_attachments(raw_structure: bytes) -> bool:
    """Whether a part is marked as attachment (RFC 2183 2.2), or carries a file name without being
    inline.
    """
    return any(map(_is_attachment, walk(decode_structure(raw_structure))))


def _is_attachment(part: Part) -> bool:
    if part.disposition is not None:
        return part.disposition[0] == "attachment"
    return part.filename is not None and part.type != "text"
