"""From a command line to its reply: the checks that all commands share, and the one place where
what a command raises becomes an answer. It must never show a client an exception's text.

RFC 5321 2.4, 4.1.1, 4.1.4, 4.2.4, 4.5.3.1.4.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Mapping

import structlog

from rmail_kernel.errors import RmailError
from rmail_smtp import replies
from rmail_smtp.command import Command
from rmail_smtp.errors import reply_to
from rmail_smtp.replies import Reply
from rmail_smtp.session import Session
from rmail_smtp.wire import WireError

_log = structlog.get_logger("rmail.smtp")
# Browsers can be made to speak to any port; what they say first is no SMTP. A PROXY header here is
# one of a host that may send none.
_FOREIGN_VERBS = frozenset({b"GET", b"POST", b"PUT", b"HEAD", b"OPTIONS", b"CONNECT", b"PROXY"})


async def dispatch(table: Mapping[bytes, Command], session: Session, raw_line: bytes) -> Reply:
    """Runs one command line.

    Raises:
        WireError: the conversation cannot go on.
    """
    raw_verb, _, raw_argument = raw_line.partition(b" ")
    verb = raw_verb.upper()  # RFC 5321 2.4: verbs in any case
    command = table.get(verb)
    if command is None:
        return replies.NOT_SMTP if verb in _FOREIGN_VERBS else replies.UNKNOWN_COMMAND
    _log.debug("command", verb=verb.decode("ascii"))
    if len(raw_line) > command.max_line_bytes:
        return replies.LINE_TOO_LONG
    if command.needs_hello and not session.has_said_hello:
        return replies.HELLO_FIRST
    raw_argument = raw_argument.strip()  # RFC 5321 4.1.1: trailing white space is tolerated
    if raw_argument and not command.takes_argument:
        return Reply(501, "5.5.4", f"Syntax: {command.syntax}")
    return await guarded(command.run(session, raw_argument))


async def guarded(work: Awaitable[Reply]) -> Reply:
    """The answer of one command, also when it failed.

    Raises:
        WireError: the conversation cannot go on.
    """
    try:
        return await work
    except RmailError as error:
        _log.info("command failed", reason=str(error), detail=error.fields)
        return reply_to(error)
    except WireError:
        raise
    except Exception:  # noqa: BLE001 - a bug costs one command, not the connection
        error_id = secrets.token_hex(4)
        _log.exception("unexpected error", error_id=error_id)
        return Reply(451, "4.3.0", f"Internal error {error_id}, try again later")
