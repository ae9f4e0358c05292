"""AUTH PLAIN and LOGIN, asynchronous. RFC 4954, RFC 4616; LOGIN as its expired draft has it.

Secrets live in local variables only: never in a log line, never in an error.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable

from rmail_kernel.errors import AuthFailed, LockedOut

from . import replies
from .command import Command
from .errors import reply_to
from .replies import Reply
from .session import Session

MAX_LINE_BYTES = 12_288  # RFC 4954 4
_DONE = Reply(235, "2.7.0", "Authentication succeeded")
_FAILED = Reply(535, "5.7.8", "Authentication credentials invalid")
_NEEDS_TLS = Reply(538, "5.7.11", "Encryption required, use STARTTLS")  # RFC 4954 6, RFC 5248
_NOT_HERE = Reply(502, "5.5.1", "No logins here, use the submission port")
_NO_MECHANISM = Reply(501, "5.5.4", "AUTH mechanism [initial-response]")
_UNKNOWN_MECHANISM = Reply(504, "5.5.4", "Mechanism not supported")
_BAD_BASE64 = Reply(501, "5.5.2", "Not base64")  # RFC 4954 4
_BAD_CREDENTIALS = Reply(501, "5.5.2", "Not a login and a password")
_CANCELLED = Reply(501, "5.7.0", "Authentication cancelled")
_PARTS_OF_PLAIN = 3


class _ExchangeError(Exception):
    """The exchange ended early; the reply says why."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.text)
        self.reply = reply


async def auth(session: Session, raw_argument: bytes) -> Reply:
    """AUTH mechanism [initial-response]."""
    if not session.role.is_submission:
        return _NOT_HERE
    if not session.info.is_extended:
        return replies.BAD_SEQUENCE
    if not session.can_log_in and session.info.principal is None:
        return _NEEDS_TLS
    # RFC 4954 4: once only, and not during a transaction.
    if session.info.principal is not None or session.transaction is not None:
        return replies.BAD_SEQUENCE
    words = raw_argument.split()
    if not words:
        return _NO_MECHANISM
    mechanism = MECHANISMS.get(words[0].upper())
    if mechanism is None:
        return _UNKNOWN_MECHANISM
    if len(words) > 2:
        return Reply(501, "5.5.4", "Too many arguments")
    try:
        initial = _decoded(words[1]) if len(words) > 1 else None
        login, secret = await mechanism(session, initial)
    except _ExchangeError as error:
        return error.reply
    return await _authenticate(session, login, secret)


async def _authenticate(session: Session, login: str, secret: str) -> Reply:
    try:
        principal = await session.kernel.auth.authenticate(login, secret, session.info)
    except AuthFailed as error:
        session.budget.failed_logins += 1
        if isinstance(error, LockedOut):
            # RFC 4954 6: 454 is a temporary failure, so clients do not forget the password.
            return reply_to(error)
        return _FAILED
    session.logged_in(principal)
    return _DONE


async def _plain(session: Session, initial: bytes | None) -> tuple[str, str]:
    # RFC 4616 2: authzid NUL authcid NUL passwd
    raw = await _ask(session, b"") if initial is None else initial
    parts = raw.split(b"\0")
    if len(parts) != _PARTS_OF_PLAIN:
        raise _ExchangeError(_BAD_CREDENTIALS)
    acting_as, login, secret = map(_text, parts)
    if acting_as not in ("", login):
        raise _ExchangeError(_FAILED)  # nobody may act for another
    return login, secret


async def _login(session: Session, initial: bytes | None) -> tuple[str, str]:
    raw_login = await _ask(session, b"Username:") if initial is None else initial
    return _text(raw_login), _text(await _ask(session, b"Password:"))


async def _ask(session: Session, challenge: bytes) -> bytes:
    session.send(Reply(334, "", base64.b64encode(challenge).decode("ascii")))
    raw = await session.wire.line()
    if raw == b"*":  # RFC 4954 4
        raise _ExchangeError(_CANCELLED)
    return _decoded(raw)


def _decoded(raw: bytes) -> bytes:
    if raw == b"=":  # RFC 4954 4: an empty initial response
        return b""
    try:
        return base64.b64decode(raw, validate=True)
    except binascii.Error as error:
        raise _ExchangeError(_BAD_BASE64) from error


def _text(raw: bytes) -> str:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _ExchangeError(_BAD_CREDENTIALS) from error
    if "\0" in text:
        raise _ExchangeError(_BAD_CREDENTIALS)
    return text


_Mechanism = Callable[[Session, bytes | None], Awaitable[tuple[str, str]]]
MECHANISMS: dict[bytes, _Mechanism] = {b"PLAIN": _plain, b"LOGIN": _login}

COMMANDS = (
    Command(b"AUTH", auth, "AUTH mechanism [initial-response]", max_line_bytes=MAX_LINE_BYTES),
)
