"""The keys of SCRAM-SHA-256: made from a password, made up for who has none, and what is proved
with them. RFC 5802 3, RFC 7677.

The functions that take a password block for as long as its hash takes; call them in a thread.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

from rmail_kernel.auth.saslprep import saslprep
from rmail_kernel.errors import Invalid
from rmail_kernel.storage.accounts import ScramKeys

SALT_BYTES = 16
_HASH = "sha256"


def make_keys(secret: str, iterations: int) -> ScramKeys | None:
    """Keys of a new salt; None: SASLprep has no form for this password, so SCRAM cannot take it.

    Args:
        secret: the password. iterations: of PBKDF2 (RFC 7677 4: at least 4096).
    """
    try:
        return derive(secret, secrets.token_bytes(SALT_BYTES), iterations)
    except Invalid:
        return None


def derive(secret: str, salt: bytes, iterations: int) -> ScramKeys:
    """The keys of a password (RFC 5802 3).

    Raises:
        Invalid: SASLprep has no form for it.
    """
    salted = hashlib.pbkdf2_hmac(_HASH, saslprep(secret).encode(), salt, iterations)
    client_key = hmac.digest(salted, b"Client Key", _HASH)
    server_key = hmac.digest(salted, b"Server Key", _HASH)
    return ScramKeys(iterations, salt, hashlib.sha256(client_key).digest(), server_key)


def decoy(name: str, iterations: int, raw_secret: bytes) -> ScramKeys:
    """Keys that fit no password, always the same for a name, so that nobody learns from the salt
    who exists (RFC 5802 9).

    Args:
        name: the login in the form in which it is compared.
        iterations: as new keys have them. raw_secret: known to this server alone.
    """
    salt = hmac.digest(raw_secret, name.encode("utf-8", "replace"), _HASH)[:SALT_BYTES]
    return ScramKeys(iterations, salt, secrets.token_bytes(32), secrets.token_bytes(32))


def is_proof(keys: ScramKeys, raw_proof: bytes, raw_message: bytes) -> bool:
    """Whether a ClientProof over an AuthMessage shows knowledge of the password."""
    signature = hmac.digest(keys.stored_key, raw_message, _HASH)
    if len(raw_proof) != len(signature):
        return False
    client_key = bytes(a ^ b for a, b in zip(raw_proof, signature, strict=True))
    return hmac.compare_digest(hashlib.sha256(client_key).digest(), keys.stored_key)


def server_signature(keys: ScramKeys, raw_message: bytes) -> bytes:
    """What shows the client that the server knows the keys."""
    return hmac.digest(keys.server_key, raw_message, _HASH)
