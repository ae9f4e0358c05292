"""AUTHENTICATE (RFC 3501 6.2.2) with an initial response (RFC 4959)."""

from __future__ import annotations

from binascii import b2a_base64
from dataclasses import dataclass

from rmail_imap import sasl
from rmail_imap.command.login import check_privacy, log_in
from rmail_imap.commands import Reply, command, feature
from rmail_imap.errors import BadSyntax, Goodbye, Refused
from rmail_imap.literals import drop_announced
from rmail_imap.parse.cursor import Cursor
from rmail_imap.session import Session
from rmail_imap.state import State
from rmail_imap.wire import LineTooLong
from rmail_kernel.auth.sasl import Challenge, Exchange
from rmail_kernel.errors import Invalid
from rmail_kernel.model import Principal

feature("SASL-IR", "4959 3")


@dataclass(frozen=True, slots=True)
class AuthenticateArgs:
    """AUTHENTICATE mechanism [initial response in base64]."""

    mechanism: str
    raw_initial: bytes | None


def authenticate_args(cursor: Cursor) -> AuthenticateArgs:
    """The arguments of AUTHENTICATE."""
    cursor.space()
    mechanism = cursor.atom().decode("ascii").upper()
    initial = cursor.atom() if cursor.skip(b" ") and not cursor.is_at_end else None
    cursor.end()
    return AuthenticateArgs(mechanism, initial)


@command("AUTHENTICATE", authenticate_args, state=State.NOT_AUTHENTICATED, rfc="3501 6.2.2")
async def authenticate(session: Session, args: AuthenticateArgs) -> Reply:
    """Runs a SASL exchange."""
    if args.raw_initial is not None and "SASL-IR" in session.off:
        raise BadSyntax("Initial responses are not offered")
    if f"AUTH={args.mechanism}" in session.off:
        raise Refused("Unknown mechanism", b"CANNOT")
    check_privacy(session)
    initial = None if args.raw_initial is None else _initial(args.raw_initial)
    exchange = session.kernel.auth.exchange(args.mechanism, session.info, session.bindings)
    return await log_in(session, _run(session, exchange, initial))


def _initial(raw: bytes) -> bytes:
    """The initial response; `=` alone is the empty one (RFC 4959 3)."""
    return b"" if raw == b"=" else sasl.decode(raw)


async def _run(session: Session, exchange: Exchange, response: bytes | None) -> Principal:
    try:
        result = await exchange.step(response)
        while isinstance(result, Challenge):
            result = await exchange.step(await _ask(session, result.raw))
    except BadSyntax:
        raise
    except Invalid as error:
        raise BadSyntax(error.safe) from error
    return result


async def _ask(session: Session, raw_challenge: bytes) -> bytes:
    """The client's response to a challenge, both in base64 on their lines."""
    await session.ask(b2a_base64(raw_challenge, newline=False))
    try:
        line = await session.wire.read_line(session.line_limit_bytes)
    except LineTooLong as error:
        try:
            await session.wire.discard_line(session.line_limit_bytes * 8)
        except LineTooLong as endless:
            raise Goodbye("The response is too long", b"TOOBIG") from endless
        raise BadSyntax("The response is too long", b"TOOBIG") from error
    await drop_announced(session, line)
    raw = line.rstrip(b"\r\n")
    if raw == b"*":  # RFC 3501 6.2.2
        raise BadSyntax("Cancelled")
    return sasl.decode(raw)
