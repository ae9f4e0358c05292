"""One pass over a message that finds the byte offsets of its parts: linear time, no recursion,
never raises on any input.

RFC 2046 5.1 (multipart), 5.1.5 (digest), 5.2.1 (message/rfc822). It must not look at bodies line
by line: `find` does that.
"""

import mmap
from typing import Final

from rmail_kernel.mime.content import MESSAGE, PLAIN, ContentFields, parse_content
from rmail_kernel.mime.structure import Buffer, Part

MAX_DEPTH: Final = 100
"""Levels of nesting below the message; a part at this level is not descended into."""
MAX_PARTS: Final = 10_000
"""Parts of a message; what follows stays in the last one."""
MAX_HEADER_BYTES: Final = 1024 * 1024
"""Bytes of one header section in which Content-* fields are looked for."""
MAX_BOUNDARY_BYTES: Final = 256
"""Length of a boundary (RFC 2046 says 70); a multipart with a longer one is not descended into."""

_COUNT_CHUNK_BYTES: Final = 1024 * 1024


def scan(buffer: Buffer) -> Part:
    """The structure of the whole message in `buffer`.

    Lines end with LF or CRLF. Memory besides the result is bounded by MAX_HEADER_BYTES for bytes
    and maps; a memoryview that does not show a whole such object is copied.
    """
    return _Scan(_searchable(buffer)).run()


def _searchable(buffer: Buffer) -> bytes | mmap.mmap:
    if not isinstance(buffer, memoryview):
        return buffer
    whole = buffer.obj
    if isinstance(whole, bytes | mmap.mmap) and buffer.contiguous and len(whole) == buffer.nbytes:
        return whole
    return bytes(buffer)


class _Open:
    """A part whose end has not been found."""

    __slots__ = (
        "body_start",
        "children",
        "content",
        "header_start",
        "keys",
        "line_ends",
        "shadowed",
    )

    def __init__(
        self, header_start: int, body_start: int, content: ContentFields, line_ends: int
    ) -> None:
        self.header_start = header_start
        self.body_start = body_start
        self.content = content
        self.line_ends = line_ends
        self.children: list[Part] = []
        self.keys: tuple[bytes, ...] = ()
        self.shadowed: tuple[_Delimiter | None, ...] = ()

    @property
    def is_message(self) -> bool:
        return self.content.type == "message" and self.content.subtype in ("rfc822", "global")


class _Delimiter:
    """What a line after its `--` says: next part, or end, of the multipart at `level` of the
    stack.
    """

    __slots__ = ("is_close", "level")

    def __init__(self, level: int, is_close: bool) -> None:
        self.level = level
        self.is_close = is_close


