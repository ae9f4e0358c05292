"""Message bytes under way: immutable, in memory while small, in a temporary file when large,
never copied to add headers.

A Content is a prefix of added header bytes and a body of original bytes. It must never hold more
than SPOOL_BYTES of one message in memory.
"""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.header import Header
from pathlib import Path

from rmail_kernel.errors import Invalid, Temporary, TooLarge
from rmail_kernel.mime import decode_words, fields
from rmail_kernel.mime.headers import logical_lines

SPOOL_BYTES = 1 << 20
CHUNK_BYTES = 1 << 18
MAX_HEADER_BYTES = 1 << 18
_USUAL_HEADER_BYTES = 1 << 14
_FOLD = 76
_NO_ROOM = "There is no room for the message now"


class SpoolFile:
    """An unlinked temporary file that lives as long as something refers to it.

    Args:
        directory: where it is made, itself too if need be; None: the system's temporary folder.

    Raises:
        Temporary: it cannot be made.
    """

    def __init__(self, directory: Path | None = None) -> None:
        try:
            if directory is not None:
                directory.mkdir(mode=0o700, exist_ok=True)
            self._fd, path = tempfile.mkstemp(dir=directory, prefix="spool-")
        except OSError as error:
            raise Temporary(_NO_ROOM, error=str(error)) from error
        weakref.finalize(self, os.close, self._fd)
        Path(path).unlink()
        self.size = 0

    @classmethod
    def opened(cls, path: Path) -> SpoolFile:
        """A file that exists, to read; it stays readable when its name goes.

        Raises:
            OSError: it cannot be opened.
        """
        file = cls.__new__(cls)
        file._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(file, os.close, file._fd)
        file.size = os.fstat(file._fd).st_size
        return file

    def fileno(self) -> int:
        """The descriptor, for os.pread."""
        return self._fd

    def append(self, piece: bytes) -> None:
        """Writes at the end. Temporary: the disk is full or broken."""
        view = memoryview(piece)
        while view:
            try:
                written = os.write(self._fd, view)
            except OSError as error:
                raise Temporary(_NO_ROOM, error=str(error)) from error
            self.size += written
            view = view[written:]


@dataclass(frozen=True, slots=True)
class Content:
    """The bytes of one message.

    Args:
        head: bytes in front of the original: added or rewritten header fields.
        body: the original message, from `skip` on.
        skip: how many bytes at the start of `body` are replaced by `head`.
    """

    head: bytes
    body: bytes | SpoolFile
    skip: int = 0

    @classmethod
    def of(cls, raw: bytes) -> Content:
        """A message that is in memory already."""
        return cls(b"", raw)

    @property
    def size(self) -> int:
        """Bytes in all."""
        body = self.body
        length = len(body) if isinstance(body, bytes) else body.size
        return len(self.head) + length - self.skip

    def chunks(self) -> Iterator[bytes]:
        """The bytes in order, in pieces of at most CHUNK_BYTES where the message is spooled.

        Raises:
            Invalid: the spooled message is shorter than it was.
        """
        if self.head:
            yield self.head
        if isinstance(self.body, bytes):
            yield self.body[self.skip :] if self.skip else self.body
            return
        at = self.skip
        while at < self.body.size:
            piece = os.pread(self.body.fileno(), CHUNK_BYTES, at)
            if not piece:
                raise Invalid("The spooled message is shorter than it was")
            at += len(piece)
            yield piece

    def read(self) -> bytes:
        """All of it in memory: for small messages and tests."""
        return b"".join(self.chunks())

    def read_range(self, start: int, end: int) -> bytes:
        """The bytes [start, end), in memory."""
        raw = self.head[start:end]
        first = max(0, start - len(self.head)) + self.skip
        count = end - max(start, len(self.head))
        if count <= 0:
            return raw
        if isinstance(self.body, bytes):
            return raw + self.body[first : first + count]
        return raw + os.pread(self.body.fileno(), count, first)

    def raw_header(self) -> bytes:
        """The header block with its empty line, at most MAX_HEADER_BYTES of it (RFC 5322 2.1)."""
        raw = self.head + self._start(_USUAL_HEADER_BYTES)
        end = _header_end(raw)
        if end is None:
            raw = self.head + self._start(MAX_HEADER_BYTES)
            end = _header_end(raw)
        return raw[:end]

    def _start(self, limit_bytes: int) -> bytes:
        if isinstance(self.body, bytes):
            return self.body[self.skip : self.skip + limit_bytes]
        return os.pread(self.body.fileno(), limit_bytes, self.skip)

    def header(self, name: str) -> str:
        """The decoded value of the first field `name`, or '' (RFC 2047 words decoded)."""
        wanted = name.lower().encode()
        for raw_name, raw_value in fields(self.raw_header()):
            if raw_name.lower() == wanted:
                return decode_words(raw_value).strip()
        return ""

    def with_added_header(self, name: str, value: str) -> Content:
        """A copy with one more field on top."""
        return Content(_field(name, value) + self.head, self.body, self.skip)

    def with_raw_prefix(self, raw: bytes) -> Content:
        """A copy with complete, CRLF-ended raw header lines on top (trace fields)."""
        return Content(raw + self.head, self.body, self.skip)

    def with_header(self, name: str, value: str) -> Content:
        """A copy in which every field `name` is replaced by one with `value`, in the place of the
        first.
        """
        raw, end = self._editable()
        wanted = name.lower().encode()
        lines, done = [], False
        for raw_name, raw_line in logical_lines(raw):
            if raw_name is None or raw_name.lower() != wanted:
                lines.append(raw_line if raw_line.endswith(b"\n") else raw_line + b"\r\n")
            elif not done:
                lines.append(_field(name, value))
                done = True
        if not done:
            lines.insert(0, _field(name, value))
        return self._rewritten(raw, b"".join(lines) + end)

    def without_fields(self, is_unwanted: Callable[[bytes, bytes], bool]) -> Content:
        """A copy without the fields that `is_unwanted(raw_name, raw_line)` picks."""
        raw, end = self._editable()
        lines = list(logical_lines(raw))
        kept = [line for name, line in lines if name is None or not is_unwanted(name, line)]
        if len(kept) == len(lines):
            return self
        return self._rewritten(raw, b"".join(kept) + end)

    def _editable(self) -> tuple[bytes, bytes]:
        """The header, and what must end it when it is written anew."""
        raw = self.raw_header()
        if _header_end(raw) is None and len(raw) < self.size:
            # The header is longer than what is read of it: the rest stays as it is.
            return raw[: raw.rfind(b"\n") + 1], b""
        return raw, b"\r\n"

    def _rewritten(self, raw_old: bytes, raw_new: bytes) -> Content:
        consumed = len(raw_old) - len(self.head)
        if consumed < 0:
            raise Invalid("The message has no header of its own")
        return Content(raw_new, self.body, self.skip + consumed)


