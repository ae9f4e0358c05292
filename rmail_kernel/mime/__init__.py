"""Messages as byte offsets: one scan at delivery, from which IMAP, the API, search, DSN and
webmail slice.

RFC 5322, 2045-2047, 2183, 2231, 9051. It depends on no other part of the kernel and does no input
or output.
"""

from rmail_kernel.mime.addresses import AddressItem, Group, Mailbox, addresses
from rmail_kernel.mime.envelope import Envelope, parse_envelope
from rmail_kernel.mime.headers import decode_words, field_block, fields, first, unfold
from rmail_kernel.mime.imap import bodystructure_wire, envelope_wire
from rmail_kernel.mime.keys import (
    MessageKeys,
    decode_keys,
    encode_keys,
    keys_reader,
    message_keys,
)
from rmail_kernel.mime.scanner import (
    MAX_BOUNDARY_BYTES,
    MAX_DEPTH,
    MAX_HEADER_BYTES,
    MAX_PARTS,
    scan,
)
from rmail_kernel.mime.section import Section, SectionKind, find_part, locate
from rmail_kernel.mime.structure import Buffer, Part
from rmail_kernel.mime.subject import base_subject
from rmail_kernel.mime.summary import (
    CACHED_FIELDS,
    MAX_CACHED_HEADER_BYTES,
    Summary,
    decode_structure,
    encode_structure,
    summarise,
)
from rmail_kernel.mime.text import decode_body, message_text, preview, text_of, walk

__all__ = [
    "CACHED_FIELDS",
    "MAX_BOUNDARY_BYTES",
    "MAX_CACHED_HEADER_BYTES",
    "MAX_DEPTH",
    "MAX_HEADER_BYTES",
    "MAX_PARTS",
    "AddressItem",
    "Buffer",
    "Envelope",
    "Group",
    "Mailbox",
    "MessageKeys",
    "Part",
    "Section",
    "SectionKind",
    "Summary",
    "addresses",
    "base_subject",
    "bodystructure_wire",
    "decode_body",
    "decode_keys",
    "decode_structure",
    "decode_words",
    "encode_keys",
    "encode_structure",
    "envelope_wire",
    "field_block",
    "fields",
    "find_part",
    "first",
    "keys_reader",
    "locate",
    "message_keys",
    "message_text",
    "parse_envelope",
    "preview",
    "scan",
    "summarise",
    "text_of",
    "unfold",
    "walk",
]
