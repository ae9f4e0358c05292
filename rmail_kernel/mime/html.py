"""The text that a reader of an HTML body sees, in linear time and without building a tree; it
makes nothing safe to display.

Not html.parser: that of older Python versions takes quadratic time on unclosed constructs, and
senders choose the input.
"""

import html
import re
from collections.abc import Iterator
from io import StringIO
from typing import Final

_HIDDEN: Final = frozenset({"script", "style", "head", "template", "noscript", "svg"})
_BLOCKS: Final = frozenset(
    {"address", "article", "aside", "blockquote", "br", "dd", "div", "dl", "dt", "figure", "footer"}
    | {"form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "main", "nav", "ol", "p"}
    | {"pre", "section", "table", "td", "th", "title", "tr", "ul"}
)
_BLOCK_CHARS: Final = 1 << 16
_MAX_REFERENCE_CHARS: Final = 40  # the longest that HTML names has 33
_NAME: Final = re.compile(r"</?([A-Za-z][A-Za-z0-9]*)")


def html_text(source: str) -> str:
    """The text of `source`: no tags, comments, scripts, styles or head, character references
    resolved, white space collapsed.
    """
    shown = StringIO()
    for piece in _pieces(source):
        shown.write(piece)
    return _collapsed(shown.getvalue())


def _collapsed(text: str) -> str:
    """References resolved, white space collapsed, block by block: the words of a large text as
    objects would take many times its memory.
    """
    found = StringIO()
    start, is_parted = 0, False
    while start < len(text):
        end = start + _BLOCK_CHARS
        reference = text.rfind("&", max(start + 1, end - _MAX_REFERENCE_CHARS), end)
        if reference >= 0 and end < len(text):
            end = reference
        block = html.unescape(text[start:end])
        words = " ".join(block.split())
        is_parted = is_parted or block[:1].isspace()
        if words:
            found.write(" " + words if is_parted and found.tell() else words)
            is_parted = block[-1:].isspace()
        start = end
    return found.getvalue()


def _pieces(source: str) -> Iterator[str]:
    position = 0
    while True:
        start = source.find("<", position)
        if start < 0:
            yield source[position:]
            return
        yield source[position:start]
        name = _NAME.match(source, start)
        if name is None and source[start + 1 : start + 2] not in ("!", "?"):
            yield "<"
            position = start + 1
            continue
        tag = name[1].lower() if name else ""
        if tag in _BLOCKS:
            yield " "
        position = _after(source, start, tag)


def _after(source: str, start: int, tag: str) -> int:
    """The place after the tag, comment or hidden element at `start`; the end where it is not
    closed.
    """
    if source.startswith("<!--", start):
        return _end_of(source, "-->", start + 4)
    if tag in _HIDDEN and source[start + 1] != "/":
        closing = re.compile(f"</{tag}", re.IGNORECASE).search(source, start)
        if closing is None:
            return len(source)
        start = closing.start()
    return _end_of(source, ">", start)


def _end_of(source: str, closing: str, start: int) -> int:
    found = source.find(closing, start)
    return len(source) if found < 0 else found + len(closing)
