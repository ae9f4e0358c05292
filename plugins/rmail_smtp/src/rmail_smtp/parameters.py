"""The parameters of MAIL and RCPT, each with the EHLO keyword that must be offered for it.

RFC 1870 6, RFC 6152 2, RFC 3030 3, RFC 6531 3.4, RFC 4954 5, RFC 3461 4, RFC 6533 3, RFC 8689 4.1.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from rmail_kernel import xtext
from rmail_kernel.errors import Invalid
from rmail_kernel.model import RecipientOptions
from rmail_smtp import grammar, replies
from rmail_smtp.extensions import is_offered
from rmail_smtp.replies import Reply
from rmail_smtp.session import Session, Transaction

_BAD_VALUE = Reply(501, "5.5.4", "Not a value of this parameter")
_UNKNOWN = Reply(555, "5.5.4", "Parameter not recognized or not implemented")
_MAX_SIZE_DIGITS = 20  # RFC 1870 4
_MAX_ENVID_CHARS = 100  # RFC 3461 4.4
_MAX_ORCPT_CHARS = 500  # RFC 3461 4.2
_EVENTS = frozenset({"SUCCESS", "FAILURE", "DELAY"})
_ADDRESS_TYPE = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,64}\Z")  # RFC 3461 4.2: an atom

MailParameter = Callable[[Transaction, Session, str | None], Reply | None]
RcptParameter = Callable[[RecipientOptions, str | None], RecipientOptions]


def _size(transaction: Transaction, session: Session, value: str | None) -> Reply | None:
    # RFC 1870 6.1: the declared size is only compared, never believed.
    if not value or len(value) > _MAX_SIZE_DIGITS or not (value.isascii() and value.isdigit()):
        return _BAD_VALUE
    transaction.size_bytes = int(value)
    is_too_large = transaction.size_bytes > session.options.max_message_bytes
    return replies.TOO_LARGE if is_too_large else None


def _body(transaction: Transaction, _: Session, value: str | None) -> Reply | None:
    kind = (value or "").upper()
    if kind not in ("7BIT", "8BITMIME", "BINARYMIME"):
        return _BAD_VALUE
    transaction.is_8bit = kind != "7BIT"
    transaction.is_binary = kind == "BINARYMIME"
    return None


def _smtputf8(transaction: Transaction, _: Session, value: str | None) -> Reply | None:
    # RFC 6531 3.4: no value
    transaction.smtputf8 = True
    return None if value is None else _BAD_VALUE


def _auth(_: Transaction, __: Session, value: str | None) -> Reply | None:
    # RFC 4954 5: who submits with a login of ours is known already; the claim is not used.
    return None if value else _BAD_VALUE


def _ret(transaction: Transaction, _: Session, value: str | None) -> Reply | None:
    transaction.ret = (value or "").upper()
    return None if transaction.ret in ("FULL", "HDRS") else _BAD_VALUE


def _envid(transaction: Transaction, _: Session, value: str | None) -> Reply | None:
    if not value or len(value) > _MAX_ENVID_CHARS:
        return _BAD_VALUE
    transaction.envid = xtext.decode(value)
    return None


def _requiretls(transaction: Transaction, _: Session, value: str | None) -> Reply | None:
    transaction.require_tls = True
    return None if value is None else _BAD_VALUE


def _notify(options: RecipientOptions, value: str | None) -> RecipientOptions:
    words = (value or "").upper().split(",")
    wanted = frozenset(words)
    # RFC 3461 4.1: NEVER stands alone.
    if words != ["NEVER"] and not wanted <= _EVENTS:
        raise Invalid("Not a value of NOTIFY")
    return replace(options, notify=wanted)


def _orcpt(options: RecipientOptions, value: str | None) -> RecipientOptions:
    kind, _, raw_address = (value or "").partition(";")
    if not _ADDRESS_TYPE.match(kind) or not raw_address or len(value or "") > _MAX_ORCPT_CHARS:
        raise Invalid("Not a value of ORCPT")
    if kind.lower() == "utf-8":
        address = xtext.decode_utf8_address(raw_address)
    else:
        address = xtext.decode(raw_address)
    return replace(options, orcpt=f"{kind};{address}")


MAIL: dict[str, tuple[str, MailParameter]] = {
    "SIZE": ("SIZE", _size),
    "BODY": ("8BITMIME", _body),
    "SMTPUTF8": ("SMTPUTF8", _smtputf8),
    "AUTH": ("AUTH", _auth),
    "RET": ("DSN", _ret),
    "ENVID": ("DSN", _envid),
    "REQUIRETLS": ("REQUIRETLS", _requiretls),
}
RCPT: dict[str, tuple[str, RcptParameter]] = {
    "NOTIFY": ("DSN", _notify),
    "ORCPT": ("DSN", _orcpt),
}


def _parsed(raw_parameters: str) -> dict[str, str | None] | Reply:
    try:
        return grammar.parameters(raw_parameters)
    except Invalid as error:
        return Reply(501, "5.5.4", error.safe)


def of_mail(session: Session, transaction: Transaction, raw_parameters: str) -> Reply | None:
    """Takes the parameters of MAIL into a transaction; the reply to a bad one."""
    given = _parsed(raw_parameters)
    if isinstance(given, Reply):
        return given
    for name, value in given.items():
        if name not in MAIL or not is_offered(session, MAIL[name][0]):
            return _UNKNOWN  # RFC 5321 4.1.1.11
        try:
            wrong = MAIL[name][1](transaction, session, value)
        except Invalid:
            wrong = _BAD_VALUE
        if wrong is not None:
            return wrong
    return None


def of_rcpt(
    session: Session, options: RecipientOptions, raw_parameters: str
) -> RecipientOptions | Reply:
    """The options with the parameters of RCPT, or the reply to a bad one."""
    given = _parsed(raw_parameters)
    if isinstance(given, Reply):
        return given
    for name, value in given.items():
        if name not in RCPT or not is_offered(session, RCPT[name][0]):
            return _UNKNOWN
        try:
            options = RCPT[name][1](options, value)
        except Invalid:
            return _BAD_VALUE
    return options
