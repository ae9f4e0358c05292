"""Logging in at a smarthost: SCRAM-SHA-256, PLAIN, LOGIN (RFC 4954, RFC 4616, RFC 5802, RFC 7677).

It must never be called on a connection that others can read (see connect.py).
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import secrets

from rmail_relay.client.reply import Reply
from rmail_relay.client.session import Session
from rmail_relay.client.verdict import Garbled, PeerFailure

MAX_ITERATIONS = 1_000_000
"""Of SCRAM; a server must not keep us busy with more (RFC 7677 4)."""
_UNPROVEN = "The peer did not prove that it knows the password"
MIN_ITERATIONS = 4096  # RFC 7677 4


async def log_in(session: Session, username: str, password: str) -> None:
    """Logs in by the best way that both sides know.

    Raises:
        PeerFailure: it did not work. For mail this is no refusal: the settings can be mended.
    """
    offered = session.extensions.mechanisms
    for mechanism, way in _WAYS.items():
        if mechanism in offered:
            reply = await way(session, username, password)
            if reply.code != 235:
                raise PeerFailure(
                    f"The login was refused: {reply.code} {reply.text}", code=454, status="4.7.8"
                )
            return
    raise PeerFailure("The peer offers no way to log in", code=454, status="4.7.0")


async def _plain(session: Session, username: str, password: str) -> Reply:
    """RFC 4616 2, with the initial response of RFC 4954 4."""
    return await _say(session, "AUTH PLAIN " + _encode(f"\0{username}\0{password}".encode()))


async def _login(session: Session, username: str, password: str) -> Reply:
    reply = await _say(session, "AUTH LOGIN")
    for answer in (username, password):
        if reply.code != 334:
            break
        reply = await _say(session, _encode(answer.encode()))
    return reply


async def _scram_sha_256(session: Session, username: str, password: str) -> Reply:
    """RFC 5802 3, 5; RFC 7677 3. The server proves that it knows the password, too."""
    nonce = secrets.token_urlsafe(24)
    name = username.replace("=", "=3D").replace(",", "=2C")  # RFC 5802 5.1
    first = f"n={name},r={nonce}"
    reply = await _say(session, "AUTH SCRAM-SHA-256 " + _encode(f"n,,{first}".encode()))
    if reply.code != 334:
        return reply
    challenge = _decode(reply)
    salt, iterations, whole_nonce = _challenge(challenge, nonce)
    last = f"c=biws,r={whole_nonce}"
    signed = f"{first},{challenge},{last}".encode()
    salted = await asyncio.to_thread(
        hashlib.pbkdf2_hmac, "sha256", password.encode(), salt, iterations
    )
    client_key = _mac(salted, b"Client Key")
    proof = _xor(client_key, _mac(hashlib.sha256(client_key).digest(), signed))
    reply = await _say(session, _encode(f"{last},p={_encode(proof)}".encode()))
    if reply.code != 334:  # RFC 4954 4: a 334 with the signature comes before 235
        if reply.code == 235:
            raise Garbled(_UNPROVEN)
        return reply
    wanted = "v=" + _encode(_mac(_mac(salted, b"Server Key"), signed))
    if not hmac.compare_digest(_decode(reply), wanted):
        raise Garbled(_UNPROVEN)
    return await _say(session, "")


_WAYS = {"SCRAM-SHA-256": _scram_sha_256, "PLAIN": _plain, "LOGIN": _login}


def _challenge(text: str, nonce: str) -> tuple[bytes, int, str]:
    """Salt, iterations and whole nonce of the server's first message."""
    parts = dict(part.split("=", 1) for part in text.split(",") if "=" in part)
    iterations = parts.get("i", "")
    if not (iterations.isascii() and iterations.isdigit() and len(iterations) < 10):
        raise Garbled("The peer's login challenge is malformed")
    if not MIN_ITERATIONS <= int(iterations) <= MAX_ITERATIONS:
        raise Garbled("The peer's login challenge asks for too little or too much work")
    whole = parts.get("r", "")
    if not whole.startswith(nonce) or whole == nonce or "m" in parts:  # RFC 5802 5.1
        raise Garbled("The peer's login challenge is not an answer to ours")
    try:
        return base64.b64decode(parts.get("s", ""), validate=True), int(iterations), whole
    except binascii.Error as error:
        raise Garbled("The peer's login challenge is malformed") from error


async def _say(session: Session, line: str) -> Reply:
    return await session.command(line, session.local.timeouts.command_s)


def _encode(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")


def _decode(reply: Reply) -> str:
    try:
        return base64.b64decode(reply.lines[0], validate=True).decode("utf-8")
    except ValueError as error:
        raise Garbled("The peer's login challenge is malformed") from error


def _mac(key: bytes, text: bytes) -> bytes:
    return hmac.digest(key, text, "sha256")


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))
