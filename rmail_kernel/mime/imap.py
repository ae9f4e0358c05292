"""The wire forms of ENVELOPE, BODY and BODYSTRUCTURE, rendered once at delivery and sent as they
are.

RFC 9051 7.5.2 and 9, RFC 3501 9, RFC 2231 6. What a quoted string cannot hold goes as a literal,
so that clients of both read it.
"""

import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

from .addresses import AddressItem, Group, Mailbox
from .envelope import Envelope, parse_envelope
from .parameters import Parameters
from .structure import Buffer, Part

_PLAIN: Final = re.compile(rb"[\x01-\x09\x0b\x0c\x0e-\x21\x23-\x5b\x5d-\x7f]*+")
_QUOTABLE: Final = re.compile(rb"[\x01-\x09\x0b\x0c\x0e-\x7f]*+")
_ESCAPED: Final = re.compile(rb'[\\"]')


def nstring(value: bytes | str | None) -> bytes:
    """NIL, a quoted string, or a literal for 8-bit bytes and line ends; NUL has no form in IMAP
    and is left out.
    """
    if value is None:
        return b"NIL"
    raw = value.encode("utf-8", "replace") if isinstance(value, str) else value
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
    people = (env.from_, env.sender, env.reply_to, env.to, env.cc, env.bcc)
    return b"(%b %b %b %b %b)" % (
        nstring(env.date),
        nstring(env.subject),
        b" ".join(map(_addresses, people)),
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

    The headers of embedded messages are read from `buffer`. Recursion is bounded by the scan's
    MAX_DEPTH.
    """
    if part.is_multipart:
        return _multipart(part, buffer, extended)
    out = [nstring(part.type), nstring(part.subtype), _params(part.params, _default_params(part))]
    out += [nstring(part.content_id), nstring(part.description), nstring(part.encoding)]
    out.append(b"%d" % part.size_bytes)
    if part.is_message:
        out += _embedded(part, buffer, extended)
    if part.is_message or part.type == "text":
        out.append(b"%d" % part.lines)
    if extended:
        out.append(nstring(part.md5))
        out += _extension(part)
    return b"(%b)" % b" ".join(out)


def _multipart(part: Part, buffer: Buffer, extended: bool) -> bytes:
    children = b"".join(
        bodystructure_wire(child, buffer, extended=extended) for child in part.numbered
    )
    out = [children, nstring(part.subtype)]
    if extended:
        out += [_params(part.params), *_extension(part)]
    return b"(%b)" % b" ".join(out)


def _embedded(part: Part, buffer: Buffer, extended: bool) -> list[bytes]:
    """Envelope and body of an embedded message; an empty text where the scan did not descend, for
    the grammar has no other form.
    """
    if not part.children:
        child = Part(part.body_start, part.body_start, part.body_start, 0, "text", "plain")
    else:
        child = part.children[0]
    envelope = parse_envelope(bytes(buffer[child.header_start : child.body_start]))
    return [envelope_wire(envelope), bodystructure_wire(child, buffer, extended=extended)]


def _extension(part: Part) -> list[bytes]:
    disposition = b"NIL"
    if part.disposition:
        kind, params = part.disposition
        disposition = b"(%b %b)" % (nstring(kind), _params(params))
    languages = [nstring(tag) for tag in part.language]
    language = b"(%b)" % b" ".join(languages) if len(languages) > 1 else (languages or [b"NIL"])[0]
    return [disposition, language, nstring(part.location)]


def _default_params(part: Part) -> Parameters:
    """RFC 2046 4.1.2: plain text without a charset is US-ASCII."""
    is_plain = part.type == "text" and part.subtype == "plain" and part.param("charset") is None
    return (("charset", "us-ascii"),) if is_plain else ()


def _params(params: Parameters, more: Parameters = ()) -> bytes:
    pairs = [pair for name, value in params + more for pair in _param(name, value)]
    return b"(%b)" % b" ".join(pairs) if pairs else b"NIL"


def _param(name: str, value: str) -> tuple[bytes, bytes]:
    """RFC 2231 6: pieces are sent joined; a value that is not ASCII is sent in the encoding of
    RFC 2231 4.
    """
    if value.isascii():
        return nstring(name), nstring(value)
    raw = value.encode("utf-8", "replace")
    return nstring(name + "*"), nstring("utf-8''" + quote(raw, safe=""))
