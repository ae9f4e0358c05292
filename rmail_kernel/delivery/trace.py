"""Trace and identification fields: what is added to a message on its way, and how loops are seen.

RFC 5321 4.4 (Received, Return-Path), 6.3 (loops), RFC 3848 (with), RFC 8314 4.3 (tls), RFC 6531
4.3, RFC 6409 8 (submission fixes). It only adds fields; it never changes one.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime

from rmail_kernel.content import Content
from rmail_kernel.delivery.ciphers import registered_name
from rmail_kernel.mime import decode_words, fields
from rmail_kernel.model import Address, Envelope, SessionInfo

MAX_RECEIVED = 100  # RFC 5321 6.3: at least so many
_LOOP_FIELD = "X-Loop"
_HELO = re.compile(r"[A-Za-z0-9._\-:\[\]]{1,255}\Z")
_SMTP_PROTOCOLS = frozenset({"smtp", "submission"})


@dataclass(frozen=True, slots=True)
class HeaderFacts:
    """What delivery wants to know of a header, read in one pass.

    Attributes:
        received: number of Received fields.
        names: all field names, in lower case.
        auto_submitted: keyword of Auto-Submitted (RFC 3834 5), '' when absent.
    """

    received: int
    names: frozenset[bytes]
    auto_submitted: str


def inspect(content: Content) -> HeaderFacts:
    """Reads the header of a message."""
    received, auto_submitted = 0, ""
    names = set()
    for raw_name, raw_value in fields(content.raw_header()):
        name = raw_name.lower()
        names.add(name)
        if name == b"received":
            received += 1
        elif name == b"auto-submitted":
            auto_submitted = decode_words(raw_value).partition(";")[0].strip().lower()
    return HeaderFacts(received, frozenset(names), auto_submitted)


def was_delivered_to(content: Content, address: Address) -> bool:
    """Whether a Delivered-To field of the message names this address (in any case)."""
    raw_header = content.raw_header()
    if b"delivered-to" not in raw_header.lower():
        return False  # nearly always, and asked for every recipient
    return any(
        name.lower() == b"delivered-to" and decode_words(value).strip().lower() == address.key
        for name, value in fields(raw_header)
    )


def received_field(envelope: Envelope, hostname: str) -> bytes:
    """The Received field of this hop (RFC 5321 4.4)."""
    session = envelope.session
    origin = f"from {_helo(session)}{_tcp_info(session)}\r\n\t" if session.peer_host else ""
    with_ = _with(session, envelope.smtputf8)
    # RFC 5321 7.6: with several recipients "for" would tell each about the others.
    only = envelope.recipients[0] if len(envelope.recipients) == 1 else None
    for_ = f"\r\n\tfor <{only}>" if only else ""
    date = format_datetime(envelope.received_at)
    text = f"{origin}by {hostname}{with_} id {session.id}{for_}{_tls(session)};\r\n\t{date}"
    return f"Received: {text}\r\n".encode()


def delivery_fields(sender: Address | None, account: Address) -> bytes:
    """Return-Path and Delivered-To, as final delivery puts them on top (RFC 5321 4.4)."""
    return f"Return-Path: <{sender or ''}>\r\nDelivered-To: {account}\r\n".encode()


def loop_field(alias: Address, hostname: str) -> bytes:
    """What a message carries that leaves by an alias, so that it is known when it comes back: long
    before its Received fields are too many, of which each round may send more than one. It tells
    nobody the alias.
    """
    return f"{_LOOP_FIELD}: {_loop_token(alias, hostname)}\r\n".encode()


def has_left_by(content: Content, alias: Address, hostname: str) -> bool:
    """Whether a message has left by this alias before."""
    raw_header = content.raw_header()
    if _LOOP_FIELD.lower().encode() not in raw_header.lower():
        return False  # nearly always
    token = _loop_token(alias, hostname).encode()
    return any(
        name.decode().lower() == _LOOP_FIELD.lower() and value.strip() == token
        for name, value in fields(raw_header)
    )


def _loop_token(alias: Address, hostname: str) -> str:
    digest = hashlib.sha256(f"{hostname} {alias.key}".encode()).hexdigest()
    return f"{digest[:16]}@{hostname}"


def missing_fields(facts: HeaderFacts, now: datetime, hostname: str) -> bytes:
    """Date and Message-ID where a submitted message lacks them (RFC 6409 8.2, 8.3)."""
    lines = []
    if b"message-id" not in facts.names:
        lines.append(f"Message-ID: <{uuid.uuid4().hex}@{hostname}>\r\n")
    if b"date" not in facts.names:
        lines.append(f"Date: {format_datetime(now)}\r\n")
    return "".join(lines).encode()


def _helo(session: SessionInfo) -> str:
    # What the client said is untrusted text; anything but a name or a literal is not repeated.
    return session.helo if _HELO.match(session.helo) else "unknown"


def _tls(session: SessionInfo) -> str:
    # RFC 8314 4.3: the clause has the suite; the version has no clause.
    version, _, cipher = session.tls.partition(" ")
    if not version:
        return ""
    name = registered_name(cipher)
    return f"\r\n\t({version}) tls {name}" if name else f"\r\n\t({session.tls})"


def _tcp_info(session: SessionInfo) -> str:
    # RFC 5321 4.1.3: an IPv6 literal has a tag.
    tag = "IPv6:" if ":" in session.peer_host else ""
    return f" ([{tag}{session.peer_host}])"


def _with(session: SessionInfo, smtputf8: bool) -> str:
    if session.protocol not in _SMTP_PROTOCOLS:
        return ""
    if not session.is_extended:
        return " with SMTP"
    # RFC 3848: S for TLS, A for authenticated; RFC 6531 4.3 for the UTF8 names.
    base = "UTF8SMTP" if smtputf8 else "ESMTP"
    return f" with {base}{'S' if session.tls else ''}{'A' if session.principal else ''}"
