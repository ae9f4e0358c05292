"""Which RFCs a text cites: `RFC 2045, 2046 5.1 and 2231`, `RFC 2045-2047`, `rfc="3501 6.1"`."""

from __future__ import annotations

import re
from collections.abc import Iterator

_MARK = re.compile(r'\bRFCs? |\brfc="|\b(?:feature|Extension)\(\s*"[\w=+-]+",\s*"')
_GAP = re.compile(r"(?:[,;]| and| to)?(?:\s+(?:#\s*)?|(?<=[,;]))|-")
_TOKEN = re.compile(r"\d+(?:\.\d+)*(?!\w)")
_RFC = re.compile(r"\d{4}\Z")  # no section has so high a number


def cited(text: str) -> set[str]:
    """The numbers of the RFCs cited in a source file; numbers of sections are passed over."""
    return {number for mark in _MARK.finditer(text) for number in _after(text, mark.end())}


def _after(text: str, at: int) -> Iterator[str]:
    last, is_range = "", False
    while token := _TOKEN.match(text, at):
        if _RFC.match(token[0]):
            first = int(last) + 1 if is_range and last else int(token[0])
            yield from map(str, range(first, int(token[0]) + 1))
            last = token[0]
        gap = _GAP.match(text, token.end())
        if gap is None:
            return
        is_range, at = gap[0] == "-", gap.end()
