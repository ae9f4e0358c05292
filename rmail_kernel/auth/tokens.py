"""Bearer tokens: JWT (RFC 7519) signed with HS256 (RFC 7518 3.2).

A token names an account and its credential version, so it dies with the account, with its
password and when it is disabled. One secret serves all processes of a server.
"""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

import jwt

from rmail_kernel.errors import AuthFailed, ConfigError
from rmail_kernel.model import Principal
from rmail_kernel.settings import TOKEN_SECRET_VARIABLE
from rmail_kernel.storage.accounts import Account
from rmail_kernel.storage.ids import AccountId

if TYPE_CHECKING:
    from rmail_kernel.kernel import Kernel

MIN_SECRET_BYTES = 32  # RFC 7518 3.2
MAX_TOKEN_CHARS = 4096
_ALGORITHM = "HS256"
_CLAIMS = ["sub", "ver", "iat", "exp"]


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token says; times in seconds since the epoch."""

    account: AccountId
    version: int
    issued_at: int

    def fits(self, account: Account) -> bool:
        """Whether the account is the one that got the token: not changed since, and not a younger
        one of the same name.
        """
        created_at = account.created_at.timestamp() if account.created_at else 0.0
        return account.credential_version == self.version and self.issued_at >= int(created_at)


class Tokens:
    """Signs and checks tokens.

    Raises:
        ConfigError: the secret in the environment is too short.
    """

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._fallback = os.environ.get(TOKEN_SECRET_VARIABLE) or secrets.token_hex(32)
        if len(self._fallback.encode()) < MIN_SECRET_BYTES:
            raise ConfigError(
                f"must have at least {MIN_SECRET_BYTES} bytes", path=TOKEN_SECRET_VARIABLE
            )

    def issue(self, principal: Principal) -> tuple[str, int]:
        """A token and its life in seconds."""
        ttl_s = self._kernel.settings.exchange_api.token_ttl_s
        issued_at = int(self._kernel.clock.time())
        claims = {
            "sub": principal.account,
            "ver": principal.credential_version,
            "iat": issued_at,
            "exp": issued_at + ttl_s,
        }
        return jwt.encode(claims, self._secret, algorithm=_ALGORITHM), ttl_s

    def read(self, token: str) -> Claims:
        """What a token says, if we signed it and it has not ended.

        Raises:
            AuthFailed: anything else.
        """
        if len(token) > MAX_TOKEN_CHARS or not token.isascii():
            raise AuthFailed("Invalid token")
        try:  # times are compared below, with the kernel's clock
            options: jwt.types.Options = {
                "require": _CLAIMS,
                "verify_exp": False,
                "verify_iat": False,
            }
            found = jwt.decode(token, self._secret, algorithms=[_ALGORITHM], options=options)
        except jwt.PyJWTError as error:
            raise AuthFailed("Invalid token") from error
        subject, version, issued_at, ends_at = (found[name] for name in _CLAIMS)
        if not isinstance(subject, str) or not all(
            type(value) is int for value in (version, issued_at, ends_at)
        ):
            raise AuthFailed("Invalid token")
        if ends_at <= self._kernel.clock.time():
            raise AuthFailed("The token has expired")
        return Claims(AccountId(subject), version, issued_at)

    @property
    def _secret(self) -> str:
        """Read each time: SIGHUP may set another."""
        setting = self._kernel.settings.exchange_api.token_secret
        return setting.get_secret_value() if setting else self._fallback
