"""The Content-* fields of one header section, for the scan. Never raises; what does not parse
takes the RFC's default.

RFC 2045 5.2 and 6.1, RFC 2046 5.1.5, RFC 2183, RFC 3282, RFC 1864, RFC 2557 4.
"""

import re
from functools import lru_cache
from typing import Final, NamedTuple

from rmail_kernel.mime.charsets import decode_raw
from rmail_kernel.mime.headers import unfold
from rmail_kernel.mime.parameters import Parameters, parse_parameters


class ContentFields(NamedTuple):
    """What the Content-* fields say, in the order of the fields of `Part`."""

    type: str
    subtype: str
    params: Parameters = ()
    content_id: str | None = None
    description: str | None = None
    encoding: str = "7bit"
    md5: str | None = None
    location: str | None = None
    disposition: tuple[str, Parameters] | None = None
    language: tuple[str, ...] = ()


PLAIN: Final = ContentFields("text", "plain")
MESSAGE: Final = ContentFields("message", "rfc822")

MAX_FIELD_BYTES: Final = 16 * 1024
"""Bytes of one Content-* field that are read."""
_COMMON_BYTES: Final = 200

_FIELD_END: Final = re.compile(rb"\n(?![ \t])")
_TOKEN: Final = rb"[!#$%&'*+\-.0-9A-Z^_`a-z{|}~]++"
_COMMENTS: Final = rb"\s*+(?:\([^()]*+\)\s*+)*+"
_TYPE: Final = re.compile(_COMMENTS + rb"(" + _TOKEN + rb")\s*+/\s*+(" + _TOKEN + rb")")
_WORD: Final = re.compile(_COMMENTS + rb"(" + _TOKEN + rb")")
_LANGUAGE: Final = re.compile(rb"[A-Za-z0-9*_-]+")


def parse_content(raw_header: bytes, default: ContentFields) -> ContentFields:
    """The content fields of `raw_header`; `default` is the type that a part has without a
    Content-Type (RFC 2046 5.1.5).
    """
    # Parts of messages mostly have one of a few headers.
    parse = _common_content if len(raw_header) <= _COMMON_BYTES else _parse
    return parse(raw_header, default)


@lru_cache(maxsize=512)
def _common_content(raw_header: bytes, default: ContentFields) -> ContentFields:
    return _parse(raw_header, default)


def _parse(raw_header: bytes, default: ContentFields) -> ContentFields:
    found = _content_fields(raw_header)
    if not found:
        return default
    kind, subtype, params = default[:3]
    if b"type" in found:
        value = found[b"type"]
        kind, subtype, params = _common_type(value) if len(value) <= 80 else _type(value)
    return ContentFields(
        kind,
        subtype,
        params,
        _text(found.get(b"id")),
        _text(found.get(b"description")),
        _word(found.get(b"transfer-encoding")) or "7bit",
        _text(found.get(b"md5")),
        _text(found.get(b"location")),
        _disposition(found.get(b"disposition")),
        _languages(found.get(b"language")),
    )


def _content_fields(raw_header: bytes) -> dict[bytes, bytes]:
    """The unfolded value of the first field of each `Content-` name, by the rest of its name in
    lower case.
    """
    raw = b"\n" + raw_header
    lower = raw.lower()
    found: dict[bytes, bytes] = {}
    at = lower.find(b"\ncontent-")
    while at >= 0:
        end = _FIELD_END.search(raw, at + 9)
        stop = end.start() if end else len(raw)
        colon = lower.find(b":", at, stop)
        if colon >= 0:
            value = raw[colon + 1 : min(stop, colon + MAX_FIELD_BYTES)]
            found.setdefault(lower[at + 9 : colon].rstrip(), unfold(value))
        at = lower.find(b"\ncontent-", stop)
    return found


@lru_cache(maxsize=512)
def _common_type(value: bytes) -> tuple[str, str, Parameters]:
    return _type(value)


def _type(value: bytes) -> tuple[str, str, Parameters]:
    match = _TYPE.match(value)
    if match is None:
        return PLAIN[:3]  # RFC 2045 5.2: a type that does not parse is text/plain.
    params = parse_parameters(value, match.end()) if match.end() < len(value) else ()
    return match[1].decode().lower(), match[2].decode().lower(), params


def _text(value: bytes | None) -> str | None:
    return None if value is None else decode_raw(value)


def _word(value: bytes | None) -> str | None:
    match = _WORD.match(value) if value else None
    return match[1].decode().lower() if match else None


def _disposition(value: bytes | None) -> tuple[str, Parameters] | None:
    match = _WORD.match(value) if value else None
    if match is None or value is None:
        return None
    return match[1].decode().lower(), parse_parameters(value, match.end())


def _languages(value: bytes | None) -> tuple[str, ...]:
    return tuple(tag.decode() for tag in _LANGUAGE.findall(value)) if value else ()
