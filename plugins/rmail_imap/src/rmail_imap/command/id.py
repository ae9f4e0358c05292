"""ID (RFC 2971): who client and server are. What the client says goes to the log,
and its name switches off what the settings say of it."""

from __future__ import annotations

from typing import Final

import structlog

from rmail_imap import write
from rmail_imap.commands import command
from rmail_imap.errors import BadSyntax
from rmail_imap.parse.cursor import Cursor
from rmail_imap.session import Session
from rmail_imap.state import State
from rmail_kernel import __version__

_log = structlog.get_logger("rmail.imap")
_MAX_FIELDS: Final = 30  # RFC 2971 3.3
_MAX_VALUE_BYTES: Final = 1024  # RFC 2971 3.3


def id_args(cursor: Cursor) -> dict[str, str]:
    """NIL, or a list of names and values in turn."""
    cursor.space()
    found: dict[str, str] = {}
    if not cursor.skip(b"("):
        if cursor.atom().upper() != b"NIL":
            raise BadSyntax("Expected a list or NIL")
    elif not cursor.skip(b")"):
        while True:
            name = cursor.string()
            cursor.space()
            value = cursor.nstring() or b""
            found[_text(name)] = _text(value)
            if len(found) > _MAX_FIELDS:
                raise BadSyntax("Too many fields", b"LIMIT")
            if not cursor.skip(b" "):
                break
        cursor.expect(b")")
    cursor.end()
    return found


@command("ID", id_args, state=State.ANY, capability="ID", rfc="2971 3.1")
async def identify(session: Session, args: dict[str, str]) -> None:
    """Tells name and version."""
    _log.debug("client", session=session.info.id, **{f"client_{k}": v for k, v in args.items()})
    name = next((value for key, value in args.items() if key.lower() == "name"), None)
    if name is not None:
        session.name_client(name)
    pairs = (b"name", b"rmail", b"version", __version__.encode())
    session.write(b"* ID (%b)\r\n" % b" ".join(map(write.string, pairs)))


def _text(raw: bytes) -> str:
    if len(raw) > _MAX_VALUE_BYTES:
        raise BadSyntax("A field is too long", b"LIMIT")
    return raw.decode("utf-8", "replace")
