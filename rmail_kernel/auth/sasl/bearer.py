"""The mechanisms that send a token: OAUTHBEARER (RFC 7628) and XOAUTH2, which came before it.

The tokens are the server's own (RFC 6750 2.1). A refusal is told in JSON first; the client answers
it, and only then the exchange fails (RFC 7628 3.2.3).
"""

from __future__ import annotations

import re

from rmail_kernel.auth.sasl.api import Challenge, Logins
from rmail_kernel.auth.sasl.names import decoded_name
from rmail_kernel.auth.sasl.password import text_of
from rmail_kernel.errors import AuthFailed, Invalid, LockedOut
from rmail_kernel.model import Principal, SessionInfo

# RFC 7628 3.1: gs2-header kvsep *(key "=" value kvsep) kvsep, where kvsep is %x01.
_BEARER = re.compile(
    r"[ny],(?:a=(?P<login>[^,\x01]*))?,\x01(?P<pairs>(?:[A-Za-z]+=[^\x01]*\x01)*)\x01\Z"
)
_XOAUTH2 = re.compile(r"user=(?P<login>[^\x01]+)\x01(?P<pairs>(?:[A-Za-z]+=[^\x01]*\x01)+)\x01\Z")
_TOKEN = re.compile(r"bearer +(?P<token>[A-Za-z0-9._~+/-]+=*)\Z", re.IGNORECASE)
_BEARER_REFUSAL = b'{"status":"invalid_token"}'  # RFC 7628 3.2.2, RFC 6750 3.1
_XOAUTH2_REFUSAL = b'{"status":"401","schemes":"bearer"}'


class _Bearer:
    """What the two have in common."""

    def __init__(
        self, form: re.Pattern[str], refusal: bytes, logins: Logins, session: SessionInfo
    ) -> None:
        self._form = form
        self._refusal = refusal
        self._logins = logins
        self._session = session
        self._failure: AuthFailed | None = None

    async def step(self, raw: bytes | None) -> Challenge | Principal:
        """See `Exchange.step`."""
        if self._failure is not None:
            raise self._failure  # whatever the client had to say to the refusal
        if raw is None:
            return Challenge(b"")
        found = self._form.match(text_of(raw))
        if found is None:
            raise Invalid("Not a bearer token and its user")
        try:
            return await self._logins.by_token(
                decoded_name(found["login"] or ""), _token(found["pairs"]), self._session
            )
        except LockedOut:
            raise
        except AuthFailed as error:
            self._failure = error
            return Challenge(self._refusal)


class OauthBearer(_Bearer):
    """OAUTHBEARER."""

    def __init__(self, logins: Logins, session: SessionInfo) -> None:
        super().__init__(_BEARER, _BEARER_REFUSAL, logins, session)


class Xoauth2(_Bearer):
    """XOAUTH2."""

    def __init__(self, logins: Logins, session: SessionInfo) -> None:
        super().__init__(_XOAUTH2, _XOAUTH2_REFUSAL, logins, session)


def _token(pairs: str) -> str:
    values = dict(pair.split("=", 1) for pair in pairs.split("\x01") if pair)
    found = _TOKEN.match(values.get("auth", ""))
    # RFC 7628 3.2.3: an empty auth asks what the server would want; the refusal tells.
    return "" if found is None else found["token"]
