"""MAIL and RCPT with the parameters that the server offers to take.

RFC 5321 4.1.1.2, 4.1.1.3; RFC 1870, 3030, 3461, 6152, 6531, 6533, 8689. Every value from outside is
encoded: no space or line end of it can reach the wire.
"""

from __future__ import annotations

from rmail_kernel import xtext
from rmail_kernel.errors import Invalid
from rmail_kernel.model import Address, Envelope, RecipientOptions
from rmail_relay.client.extensions import Extensions
from rmail_relay.client.parcel import Parcel, is_sent_binary

_NOTIFY = ("NEVER", "SUCCESS", "FAILURE", "DELAY")
MAX_ENVID_CHARS = 100  # RFC 3461 4.4
MAX_ORCPT_CHARS = 500  # RFC 3461 4.2


def mail(parcel: Parcel, extensions: Extensions) -> str:
    """MAIL FROM."""
    envelope = parcel.envelope
    words = [f"MAIL FROM:<{envelope.sender or ''}>"]
    if "SIZE" in extensions:
        words.append(f"SIZE={parcel.content.size}")
    if is_sent_binary(parcel, extensions):
        words.append("BODY=BINARYMIME")
    elif "8BITMIME" in extensions and parcel.is_8bit:
        words.append("BODY=8BITMIME")
    if parcel.needs_utf8:
        words.append("SMTPUTF8")
    if envelope.require_tls and "REQUIRETLS" in extensions:
        words.append("REQUIRETLS")
    if "DSN" in extensions:
        words += _return(envelope)
    return " ".join(words)


def rcpt(parcel: Parcel, recipient: Address, extensions: Extensions) -> str:
    """RCPT TO; what was asked for the recipient goes to peers that know it (RFC 3461 5.2.1)."""
    words = [f"RCPT TO:<{recipient}>"]
    if "DSN" in extensions:
        options = parcel.envelope.options_of(recipient)
        if options.notify:
            words.append("NOTIFY=" + ",".join(filter(options.notify.__contains__, _NOTIFY)))
        words += _original(options, is_utf8=parcel.needs_utf8)
    return " ".join(words)


def _return(envelope: Envelope) -> list[str]:
    words = [f"RET={envelope.ret}"] if envelope.ret else []
    if envelope.envid:
        words += _encoded("ENVID=", envelope.envid, MAX_ENVID_CHARS)
    return words


def _original(options: RecipientOptions, *, is_utf8: bool) -> list[str]:
    """ORCPT=type;address (RFC 3461 4.2, RFC 6533 3)."""
    kind, semicolon, address = options.orcpt.partition(";")
    if not semicolon:
        return []
    if address.isascii():
        return _encoded(f"ORCPT={kind};", address, MAX_ORCPT_CHARS)
    coded = xtext.encode_utf8_address(address)
    if is_utf8:  # utf-8-addr-unitext: as it is, but for what would end the parameter
        coded = "".join(
            letter if not letter.isascii() else xtext.encode_utf8_address(letter)
            for letter in address
        )
    return [f"ORCPT={kind};{coded}"] if len(coded) <= MAX_ORCPT_CHARS else []


def _encoded(name: str, text: str, limit: int) -> list[str]:
    """The parameter; none where the text cannot be said in it."""
    try:
        coded = xtext.encode(text)
    except Invalid:
        return []
    return [name + coded] if len(coded) <= limit else []
