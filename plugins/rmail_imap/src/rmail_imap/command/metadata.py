"""GETMETADATA and SETMETADATA (RFC 5464 4). What the RFC calls annotations of the server are those
of the account here: nobody else sees them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from rmail_imap import write
from rmail_imap.commands import Reply, command
from rmail_imap.errors import Refused
from rmail_imap.parse.metadata import (
    GetMetadataArgs,
    SetMetadataArgs,
    get_metadata_args,
    set_metadata_args,
)
from rmail_imap.session import Session
from rmail_imap.special_uses import check_uses, use_refusal
from rmail_imap.state import State
from rmail_kernel.errors import Conflict, Invalid, QuotaExceeded, ReadOnly, TooLarge
from rmail_kernel.storage.mail import MAX_ANNOTATION_BYTES

_ADMIN: Final = "/shared/admin"
_USES: Final = "/private/specialuse"  # RFC 6154 4


@command(
    "GETMETADATA",
    get_metadata_args,
    state=State.AUTHENTICATED,
    capability="METADATA",
    rfc="5464 4.2",
)
async def get_metadata(session: Session, args: GetMetadataArgs) -> Reply:
    """Tells annotations; NIL stands for an entry that was asked for itself and is not there."""
    stored = await session.mail.annotations(session.account, args.mailbox)
    if args.mailbox is None and session.settings.admin_contact is not None:
        stored |= {_ADMIN: session.settings.admin_contact.encode()}
    longest = 0
    told: dict[str, bytes | None] = {}
    for name in _names(stored, args):
        value = stored.get(name)
        if args.max_bytes is not None and value is not None and len(value) > args.max_bytes:
            longest = max(longest, len(value))
        else:
            told[name] = value
    if told:
        session.write(response(session, args.mailbox or "", told))
        await session.flush_full()
    # RFC 5464 4.2.1
    return Reply(code=b"METADATA LONGENTRIES %d" % longest if longest else b"")


@command(
    "SETMETADATA",
    set_metadata_args,
    state=State.AUTHENTICATED,
    capability="METADATA",
    rfc="5464 4.3",
)
async def set_metadata(session: Session, args: SetMetadataArgs) -> None:
    """Sets and removes annotations, all or none."""
    if args.mailbox is None and _ADMIN in args.changes:
        raise ReadOnly("That is for the administrator to say")  # RFC 5464 3.2.1.1
    if args.mailbox is not None:
        check_uses((args.changes.get(_USES) or b"").decode("latin-1").lower().split())
    try:
        await session.mail.annotate(session.account, args.mailbox, args.changes)
    except TooLarge as error:
        code = b"METADATA MAXSIZE %d" % MAX_ANNOTATION_BYTES
        raise Refused(error.safe, code) from error
    except QuotaExceeded as error:
        raise Refused(error.safe, b"METADATA TOOMANY") from error
    except (Conflict, Invalid) as error:
        raise use_refusal(error) from error
    if session.annotations is not None:
        await session.annotations.note_own(args.mailbox, args.changes)


def response(session: Session, mailbox: str, values: Mapping[str, bytes | None]) -> bytes:
    """The METADATA response with values (RFC 5464 4.4.1)."""
    raw_name = write.mailbox(mailbox, is_utf8=session.is_utf8)
    pairs = (write.astring(name.encode()) + b" " + _value(value) for name, value in values.items())
    return b"* METADATA %b (%b)\r\n" % (raw_name, b" ".join(pairs))


def _value(value: bytes | None) -> bytes:
    if value is None:
        return b"NIL"
    if b"\0" in value:  # which no other form can hold (RFC 5464 5: literal8)
        return b"~{%d}\r\n%b" % (len(value), value)
    return write.string(value)


def _names(stored: Mapping[str, bytes], args: GetMetadataArgs) -> Iterator[str]:
    """The entries to tell, each once: with a depth only those that are there (RFC 5464 4.2.2)."""
    if not args.depth:
        yield from args.entries
        return
    for name in sorted(stored):
        for entry in args.entries:
            below = name.removeprefix(entry)
            is_below = name == entry or (below != name and below.startswith("/"))
            if is_below and below.count("/") <= args.depth:
                yield name
                break
