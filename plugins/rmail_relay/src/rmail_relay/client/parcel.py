"""A message as one server can take it: what it needs, what the server offers, what must be changed.

RFC 1870, RFC 3030 3, RFC 6152 3, RFC 6531 3.2, RFC 8689 4.2.1.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from rmail_kernel.content import Content
from rmail_kernel.model import Address, Envelope
from rmail_relay.client.extensions import Extensions
from rmail_relay.client.verdict import Verdict
from rmail_relay.outcome import Kind

Encode = Callable[[Content], Awaitable[Content]]
"""Makes a message seven bits wide."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """A message and what it needs on its way.

    Attributes:
        is_8bit: some byte is above 127.
        is_binary: it has lines of other kinds than CRLF ended ones, or NUL (RFC 3030 3).
        is_utf8_header: the header needs SMTPUTF8.
    """

    envelope: Envelope
    content: Content
    is_8bit: bool = False
    is_binary: bool = False
    is_utf8_header: bool = False

    @property
    def needs_utf8(self) -> bool:
        """Whether no server without SMTPUTF8 can have it (RFC 6531 3.2). Domains are A-labels."""
        addresses = (self.envelope.sender, *self.envelope.recipients)
        return self.is_utf8_header or not all(_is_ascii(address) for address in addresses)


def parcel_of(envelope: Envelope, content: Content) -> Parcel:
    """Looks through a message once; blocking for large ones."""
    is_8bit = has_nul = False
    for chunk in content.chunks():
        is_8bit = is_8bit or not chunk.isascii()
        has_nul = has_nul or b"\0" in chunk
        if is_8bit and has_nul:
            break
    # Old software writes raw 8-bit headers; only a sender that knows SMTPUTF8 means UTF-8.
    is_utf8 = envelope.smtputf8 and is_8bit and not content.raw_header().isascii()
    return Parcel(envelope, content, is_8bit, has_nul or envelope.is_binary, is_utf8)


def must_be_private(envelope: Envelope) -> bool:
    """Whether a message goes to nobody but who promises REQUIRETLS. A notice is not dropped for
    want of that (RFC 8689 4.2.1, 5).
    """
    return envelope.require_tls and envelope.sender is not None


def refusal(parcel: Parcel, extensions: Extensions, *, is_private: bool) -> Verdict | None:
    """Why this server can never have the message; None: it can.

    Args:
        is_private: TLS with a verified certificate.
    """
    if must_be_private(parcel.envelope) and not (is_private and "REQUIRETLS" in extensions):
        return Verdict(Kind.FAILED, 550, "5.7.30", "The peer does not offer REQUIRETLS")
    if parcel.needs_utf8 and "SMTPUTF8" not in extensions:  # RFC 6531 3.2: it cannot be rewritten
        return Verdict(
            Kind.FAILED, 553, "5.6.7", "The peer takes no addresses or headers beyond ASCII"
        )
    limit = extensions.max_size_bytes
    if limit is not None and parcel.content.size > limit:  # RFC 1870 6.1
        return Verdict(
            Kind.FAILED, 552, "5.3.4", f"The peer takes no message of more than {limit} bytes"
        )
    return None


def must_be_encoded(parcel: Parcel, extensions: Extensions) -> bool:
    """Whether the body is wider than the server takes (RFC 6152 3, RFC 3030 3)."""
    if parcel.is_binary:
        return not is_sent_binary(parcel, extensions)
    return parcel.is_8bit and "8BITMIME" not in extensions


def is_sent_binary(parcel: Parcel, extensions: Extensions) -> bool:
    """Whether it goes out with BODY=BINARYMIME."""
    return parcel.is_binary and "BINARYMIME" in extensions and "CHUNKING" in extensions


async def encoded(parcel: Parcel, encode: Encode) -> Parcel:
    """The same message, seven bits wide."""
    content = await encode(parcel.content)
    return replace(parcel, content=content, is_8bit=False, is_binary=False)


def _is_ascii(address: Address | None) -> bool:
    return address is None or address.local.isascii()
