"""The structure of a message as byte offsets: what one scan at delivery finds and everything
later slices by.

RFC 2045, 2046, 2183, 3282, 9051 7.5.2. A Part never holds bytes of a body.
"""

import mmap

import msgspec

from rmail_kernel.mime.headers import decode_words
from rmail_kernel.mime.parameters import Parameters

Buffer = bytes | memoryview | mmap.mmap
"""A whole message in memory or mapped."""


class Part(msgspec.Struct, frozen=True, array_like=True):
    """One MIME entity. Offsets count bytes from the start of the message.

    The header is [header_start, body_start) with its blank line, the body [body_start, body_end);
    the line end before a boundary belongs to the boundary (RFC 2046 5.1.1). `lines` counts line
    ends of the body of text and message parts and is 0 for others. `type` to `encoding` are lower
    case; `params` and the disposition's parameters are decoded by RFC 2231. `content_id`,
    `description`, `md5` and `location` are unfolded and otherwise as written. `children` are a
    multipart's parts, or the one root of an embedded message; empty where the scan did not
    descend.
    """

    header_start: int
    body_start: int
    body_end: int
    lines: int
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
    children: tuple["Part", ...] = ()

    @property
    def is_multipart(self) -> bool:
        """Whether the type is multipart/*."""
        return self.type == "multipart"

    @property
    def is_message(self) -> bool:
        """Whether the body is a message by its type: message/rfc822 or message/global (RFC 6532
        3.7).
        """
        return self.type == "message" and self.subtype in ("rfc822", "global")

    @property
    def size_bytes(self) -> int:
        """Length of the body in its transfer encoding."""
        return self.body_end - self.body_start

    @property
    def header_range(self) -> tuple[int, int]:
        """[start, end) of the header with its blank line."""
        return self.header_start, self.body_start

    @property
    def body_range(self) -> tuple[int, int]:
        """[start, end) of the body."""
        return self.body_start, self.body_end

    @property
    def numbered(self) -> tuple["Part", ...]:
        """A multipart's parts as clients count them; one text/plain for the body of a multipart
        in which no part was found.

        IMAP has no multipart without parts (RFC 9051 9, body-type-mpart), and so its text stays
        readable as part 1.
        """
        if self.children or not self.is_multipart:
            return self.children
        return (Part(self.body_start, self.body_start, self.body_end, self.lines, "text", "plain"),)

    @property
    def filename(self) -> str | None:
        """The disposition's filename or else the type's name, RFC 2047 words in it decoded; None
        if neither is given.
        """
        disposition = self.disposition[1] if self.disposition else ()
        name = dict(disposition).get("filename") or dict(self.params).get("name")
        return decode_words(name.encode("utf-8", "replace")) if name else None

    def param(self, name: str) -> str | None:
        """The Content-Type parameter `name` (lower case), None if it is not given."""
        return dict(self.params).get(name)
