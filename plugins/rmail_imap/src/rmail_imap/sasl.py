"""SASL mechanisms with a plain secret: PLAIN (RFC 4616) and the older LOGIN."""

from __future__ import annotations

import binascii
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from rmail_imap.errors import BadSyntax
from rmail_kernel.errors import Denied, Invalid
from rmail_kernel.model import Address

Exchange = Callable[[bytes], Awaitable[bytes]]
"""Sends a challenge and gives the client's response, both without base64."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a client logs in with."""

    login: str
    secret: str


async def plain(initial: bytes | None, exchange: Exchange) -> Credentials:
    """PLAIN: authorisation identity NUL login NUL password, in one response (RFC 4616 2)."""
    raw = await exchange(b"") if initial is None else initial
    parts = raw.split(b"\0")
    if len(parts) != 3:
        raise BadSyntax("Not a PLAIN response")
    acting, login, secret = map(_text, parts)
    if acting and not _same(acting, login):
        raise Denied("Acting as somebody else is not offered")
    return Credentials(login, secret)


async def login(initial: bytes | None, exchange: Exchange) -> Credentials:
    """LOGIN: the two questions of draft-murchison-sasl-login."""
    name = await exchange(b"Username:") if initial is None else initial
    return Credentials(_text(name), _text(await exchange(b"Password:")))


MECHANISMS: Final[dict[str, Callable[[bytes | None, Exchange], Awaitable[Credentials]]]] = {
    "PLAIN": plain,
    "LOGIN": login,
}


def decode(raw: bytes) -> bytes:
    """Base64 of one line of the exchange; `=` alone is the empty initial response (RFC 4959 3)."""
    if raw == b"=":
        return b""
    try:
        return binascii.a2b_base64(raw, strict_mode=True)
    except binascii.Error as error:
        raise BadSyntax("Not base64") from error


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise BadSyntax("A login is not UTF-8") from error


def _same(one: str, other: str) -> bool:
    try:
        return Address.parse(one).key == Address.parse(other).key
    except Invalid:
        return one == other