class ContentWriter:
    """Collects a message as it arrives: in memory while small, then in an unlinked file.

    Args:
        directory: where the file goes (default: the system's temporary folder).
        limit_bytes: larger messages raise TooLarge.
        memory_bytes: from what size on it is a file.
    """

    def __init__(
        self,
        directory: Path | None = None,
        limit_bytes: int | None = None,
        memory_bytes: int = SPOOL_BYTES,
    ) -> None:
        self._directory = directory
        self._memory = memory_bytes
        self._limit = limit_bytes
        self._pieces: list[bytes] = []
        self._file: SpoolFile | None = None
        self.size = 0

    def __enter__(self) -> ContentWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._pieces.clear()

    def write(self, piece: bytes) -> None:
        """Takes the next bytes.

        Raises:
            TooLarge: the limit is passed; what was written is dropped.
            Temporary: the disk is full or broken.
        """
        self.size += len(piece)
        if self._limit is not None and self.size > self._limit:
            self._pieces.clear()
            raise TooLarge("The message is too large", limit_bytes=self._limit)
        if self._file is None and self.size > self._memory:
            self._file = SpoolFile(self._directory)
            self._file.append(b"".join(self._pieces))
            self._pieces.clear()
        if self._file is None:
            self._pieces.append(piece)
        else:
            self._file.append(piece)

    def finish(self) -> Content:
        """The message, complete."""
        if self._file is None:
            return Content(b"", b"".join(self._pieces))
        return Content(b"", self._file)


def _header_end(raw: bytes) -> int | None:
    if raw.startswith(b"\r\n"):  # RFC 5322 3.5: the body follows at once
        return 2
    end = raw.find(b"\r\n\r\n")
    bare = raw.find(b"\n\n", 0, end if end >= 0 else len(raw))  # the body is not searched
    if bare >= 0:
        return bare + 2
    return end + 4 if end >= 0 else None


def _field(name: str, value: str) -> bytes:
    """One header field, RFC 2047 encoded and folded (RFC 5322 2.2.3)."""
    if not name or not name.isascii() or any(c <= " " or c in ":\x7f" for c in name):
        raise Invalid("Not a header field name", name=name)
    text = " ".join(value.split("\r\n")).replace("\r", " ").replace("\n", " ")
    if text.isascii():
        return f"{name}: {text}\r\n".encode("ascii")
    folded = Header(text, "utf-8", header_name=name, maxlinelen=_FOLD).encode(linesep="\r\n")
    return f"{name}: {folded}\r\n".encode("ascii")
