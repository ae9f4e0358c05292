"""What an account keeps of a new password: its hash, and keys for SCRAM where they are wanted.

It blocks for as long as hashes take; call it in a thread.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from rmail_kernel.auth.passwords import hash_password
from rmail_kernel.auth.scram_keys import make_keys
from rmail_kernel.settings import AuthSettings
from rmail_kernel.storage.accounts import ScramKeys


@dataclass(frozen=True, slots=True)
class Credentials:
    """The fields of an account that belong to its password."""

    password_hash: str = field(repr=False)
    scram: ScramKeys | None = field(repr=False)


def credentials(secret: str, settings: AuthSettings) -> Credentials:
    """The fields for a new password.

    Raises:
        Invalid: it cannot be a password.
    """
    hashed = hash_password(secret, settings.bcrypt_cost)
    keys = make_keys(secret, settings.scram_iterations) if settings.scram else None
    return Credentials(hashed, keys)
