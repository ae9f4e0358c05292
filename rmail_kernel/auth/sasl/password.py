"""The mechanisms that send the password itself: PLAIN (RFC 4616) and LOGIN (its expired draft)."""

from __future__ import annotations

from rmail_kernel.auth.sasl.api import Challenge, Logins
from rmail_kernel.errors import AuthFailed, Invalid
from rmail_kernel.model import Principal, SessionInfo

_PARTS_OF_PLAIN = 3


class Plain:
    """PLAIN: authzid NUL authcid NUL passwd (RFC 4616 2)."""

    def __init__(self, logins: Logins, session: SessionInfo) -> None:
        self._logins = logins
        self._session = session

    async def step(self, raw: bytes | None) -> Challenge | Principal:
        """See `Exchange.step`."""
        if raw is None:
            return Challenge(b"")
        parts = raw.split(b"\0")
        if len(parts) != _PARTS_OF_PLAIN:
            raise Invalid("Not a login and a password")
        acting_as, login, secret = map(text_of, parts)
        if acting_as and not await self._logins.is_same(login, acting_as):
            raise AuthFailed("Wrong login or password")  # nobody may act for another
        return await self._logins.authenticate(login, secret, self._session)


class Login:
    """LOGIN: the name, then the password, each asked for."""

    def __init__(self, logins: Logins, session: SessionInfo) -> None:
        self._logins = logins
        self._session = session
        self._login: str | None = None

    async def step(self, raw: bytes | None) -> Challenge | Principal:
        """See `Exchange.step`."""
        if raw is None:
            return Challenge(b"Username:")
        if self._login is None:
            self._login = text_of(raw)
            return Challenge(b"Password:")
        return await self._logins.authenticate(self._login, text_of(raw), self._session)


def text_of(raw: bytes) -> str:
    """A name or secret as text.

    Raises:
        Invalid: not UTF-8, or with NUL.
    """
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Invalid("Not UTF-8") from error
    if "\0" in text:
        raise Invalid("NUL cannot stand in a name or password")
    return text
