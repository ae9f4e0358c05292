"""The keys of SCRAM-SHA-256 inside account.json.

They name the password hash that they were made beside: keys whose hash was changed by somebody who
knows nothing of them (an older version, an editor) are worth nothing.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Any

from rmail_kernel.storage.accounts import ScramKeys

VERSION = 1
_KEY_BYTES = 32
_MIN_ITERATIONS, _MAX_ITERATIONS = 4096, 10_000_000


def dump(keys: ScramKeys, password_hash: str) -> dict[str, Any]:
    """The object that is kept."""
    return {
        "version": VERSION,
        "mechanism": "SCRAM-SHA-256",
        "iterations": keys.iterations,
        "salt": _text(keys.salt),
        "stored_key": _text(keys.stored_key),
        "server_key": _text(keys.server_key),
        "of": _fingerprint(password_hash),
    }


def load(data: object, password_hash: str) -> ScramKeys | None:
    """The keys in an object. None: there are none, or they cannot be used; the next login with the
    password makes new ones.
    """
    if not isinstance(data, dict) or data.get("version") != VERSION:
        return None
    iterations = data.get("iterations")
    if data.get("of") != _fingerprint(password_hash) or type(iterations) is not int:
        return None
    salt, stored, server = (_raw(data.get(key)) for key in ("salt", "stored_key", "server_key"))
    is_whole = salt and len(stored) == len(server) == _KEY_BYTES
    if not is_whole or not _MIN_ITERATIONS <= iterations <= _MAX_ITERATIONS:
        return None
    return ScramKeys(iterations, salt, stored, server)


def _fingerprint(password_hash: str) -> str:
    return hashlib.sha256(password_hash.encode()).hexdigest()[:16]


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _raw(text: object) -> bytes:
    try:
        return base64.b64decode(text, validate=True) if isinstance(text, str) else b""
    except (binascii.Error, ValueError):
        return b""
