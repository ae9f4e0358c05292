"""Password hashes."""

from __future__ import annotations

import base64
import hashlib

import pytest

from rmail_kernel.auth.passwords import (
    MAX_PBKDF2_ITERATIONS,
    Passwords,
    hash_password,
    is_acceptable,
    needs_upgrade,
)
from rmail_kernel.errors import Invalid
from tests.auth.conftest import CountedPasswords


def pbkdf2(secret: str, salt: str = "salt", iterations: int = 1000) -> str:
    """A hash as the original product stored it."""
    raw = hashlib.pbkdf2_hmac("sha256", secret.encode(), salt.encode(), iterations)
    return f"pbkdf2_sha256${iterations}${salt}${base64.b64encode(raw).decode()}"


@pytest.mark.parametrize("secret", ["x", "p" * 1024, "pässwörd 🔑", " spaces ", "ü" * 512])
def test_a_hash_fits_its_password_only(secret: str) -> None:
    stored = hash_password(secret, 4)
    assert stored.startswith("$2b$04$")
    assert Passwords(4).check(secret, stored)
    assert not Passwords(4).check(secret[:-1] + "?", stored)


def test_bytes_beyond_what_bcrypt_takes_count() -> None:
    assert not Passwords(4).check("p" * 1023 + "x", hash_password("p" * 1024, 4))


@pytest.mark.parametrize("secret", ["", "p" * 1025, "ü" * 513, "a\0b", "a\nb", "\x7f", "\udcff"])
def test_what_cannot_be_a_password_is_refused(secret: str) -> None:
    assert not is_acceptable(secret)
    with pytest.raises(Invalid):
        hash_password(secret, 4)


def test_pbkdf2_in_its_encodings_is_verified() -> None:
    raw = hashlib.pbkdf2_hmac("sha256", b"secret", b"0a1b", 1000)
    decoded_salt = hashlib.pbkdf2_hmac("sha256", b"secret", bytes.fromhex("0a1b"), 1000)
    for stored in (
        pbkdf2("secret"),
        f"pbkdf2_sha256$1000$0a1b${raw.hex()}",
        f"pbkdf2_sha256$1000$0a1b${decoded_salt.hex()}",
    ):
        assert Passwords(4).check("secret", stored)
        assert not Passwords(4).check("Secret", stored)


@pytest.mark.parametrize(
    "stored",
    [
        pbkdf2("secret").replace("$1000$", "$0$"),
        pbkdf2("secret").replace("$1000$", f"${MAX_PBKDF2_ITERATIONS + 1}$"),
        "pbkdf2_sha256$1000$salt$not-base64-at-all!",
        "pbkdf2_sha256$1000$salt$aaaaaaaaaaaaaaaaa",
    ],
)
def test_an_unusable_pbkdf2_hash_is_never_right(stored: str) -> None:
    assert not Passwords(4).check("secret", stored)


@pytest.mark.parametrize("stored", ["", "x", "$2b$04$short", "$1$md5$md5", "\udcff"])
def test_a_missing_or_unusable_hash_costs_one_check_of_the_configured_cost(stored: str) -> None:
    passwords = CountedPasswords(5)
    assert not passwords.check("secret", stored)
    assert [checked[:7] for checked in passwords.checked] == ["$2b$05$"]


def test_upgrades_go_up_only() -> None:
    assert needs_upgrade(pbkdf2("x"), 4)
    assert needs_upgrade(hash_password("x", 4), 5)
    assert not needs_upgrade(hash_password("x", 5), 5)
    assert not needs_upgrade(hash_password("x", 5), 4)
