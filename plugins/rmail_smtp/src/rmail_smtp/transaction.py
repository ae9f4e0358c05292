"""A mail transaction: MAIL, RCPT, RSET. RFC 5321 3.3, 4.1.1.2, 4.1.1.3, 4.1.1.5; RFC 1870 6;
RFC 6152 2; RFC 6531 3.4; RFC 4954 5.
"""

from __future__ import annotations

from collections.abc import Callable

from rmail_kernel.errors import Invalid

from . import grammar, replies
from .command import Command
from .extensions import is_offered
from .replies import Reply
from .sender import sender_refusal
from .session import Session, Transaction

_BAD_PARAMETER_VALUE = Reply(501, "5.5.4", "Syntax error in a parameter")
_UNKNOWN_PARAMETER = Reply(555, "5.5.4", "Parameter not recognized or not implemented")
_TOO_LARGE = Reply(552, "5.3.4", "The message is larger than this server takes")
_TOO_MANY = Reply(452, "4.5.3", "Too many recipients")  # RFC 5321 4.5.3.1.10
_NEEDS_SMTPUTF8 = Reply(553, "5.6.7", "This address needs SMTPUTF8")  # RFC 6531 3.5
_MAX_SIZE_DIGITS = 20  # RFC 1870 4


def _size(_: Transaction, session: Session, value: str | None) -> Reply | None:
    # RFC 1870 6.1: the declared size is only compared, never believed.
    if not value or len(value) > _MAX_SIZE_DIGITS or not (value.isascii() and value.isdigit()):
        return _BAD_PARAMETER_VALUE
    return _TOO_LARGE if int(value) > session.options.max_message_bytes else None


def _body(transaction: Transaction, _: Session, value: str | None) -> Reply | None:
    # RFC 6152 2
    kind = (value or "").upper()
    if kind not in ("7BIT", "8BITMIME"):
        return _BAD_PARAMETER_VALUE
    transaction.is_8bit = kind == "8BITMIME"
    return None


def _smtputf8(transaction: Transaction, _: Session, value: str | None) -> Reply | None:
    # RFC 6531 3.4: no value
    transaction.smtputf8 = True
    return None if value is None else _BAD_PARAMETER_VALUE


def _auth(_: Transaction, __: Session, value: str | None) -> Reply | None:
    # RFC 4954 5: who submits with a login of ours is known already; the claim is not used.
    return None if value else _BAD_PARAMETER_VALUE


# MAIL parameters: how to take one, and the EHLO keyword that must be offered for it.
PARAMETERS: dict[str, tuple[str, Callable[[Transaction, Session, str | None], Reply | None]]] = {
    "SIZE": ("SIZE", _size),
    "BODY": ("8BITMIME", _body),
    "SMTPUTF8": ("SMTPUTF8", _smtputf8),
    "AUTH": ("AUTH", _auth),
}


async def mail(session: Session, raw_argument: bytes) -> Reply:
    """MAIL FROM:<reverse-path> [parameters]."""
    if session.role.is_submission and not await session.is_authenticated():
        return replies.AUTH_NEEDED  # RFC 6409 4.3
    if session.transaction is not None:
        return replies.BAD_SEQUENCE  # RFC 5321 3.3: no nested MAIL
    try:
        path = grammar.reverse_path(raw_argument)
    except Invalid as error:
        return Reply(501, "5.1.7", error.safe)
    transaction = Transaction(path.address)
    for name, value in path.parameters.items():
        if name not in PARAMETERS or not is_offered(session, PARAMETERS[name][0]):
            return _UNKNOWN_PARAMETER  # RFC 5321 4.1.1.11
        wrong = PARAMETERS[name][1](transaction, session, value)
        if wrong is not None:
            return wrong
    if not path.is_ascii and not transaction.smtputf8:
        return _NEEDS_SMTPUTF8
    refusal = await sender_refusal(session, path.address)
    if refusal is not None:
        return refusal
    session.transaction = transaction
    return replies.SENDER_OK


async def rcpt(session: Session, raw_argument: bytes) -> Reply:
    """RCPT TO:<forward-path>."""
    transaction = session.transaction
    if transaction is None:
        return replies.BAD_SEQUENCE
    if len(transaction.recipients) >= session.options.max_recipients:
        return _TOO_MANY
    reply = await _rcpt(session, transaction, raw_argument)
    if reply is not replies.RECIPIENT_OK:
        transaction.refused += 1
    return reply


async def _rcpt(session: Session, transaction: Transaction, raw_argument: bytes) -> Reply:
    domains = session.kernel.settings.domains
    try:
        path = grammar.forward_path(raw_argument, domains[0] if domains else session.hostname)
    except Invalid as error:
        return Reply(501, "5.1.3", error.safe)
    if path.parameters:
        return _UNKNOWN_PARAMETER  # no extension offered here has one for RCPT
    if not path.is_ascii and not transaction.smtputf8:
        return _NEEDS_SMTPUTF8
    assert path.address is not None, "the grammar gives RCPT an address"
    delivery = session.kernel.delivery
    verdict = await delivery.check_recipient(session.info, transaction.sender, path.address)
    if verdict is not None:
        return replies.of_verdict(verdict)
    if path.address not in transaction.recipients:
        transaction.recipients.append(path.address)
    return replies.RECIPIENT_OK


async def rset(session: Session, _: bytes) -> Reply:
    """RSET."""
    session.transaction = None
    return replies.OK


COMMANDS = (
    # RFC 5321 4.5.3.1.3 and the parameters: RFC 1870 adds 26, RFC 6531 more, RFC 4954 500.
    Command(b"MAIL", mail, "MAIL FROM:<address> [parameters]", max_line_bytes=2048),
    Command(b"RCPT", rcpt, "RCPT TO:<address>", max_line_bytes=2048),
    Command(b"RSET", rset, "RSET", needs_hello=False, takes_argument=False),
)
