"""AUTH: the kernel's SASL exchanges on SMTP's lines. RFC 4954.

Secrets live in local variables only: never in a log line, never in an error.
"""

from __future__ import annotations

import base64
import binascii

from rmail_kernel.auth.sasl import Challenge, Exchange
from rmail_kernel.errors import AuthFailed, Invalid, LockedOut, Unsupported
from rmail_kernel.model import Principal
from rmail_smtp import replies
from rmail_smtp.command import Command
from rmail_smtp.errors import reply_to
from rmail_smtp.replies import Reply
from rmail_smtp.session import Session

MAX_LINE_BYTES = 12_288  # RFC 4954 4
_DONE = Reply(235, "2.7.0", "Authentication succeeded")
_FAILED = Reply(535, "5.7.8", "Authentication credentials invalid")
_NEEDS_TLS = Reply(538, "5.7.11", "Encryption required, use STARTTLS")  # RFC 4954 6, RFC 5248
_NOT_HERE = Reply(502, "5.5.1", "No logins here, use the submission port")
_LOGGED_IN = Reply(503, "5.5.1", "Bad sequence of commands, you are logged in already")
_NEEDS_EHLO = Reply(503, "5.5.1", "Bad sequence of commands, send EHLO first")
_NO_MECHANISM = Reply(501, "5.5.4", "Syntax: AUTH mechanism [initial-response]")
_UNKNOWN_MECHANISM = Reply(504, "5.5.4", "Mechanism not supported, EHLO lists those that are")
_BAD_BASE64 = Reply(501, "5.5.2", "Not base64")  # RFC 4954 4
_CANCELLED = Reply(501, "5.7.0", "Authentication cancelled")


class _ExchangeError(Exception):
    """The exchange ended early; the reply says why."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.text)
        self.reply = reply


async def auth(session: Session, raw_argument: bytes) -> Reply:
    """AUTH mechanism [initial-response]."""
    words = raw_argument.split()
    refusal = _refusal(session, words)
    if refusal is not None:
        return refusal
    try:
        name = words[0].decode("ascii", "replace")
        exchange = session.kernel.auth.exchange(name, session.info, session.bindings)
        initial = _decoded(words[1]) if len(words) > 1 else None
        session.logged_in(await _run(session, exchange, initial))
    except Unsupported:
        return _UNKNOWN_MECHANISM
    except _ExchangeError as error:
        return error.reply
    except Invalid as error:
        return Reply(501, "5.5.2", error.safe)
    except AuthFailed as error:
        session.budget.failed_logins += 1
        # RFC 4954 6: 454 is a temporary failure, so clients do not forget the password.
        return reply_to(error) if isinstance(error, LockedOut) else _FAILED
    return _DONE


def _refusal(session: Session, words: list[bytes]) -> Reply | None:
    """Why no exchange can begin here and now."""
    if not session.role.is_submission:
        return _NOT_HERE
    if not session.info.is_extended:
        return _NEEDS_EHLO
    is_logged_in = session.info.principal is not None
    if not session.can_log_in and not is_logged_in:
        return _NEEDS_TLS
    # RFC 4954 4: once only, and not during a transaction.
    if is_logged_in:
        return _LOGGED_IN
    if session.transaction is not None:
        return replies.TRANSACTION_OPEN
    if not words:
        return _NO_MECHANISM
    return Reply(501, "5.5.4", "Too many arguments") if len(words) > 2 else None


async def _run(session: Session, exchange: Exchange, response: bytes | None) -> Principal:
    result = await exchange.step(response)
    while isinstance(result, Challenge):
        result = await exchange.step(await _ask(session, result.raw))
    return result


async def _ask(session: Session, raw_challenge: bytes) -> bytes:
    session.send(Reply(334, "", base64.b64encode(raw_challenge).decode("ascii")))
    raw = await session.wire.line()
    if raw == b"*":  # RFC 4954 4
        raise _ExchangeError(_CANCELLED)
    return _base64(raw)


def _decoded(raw: bytes) -> bytes:
    return b"" if raw == b"=" else _base64(raw)  # RFC 4954 4: an empty initial response


def _base64(raw: bytes) -> bytes:
    try:
        return base64.b64decode(raw, validate=True)
    except binascii.Error as error:
        raise _ExchangeError(_BAD_BASE64) from error


COMMANDS = (
    Command(b"AUTH", auth, "AUTH mechanism [initial-response]", max_line_bytes=MAX_LINE_BYTES),
)
