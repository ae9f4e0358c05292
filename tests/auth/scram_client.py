"""The client's side of SCRAM-SHA-256, written from RFC 5802 3 alone."""

from __future__ import annotations

import base64
import hashlib
import hmac


class ScramClient:
    """One exchange.

    Args:
        flag: the GS2 flag, "n", "y" or "p=...". binding: the channel's, in the -PLUS form.
    """

    def __init__(
        self, login: str, secret: str, *, flag: str = "n", binding: bytes = b"", nonce: str = "fyko"
    ) -> None:
        self._secret = secret
        self._header = f"{flag},,"
        self._binding = binding
        self._bare = f"n={login.replace('=', '=3D').replace(',', '=2C')},r={nonce}"
        self.signature = b""

    def first(self) -> bytes:
        """client-first-message."""
        return f"{self._header}{self._bare}".encode()

    def final(self, challenge: bytes) -> bytes:
        """client-final-message."""
        values = dict(pair.split("=", 1) for pair in challenge.decode().split(","))
        salt, rounds = base64.b64decode(values["s"]), int(values["i"])
        salted = hashlib.pbkdf2_hmac("sha256", self._secret.encode(), salt, rounds)
        client_key = _hmac(salted, b"Client Key")
        cbind = base64.b64encode(self._header.encode() + self._binding).decode()
        unproved = f"c={cbind},r={values['r']}"
        message = f"{self._bare},{challenge.decode()},{unproved}".encode()
        mask = _hmac(hashlib.sha256(client_key).digest(), message)
        proof = bytes(a ^ b for a, b in zip(client_key, mask, strict=True))
        self.signature = b"v=" + base64.b64encode(_hmac(_hmac(salted, b"Server Key"), message))
        return f"{unproved},p={base64.b64encode(proof).decode()}".encode()


def _hmac(key: bytes, text: bytes) -> bytes:
    return hmac.digest(key, text, "sha256")
