"""SCRAM-SHA-256 and SCRAM-SHA-256-PLUS: both sides prove the password, nobody says it.

RFC 5802 5 to 7, RFC 7677, channel binding of the types that there are (RFC 5929).
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from rmail_kernel.auth.sasl.api import Challenge, Logins
from rmail_kernel.auth.sasl.names import decoded_name
from rmail_kernel.auth.sasl.password import text_of
from rmail_kernel.auth.saslprep import saslprep
from rmail_kernel.auth.scram_keys import is_proof, server_signature
from rmail_kernel.errors import AuthFailed, Invalid
from rmail_kernel.model import Principal, SessionInfo
from rmail_kernel.storage.accounts import Account, ScramKeys

_NONCE_BYTES = 18
# RFC 5802 7. "m=" announces extensions that must be understood; there are none.
_FIRST = re.compile(
    r"(?P<header>(?P<flag>[ny]|p=(?P<type>[A-Za-z0-9.-]+)),(?:a=(?P<acting_as>[^,]+))?,)"
    r"(?P<bare>n=(?P<name>[^,]+),r=(?P<nonce>[!-+\--~]{1,256})(?:,[A-Za-z]=[^,]+)*)\Z"
)
_FINAL = re.compile(
    r"(?P<unproved>c=(?P<binding>[A-Za-z0-9+/=]+),r=(?P<nonce>[!-+\--~]+)(?:,[A-Za-z]=[^,]+)*)"
    r",p=(?P<proof>[A-Za-z0-9+/=]+)\Z"
)


@dataclass(frozen=True, slots=True)
class _Offer:
    """What was said before the proof."""

    login: str
    account: Account | None
    keys: ScramKeys
    header: str
    raw_binding: bytes
    nonce: str
    messages: str


@dataclass(frozen=True, slots=True)
class _Proved:
    """A proof that is right, until the client has heard ours."""

    offer: _Offer


class Scram:
    """One SCRAM exchange.

    Args:
        bindings: what the channel is known by, by type; None: it cannot be bound.
        is_bound: this is the -PLUS form.
    """

    def __init__(
        self,
        logins: Logins,
        session: SessionInfo,
        bindings: Mapping[str, bytes] | None,
        *,
        is_bound: bool,
    ) -> None:
        self._logins = logins
        self._session = session
        self._bindings = bindings
        self._is_bound = is_bound
        self._state: _Offer | _Proved | None = None

    async def step(self, raw: bytes | None) -> Challenge | Principal:
        """See `Exchange.step`."""
        if raw is None:
            return Challenge(b"")
        if self._state is None:
            return await self._offer(text_of(raw))
        if isinstance(self._state, _Offer):
            return await self._prove(self._state, text_of(raw))
        if raw:
            raise Invalid("An empty response was expected")
        offer = self._state.offer
        return await self._logins.settle(offer.login, offer.account, self._session, is_proved=True)

    async def _offer(self, message: str) -> Challenge:
        first = _FIRST.match(message)
        if first is None:
            raise Invalid("Not a client-first-message")
        raw_binding = self._binding(first["flag"], first["type"])
        login = saslprep(decoded_name(first["name"]))
        other = first["acting_as"]
        if other and not await self._logins.is_same(login, decoded_name(other)):
            raise AuthFailed("Wrong login or password")  # nobody may act for another
        account, keys = await self._logins.keys(login, self._session)
        nonce = first["nonce"] + secrets.token_urlsafe(_NONCE_BYTES)
        salt = base64.b64encode(keys.salt).decode()
        reply = f"r={nonce},s={salt},i={keys.iterations}"
        messages = f"{first['bare']},{reply}"
        self._state = _Offer(login, account, keys, first["header"], raw_binding, nonce, messages)
        return Challenge(reply.encode())

    def _binding(self, flag: str, kind: str | None) -> bytes:
        """What the client's "c" must end with. RFC 5802 6: it must bind in the -PLUS form and only
        there, with a type that there is; "y" from who was offered that form means that somebody hid
        the offer.
        """
        if self._is_bound != (kind is not None):
            raise Invalid("Channel binding belongs to the PLUS form of the mechanism")
        if flag == "y" and self._bindings is not None:
            raise AuthFailed("The offer of channel binding did not reach you")
        if kind is None:
            return b""
        found = (self._bindings or {}).get(kind)
        if found is None:
            raise Invalid("There is no such type of channel binding here")
        return found

    async def _prove(self, offer: _Offer, message: str) -> Challenge:
        final = _FINAL.match(message)
        if final is None:
            raise Invalid("Not a client-final-message")
        raw_message = f"{offer.messages},{final['unproved']}".encode()
        wanted = offer.header.encode() + offer.raw_binding
        is_ours = hmac.compare_digest(_decoded(final["binding"]), wanted)
        is_ours &= hmac.compare_digest(final["nonce"], offer.nonce)
        if not (is_ours & is_proof(offer.keys, _decoded(final["proof"]), raw_message)):
            await self._logins.settle(offer.login, None, self._session, is_proved=False)
        self._state = _Proved(offer)
        signature = base64.b64encode(server_signature(offer.keys, raw_message))
        return Challenge(b"v=" + signature)


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise Invalid("Not base64") from error
