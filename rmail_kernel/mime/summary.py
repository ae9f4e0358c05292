"""All that storage keeps of a message's structure, made once at delivery: offsets, ENVELOPE,
BODY, BODYSTRUCTURE, listed headers.

RFC 9051 7.5.2. The encoded structure carries a version, so that a store of another version is
noticed and rebuilt.
"""

from typing import Final

import msgspec

from rmail_kernel.mime.envelope import Envelope, envelope_of
from rmail_kernel.mime.headers import fields_and_block
from rmail_kernel.mime.imap import body_wires, envelope_wire
from rmail_kernel.mime.scanner import MAX_HEADER_BYTES, scan
from rmail_kernel.mime.structure import Buffer, Part
from rmail_kernel.mime.text import preview

CACHED_FIELDS: Final = frozenset(
    {b"from", b"to", b"cc", b"bcc", b"sender", b"reply-to", b"subject", b"date", b"message-id"}
    | {b"in-reply-to", b"references", b"content-type", b"content-transfer-encoding"}
    | {b"mime-version", b"priority", b"x-priority", b"importance", b"list-id", b"list-post"}
    | {b"list-unsubscribe", b"newsgroups", b"x-mailer", b"user-agent", b"return-path"}
    | {b"delivered-to", b"received-spf", b"authentication-results", b"auto-submitted"}
    | {b"x-spam-status", b"x-spam-flag"}
)
"""Fields, in lower case, that mail clients' list views ask for; DKIM-Signature is too long for
its use.
"""

MAX_CACHED_HEADER_BYTES: Final = 64 * 1024

_VERSION: Final = b"\x01"
_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(Part)


class Summary(msgspec.Struct, frozen=True):
    """What is asked of a message most.

    `raw_envelope`, `raw_body` and `raw_bodystructure` are wire forms of FETCH. `raw_headers` holds
    the raw lines of CACHED_FIELDS and a blank line, for `field_block`. `headers_complete` is False
    if those lines are more than MAX_CACHED_HEADER_BYTES or lie past MAX_HEADER_BYTES: then
    `raw_headers` ends after a whole field, and the message itself must be read. `envelope`
    and the value of References are what `message_keys` is made of; `preview` is RFC 8970's.
    """

    structure: Part
    raw_envelope: bytes
    raw_body: bytes
    raw_bodystructure: bytes
    raw_headers: bytes
    headers_complete: bool
    envelope: Envelope
    raw_references: bytes | None
    preview: str


def summarise(buffer: Buffer) -> Summary:
    """Scan the whole message in `buffer` and render what is asked of it most."""
    root = scan(buffer)
    header_end = min(root.body_start, MAX_HEADER_BYTES)
    header_fields, cached = fields_and_block(bytes(buffer[:header_end]), CACHED_FIELDS)
    raw_headers = _whole_fields(cached)
    envelope = envelope_of(header_fields)
    return Summary(
        root,
        envelope_wire(envelope),
        *body_wires(root, buffer),
        raw_headers,
        len(raw_headers) == len(cached) and header_end == root.body_start,
        envelope,
        next((value for name, value in header_fields if name == b"references"), None),
        preview(buffer, root),
    )


def _whole_fields(block: bytes) -> bytes:
    """`block`, cut after the last whole field within the bound if it is longer."""
    if len(block) <= MAX_CACHED_HEADER_BYTES:
        return block
    end = block.rfind(b"\n", 0, MAX_CACHED_HEADER_BYTES) + 1
    while end and block[end : end + 1] in b" \t":
        end = block.rfind(b"\n", 0, end - 1) + 1
    return block[:end]


def encode_structure(structure: Part) -> bytes:
    """`structure` for storing: a version byte and MessagePack."""
    return _VERSION + _ENCODER.encode(structure)


def decode_structure(raw: bytes) -> Part:
    """What `encode_structure` gave. ValueError for another version or damaged bytes."""
    if raw[:1] != _VERSION:
        raise ValueError(f"structure of unknown version {raw[:1].hex() or 'none'}")
    try:
        return _DECODER.decode(memoryview(raw)[1:])
    except msgspec.DecodeError as error:
        raise ValueError("damaged structure") from error
