"""Password hashes: bcrypt over base64(SHA-256(password)), and PBKDF2-SHA256 of the original.

Everything here blocks for as long as a hash takes; call it in a thread. An unknown or unusable
hash costs as much as a known one. Nothing here logs or keeps a password.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import bcrypt

from rmail_kernel.errors import Invalid

MAX_SECRET_BYTES = 1024
MAX_PBKDF2_ITERATIONS = 5_000_000
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")  # controls, lone surrogates
_BCRYPT = re.compile(r"\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}\Z")
_PBKDF2 = re.compile(r"pbkdf2_sha256\$(\d{1,8})\$([^$]{1,256})\$([A-Za-z0-9+/=_-]{16,256})\Z")
_HEX_SHA256 = re.compile(r"[0-9a-fA-F]{64}\Z")


def is_printable(text: str) -> bool:
    """Whether a text is free of NUL, control characters and lone surrogates."""
    return _UNPRINTABLE.search(text) is None


def is_acceptable(secret: str) -> bool:
    """Whether a secret can be a password at all: 1 to 1024 bytes, no control characters."""
    return is_printable(secret) and 1 <= len(secret.encode()) <= MAX_SECRET_BYTES


def hash_password(secret: str, cost: int) -> str:
    """A bcrypt hash of a new password.

    The SHA-256 before it lets all of 1,024 bytes count, where bcrypt takes 72; base64 keeps NUL
    bytes out of it.

    Args:
        secret: the password.
        cost: log2 of the rounds, 4 to 31.

    Raises:
        Invalid: no bytes, over 1,024, or control characters.
    """
    if not is_acceptable(secret):
        raise Invalid(f"A password has 1 to {MAX_SECRET_BYTES} bytes and no control characters")
    return bcrypt.hashpw(_prehash(secret), bcrypt.gensalt(cost)).decode()


def needs_upgrade(stored: str, cost: int) -> bool:
    """Whether a hash is of another scheme than bcrypt or of a lower cost than the settings'."""
    found = _BCRYPT.match(stored)
    return found is None or int(found[1]) < cost


def is_known(stored: str) -> bool:
    """Whether a hash is of a form that somebody can log in with."""
    return _BCRYPT.match(stored) is not None or _PBKDF2.match(stored) is not None


@dataclass(frozen=True, slots=True)
class Passwords:
    """Hashing and checking at one cost (log2 of the bcrypt rounds)."""

    cost: int

    def hash(self, secret: str) -> str:
        """See `hash_password`."""
        return hash_password(secret, self.cost)

    def check(self, secret: str, stored: str) -> bool:
        """Whether `secret` is the password behind `stored`.

        An empty or unusable hash (an unknown account, one without a password) is checked against
        a decoy of this cost, so that it takes the same time, and is never right.
        """
        if (found := _PBKDF2.match(stored)) is not None:
            return _check_pbkdf2(secret, int(found[1]), found[2], found[3])
        is_usable = _BCRYPT.match(stored) is not None
        return self.check_bcrypt(secret, stored if is_usable else _decoy(self.cost)) and is_usable

    def check_bcrypt(self, secret: str, stored: str) -> bool:
        """One bcrypt check; all time goes here."""
        return bcrypt.checkpw(_prehash(secret), stored.encode())


def _prehash(secret: str) -> bytes:
    return base64.b64encode(hashlib.sha256(secret.encode()).digest())


@lru_cache(maxsize=32)
def _decoy(cost: int) -> str:
    return bcrypt.gensalt(cost).decode() + "." * 31


def _check_pbkdf2(secret: str, iterations: int, salt: str, hashed: str) -> bool:
    """The layout names the fields, not their encoding: hash in hex or base64, salt as text or in
    the encoding of the hash.
    """
    is_hex = _HEX_SHA256.match(hashed) is not None
    wanted = _decode(hashed, is_hex=is_hex)
    if not 1 <= iterations <= MAX_PBKDF2_ITERATIONS or wanted is None:
        return False
    return any(
        hmac.compare_digest(
            hashlib.pbkdf2_hmac("sha256", secret.encode(), raw_salt, iterations), wanted
        )
        for raw_salt in _salts(salt, is_hex=is_hex)
    )


def _salts(salt: str, *, is_hex: bool) -> Iterator[bytes]:
    yield salt.encode()
    decoded = _decode(salt, is_hex=is_hex)
    if decoded:
        yield decoded


def _decode(text: str, *, is_hex: bool) -> bytes | None:
    try:
        if is_hex:
            return bytes.fromhex(text)
        padded = text.rstrip("=")
        return base64.b64decode(padded + "=" * (-len(padded) % 4), altchars=None, validate=True)
    except (ValueError, binascii.Error):
        return None
