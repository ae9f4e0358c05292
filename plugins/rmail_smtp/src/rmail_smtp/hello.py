"""HELO and EHLO, STARTTLS, and the commands about nothing: NOOP, VRFY, EXPN, QUIT.

RFC 5321 3.5.3, 4.1.1, 4.1.4; RFC 3207.
"""

from __future__ import annotations

import re
from dataclasses import replace

from rmail_kernel.model import Annotate
from rmail_smtp import extensions, replies
from rmail_smtp.command import Command
from rmail_smtp.replies import Reply
from rmail_smtp.session import Session

# RFC 5321 4.1.4 forbids to refuse a name that does not check out; this only keeps text printable.
_NAME = re.compile(rb"[\x21-\x7e]{1,255}\Z")
_BAD_NAME = Reply(501, "5.5.4", "A host name or address literal must follow")
_CANNOT_VERIFY = Reply(252, "2.5.0", "Cannot VRFY, but will take mail and try, send RCPT")
_NOBODY_NAMED = Reply(501, "5.5.4", "Syntax: VRFY address")  # RFC 5321 4.1.1.6
_NO_TLS = Reply(502, "5.5.1", "STARTTLS is not available")
_TLS_ACTIVE = Reply(503, "5.5.1", "TLS is active already")


async def helo(session: Session, raw_argument: bytes) -> Reply:
    """HELO domain."""
    refusal = await _meet(session, raw_argument, is_extended=False)
    return refusal or Reply(250, "", session.hostname)


async def ehlo(session: Session, raw_argument: bytes) -> Reply:
    """EHLO domain."""
    refusal = await _meet(session, raw_argument, is_extended=True)
    return refusal or Reply(250, "", (session.hostname, *extensions.offered(session)))


async def _meet(session: Session, raw_argument: bytes, *, is_extended: bool) -> Reply | None:
    """Takes the client's name; why it is refused, None: it is not."""
    if not _NAME.match(raw_argument):
        return _BAD_NAME
    name = raw_argument.decode("ascii")
    info = replace(session.info, helo=name, is_extended=is_extended)
    notes: list[Annotate] = []
    verdict = await session.kernel.bus.policy("on_helo", notes, session=info, name=name)
    if verdict is not None:
        return replies.of_verdict(verdict)
    session.said_hello(info, notes)
    return None


async def starttls(session: Session, _: bytes) -> Reply:
    """STARTTLS; the session begins anew after it."""
    if session.kernel.tls is None:
        return _NO_TLS
    if session.info.tls:
        return _TLS_ACTIVE
    return replies.READY_FOR_TLS  # the connection starts the handshake once this is on the wire


async def noop(_: Session, __: bytes) -> Reply:
    """NOOP [anything]."""
    return replies.OK


async def vrfy(_: Session, raw_argument: bytes) -> Reply:
    """VRFY: never tells who exists (RFC 5321 3.5.3, 7.3)."""
    return _CANNOT_VERIFY if raw_argument else _NOBODY_NAMED


async def expn(_: Session, __: bytes) -> Reply:
    """EXPN: known and not offered."""
    return replies.NOT_IMPLEMENTED


async def quit_(_: Session, __: bytes) -> Reply:
    """QUIT."""
    return replies.BYE


COMMANDS = (
    Command(b"HELO", helo, "HELO hostname", needs_hello=False),
    Command(b"EHLO", ehlo, "EHLO hostname", needs_hello=False),
    Command(b"STARTTLS", starttls, "STARTTLS", takes_argument=False),
    Command(b"NOOP", noop, "NOOP [text]", needs_hello=False),
    Command(b"VRFY", vrfy, "VRFY address", needs_hello=False),
    Command(b"EXPN", expn, "EXPN list", needs_hello=False),
    Command(b"QUIT", quit_, "QUIT", needs_hello=False, takes_argument=False),
)