class _Scan:
    def __init__(self, data: bytes | mmap.mmap) -> None:
        self.data = data
        self.end = len(data)
        self.stack: list[_Open] = []
        self.delimiters: dict[bytes, _Delimiter] = {}
        self.part_count = 0
        self.open_messages = 0
        self.counted_to = 0
        self.line_ends = 0
        self.crlf_blank = -1
        self.lf_blank = -1

    def run(self) -> Part:
        position, default = 0, PLAIN
        while True:
            part = self._open(position, default)
            position, default = part.body_start, PLAIN
            if part.is_message and self._has_room():
                continue
            delimiter = None
            while delimiter is None or delimiter.is_close:
                found = self._next_delimiter(position, self.end) if self._has_parts_left() else None
                if found is None:
                    self._close_above(0, self.end)
                    return self._close(self.end)
                line_start, position, delimiter = found
                self._close_above(delimiter.level, self._before_line(line_start))
                if delimiter.is_close:
                    self._retire(self.stack[-1])
            if self.stack[-1].content.subtype == "digest":  # RFC 2046 5.1.5
                default = MESSAGE

    def _has_parts_left(self) -> bool:
        return self.part_count < MAX_PARTS

    def _has_room(self) -> bool:
        return len(self.stack) <= MAX_DEPTH and self._has_parts_left()

    def _open(self, start: int, default: ContentFields) -> _Open:
        body_start = self._header_end(start)
        raw_header = self.data[start : min(body_start, start + MAX_HEADER_BYTES)]
        content = parse_content(raw_header, default)
        self._skip_to(body_start)
        part = _Open(start, body_start, content, self.line_ends)
        self.stack.append(part)
        self.part_count += 1
        if content.type == "multipart":
            self._watch(part)
        elif part.is_message:
            self.open_messages += 1
        return part

    def _watch(self, part: _Open) -> None:
        boundary = (dict(part.content.params).get("boundary") or "").rstrip()
        raw = boundary.encode("utf-8", "replace")
        if not 0 < len(raw) <= MAX_BOUNDARY_BYTES or not self._has_room():
            return
        level = len(self.stack) - 1
        part.keys = (raw, raw + b"--")
        part.shadowed = tuple(self.delimiters.get(key) for key in part.keys)
        self.delimiters[raw] = _Delimiter(level, False)
        self.delimiters[raw + b"--"] = _Delimiter(level, True)

    def _retire(self, part: _Open) -> None:
        """The delimiters of `part` mean what they meant before it; parts retire in the reverse
        order of their opening.
        """
        for key, before in zip(part.keys, part.shadowed, strict=True):
            if before is None:
                self.delimiters.pop(key, None)
            else:
                self.delimiters[key] = before
        part.keys = part.shadowed = ()

    def _header_end(self, start: int) -> int:
        """Where the body begins: after the blank line, or at a boundary line that comes before
        it.
        """
        data = self.data
        opening = data[start : start + 2]
        if opening == b"\r\n":
            return start + 2
        if opening[:1] == b"\n":
            return start + 1
        blank, body_start = self._blank_line(start)
        if self.delimiters:
            found = self._next_delimiter(start, blank)
            if found is not None:
                return found[0]
        return body_start

    def _blank_line(self, start: int) -> tuple[int, int]:
        """The line end before the next blank line, and the place after that. Each byte is
        searched once in all calls.
        """
        if self.crlf_blank < start:
            found = self.data.find(b"\n\r\n", start)
            self.crlf_blank = self.end if found < 0 else found
        if self.lf_blank < start:
            found = self.data.find(b"\n\n", start, self.crlf_blank + 1)
            self.lf_blank = self.end if found < 0 else found
        if self.lf_blank < self.crlf_blank:
            return self.lf_blank, self.lf_blank + 2
        return self.crlf_blank, min(self.crlf_blank + 3, self.end)

    def _next_delimiter(self, position: int, limit: int) -> tuple[int, int, _Delimiter] | None:
        """The next line from the line start `position` that is an open delimiter: its start, the
        next line, its meaning.
        """
        delimiters = self.delimiters
        if not delimiters:
            return None
        data = self.data
        needle = b"\n--"
        if len(delimiters) == 2:
            needle += min(delimiters, key=len)  # a longer needle is found several times faster
        at = data.find(needle, position - 1, limit)
        while at >= 0:
            line_end = data.find(b"\n", at + 3)
            if line_end < 0:
                line_end = self.end
            # RFC 2046 5.1.1 would let a line merely begin with the boundary; then a part whose own
            # boundary begins with the outer one would end it. Only white space may follow.
            line = data[at + 3 : min(line_end, at + 2 * MAX_BOUNDARY_BYTES)]
            delimiter = delimiters.get(line.rstrip(b" \t\r"))
            if delimiter is not None:
                return at + 1, min(line_end + 1, self.end), delimiter
            at = data.find(needle, line_end, limit)
        return None

    def _before_line(self, line_start: int) -> int:
        """Without the line end that belongs to the boundary (RFC 2046 5.1.1)."""
        return line_start - (2 if self.data[line_start - 2 : line_start - 1] == b"\r" else 1)

    def _close_above(self, level: int, end: int) -> None:
        while len(self.stack) > level + 1:
            closed = self._close(end)
            self.stack[-1].children.append(closed)

    def _close(self, end: int) -> Part:
        part = self.stack.pop()
        self._retire(part)
        content, children = part.content, tuple(part.children)
        # A header that a boundary cut short ends at that line: the parts around it end there too.
        end = max(end, part.body_start, children[-1].body_end if children else 0)
        lines = 0
        if (
            content.type == "text"
            or part.is_message
            or (content.type == "multipart" and not children)
        ):
            self._count_to(end)
            lines = self.line_ends - part.line_ends
        if part.is_message:
            self.open_messages -= 1
        return Part(part.header_start, part.body_start, end, lines, *content, children)

    def _skip_to(self, position: int) -> None:
        """Go on without counting, unless an embedded message, whose lines count, is open."""
        if self.open_messages:
            self._count_to(position)
        else:
            self.counted_to = position

    def _count_to(self, position: int) -> None:
        start, data = self.counted_to, self.data
        self.counted_to = position
        if isinstance(data, bytes):
            self.line_ends += data.count(b"\n", start, position)
            return
        for at in range(start, position, _COUNT_CHUNK_BYTES):
            self.line_ends += data[at : min(at + _COUNT_CHUNK_BYTES, position)].count(b"\n")
