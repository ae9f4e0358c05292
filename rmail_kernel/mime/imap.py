"""The wire forms of ENVELOPE, BODY and BODYSTRUCTURE, rendered once at delivery and sent as they
are.

RFC 9051 7.5.2 and 9, RFC 3501 9, RFC 2231 6. What a quoted string cannot hold goes as a literal,
so that clients of both read it.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final
from urllib.parse import quote

from rmail_kernel.mime.addresses import AddressItem, Group, Mailbox
from rmail_kernel.mime.envelope import Envelope, parse_envelope
from rmail_kernel.mime.parameters import Parameters
from rmail_kernel.mime.scanner import MAX_HEADER_BYTES
from rmail_kernel.mime.structure import Buffer, Part

_PLAIN: Final = re.compile(rb"[\x01-\x09\x0b\x0c\x0e-\x21\x23-\x5b\x5d-\x7f]*+")
_QUOTABLE: Final = re.compile(rb"[\x01-\x09\x0b\x0c\x0e-\x7f]*+")
_ESCAPED: Final = re.compile(rb'[\\"]')
_SHORT_CHARS: Final = 64
_UTF8: Final = "utf-8", "replace"


def nstring(value: bytes | str | None) -> bytes:
    """NIL, a quoted string, or a literal for 8-bit bytes and line ends; NUL has no form in IMAP
    and is left out.
    """
    if value is None:
        return b"NIL"
    if isinstance(value, str):
        return _short(value) if len(value) <= _SHORT_CHARS else _quoted(value.encode(*_UTF8))
    return _quoted(value)


@lru_cache(maxsize=2048)
def _short(value: str) -> bytes:
    """The same of a text: types, parameters and domains are mostly the same ones."""
    return _quoted(value.encode(*_UTF8))


def _quoted(raw: bytes) -> bytes:
    if _PLAIN.fullmatch(raw):
        return b'"%b"' % raw
    raw = raw.replace(b"\0", b"")
    if _QUOTABLE.fullmatch(raw):
        return b'"%b"' % _ESCAPED.sub(rb"\\\g<0>", raw)
    return b"{%d}\r\n%b" % (len(raw), raw)


def envelope_wire(env: Envelope) -> bytes:
    """The value of FETCH ENVELOPE: `(date subject from sender reply-to to cc bcc in-reply-to
    message-id)`.
    """
    from_ = _addresses(env.from_)
    return b"(%b %b %b %b %b %b %b %b %b %b)" % (
        nstring(env.date),
        nstring(env.subject),
        from_,
        from_ if env.sender is env.from_ else _addresses(env.sender),
        from_ if env.reply_to is env.from_ else _addresses(env.reply_to),
        _addresses(env.to),
        _addresses(env.cc),
        _addresses(env.bcc),
        nstring(env.in_reply_to),
        nstring(env.message_id),
    )


def _addresses(items: Sequence[AddressItem]) -> bytes:
    return b"(%b)" % b"".join(map(_address, items)) if items else b"NIL"


def _address(item: AddressItem) -> bytes:
    if isinstance(item, Group):
        name = nstring(item.name if item.raw_name is None else item.raw_name)
        members = b"".join(map(_address, item.members))
        return b"(NIL NIL %b NIL)%b(NIL NIL NIL NIL)" % (name, members)
    # A host that is NIL would announce a group, so a missing domain is the empty string.
    return b"(%b %b %b %b)" % (
        nstring(_raw_name(item)),
        nstring(item.route),
        nstring(item.local),
        nstring(item.domain),
    )


def _raw_name(item: Mailbox) -> bytes | str | None:
    return item.name if item.raw_name is None else item.raw_name


def bodystructure_wire(part: Part, buffer: Buffer, *, extended: bool) -> bytes:
    """The value of FETCH BODYSTRUCTURE (`extended`) or BODY for `part` of the message in `buffer`.

    The headers of embedded messages are read from `buffer`. Recursion is bounded by MAX_DEPTH.
    """
    return body_wires(part, buffer)[extended]


def body_wires(part: Part, buffer: Buffer) -> tuple[bytes, bytes]:
    """The values of FETCH BODY and FETCH BODYSTRUCTURE together, for what they share."""
    if part.is_multipart:
        return _multipart(part, buffer)
    params = _params(part.params + _default_params(part))
    head = b"(%b %b %b %b %b %b %d" % (
        nstring(part.type),
        nstring(part.subtype),
        params,
        nstring(part.content_id),
        nstring(part.description),
        nstring(part.encoding),
        part.size_bytes,
    )
    tail = b" %b %b)" % (nstring(part.md5), _extension(part))
    if part.type == "text":
        head += b" %d" % part.lines
    elif part.is_message:
        envelope, (body, bodystructure) = _embedded(part, buffer)
        head += b" " + envelope
        lines = b" %d" % part.lines
        return b"%b %b%b)" % (head, body, lines), b"%b %b%b%b" % (head, bodystructure, lines, tail)
    return head + b")", head + tail


def _multipart(part: Part, buffer: Buffer) -> tuple[bytes, bytes]:
    children = [body_wires(child, buffer) for child in part.numbered]
    body = b"".join([short for short, _ in children])
    bodystructure = b"".join([long for _, long in children])
    subtype = nstring(part.subtype)
    return (
        b"(%b %b)" % (body, subtype),
        b"(%b %b %b %b)" % (bodystructure, subtype, _params(part.params), _extension(part)),
    )


def _embedded(part: Part, buffer: Buffer) -> tuple[bytes, tuple[bytes, bytes]]:
    """Envelope and body of an embedded message.

    An empty text where the scan did not descend, for the grammar has no other form.
    """
    if part.children:
        child = part.children[0]
    else:
        child = Part(part.body_start, part.body_start, part.body_start, 0, "text", "plain")
    end = min(child.body_start, child.header_start + MAX_HEADER_BYTES)
    envelope = parse_envelope(bytes(buffer[child.header_start : end]))
    return envelope_wire(envelope), body_wires(child, buffer)


def _extension(part: Part) -> bytes:
    """`disposition language location`, the extension fields that all bodies end with."""
    disposition = b"NIL"
    if part.disposition:
        kind, params = part.disposition
        disposition = b"(%b %b)" % (nstring(kind), _params(params))
    languages = [nstring(tag) for tag in part.language]
    language = b"(%b)" % b" ".join(languages) if len(languages) > 1 else (languages or [b"NIL"])[0]
    return b"%b %b %b" % (disposition, language, nstring(part.location))


def _default_params(part: Part) -> Parameters:
    """RFC 2046 4.1.2: plain text without a charset is US-ASCII."""
    is_plain = part.type == "text" and part.subtype == "plain" and part.param("charset") is None
    return (("charset", "us-ascii"),) if is_plain else ()


def _params(params: Parameters) -> bytes:
    pairs = [pair for name, value in params for pair in _param(name, value)]
    return b"(%b)" % b" ".join(pairs) if pairs else b"NIL"


def _param(name: str, value: str) -> tuple[bytes, bytes]:
    """RFC 2231 6: pieces are sent joined; a value that is not ASCII is sent in the encoding of
    RFC 2231 4.
    """
    if value.isascii():
        return nstring(name), nstring(value)
    raw = value.encode("utf-8", "replace")
    return nstring(name + "*"), nstring("utf-8''" + quote(raw, safe=""))
