"""Replies of an SMTP server, read out of a bounded buffer (RFC 5321 4.2, RFC 2034, RFC 3463).

It must never keep more than MAX_LINES lines of MAX_LINE_BYTES, whatever the peer sends.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from rmail_kernel.errors import Invalid

MAX_LINE_BYTES = 2048
"""RFC 5321 4.5.3.1.5 allows 512; some servers explain at length."""
MAX_LINES = 128
MAX_TEXT_CHARS = 1000
"""Of the text of a reply that logs and notices show."""
_LINE = re.compile(rb"([2-5][0-9][0-9])(?:([ -])(.*))?\Z", re.S)
# RFC 3463 2: class "." subject "." detail, at the start of the text
_STATUS = re.compile(r"([245])\.(\d{1,3})\.(\d{1,3})(?: |\Z)")


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply; `lines` are the texts behind the code, without line ends."""

    code: int
    lines: tuple[str, ...]

    @property
    def is_positive(self) -> bool:
        """2yz: done."""
        return 200 <= self.code < 300

    @property
    def status(self) -> str:
        """The enhanced status; where the peer gave none of its class, the plainest one."""
        kind = str(self.code // 100)
        found = _STATUS.match(self.lines[-1]) or _STATUS.match(self.lines[0])
        if found and found[1] == kind:
            return f"{found[1]}.{int(found[2])}.{int(found[3])}"
        return f"{kind}.0.0" if kind in "245" else "4.5.0"

    @property
    def text(self) -> str:
        """All lines as one of printable characters, without the status codes."""
        plain = (_STATUS.sub("", line, count=1).strip() for line in self.lines)
        joined = " ".join(filter(None, plain))[:MAX_TEXT_CHARS]
        return "".join(letter if letter.isprintable() else "?" for letter in joined)


class ReplyParser:
    """Takes lines until a reply is whole."""

    def __init__(self) -> None:
        self._code = 0
        self._lines: list[str] = []

    def take(self, raw_line: bytes) -> Reply | None:
        """One line, without its line end; the reply when it was the last one.

        Raises:
            Invalid: it is no line of a reply, or one too many.
        """
        found = _LINE.match(raw_line)
        if found is None or len(raw_line) > MAX_LINE_BYTES:
            raise Invalid("The peer sent what is no SMTP reply")
        code = int(found[1])
        if self._lines and code != self._code:  # RFC 5321 4.2.1
            raise Invalid("The peer mixed codes in one reply")
        if len(self._lines) >= MAX_LINES:
            raise Invalid("The peer sent a reply without end")
        self._code = code
        self._lines.append((found[3] or b"").decode("utf-8", "replace"))
        if found[2] == b"-":
            return None
        reply = Reply(code, tuple(self._lines))
        self._lines = []
        return reply
