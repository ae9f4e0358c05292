"""Values with parameters (`text/plain; charset=utf-8`), as Content-Type and Content-Disposition
have them; never raises.

RFC 2045 5.1, RFC 2183 2, RFC 2231 3 and 4 (continuations and charsets, which are joined and
decoded here).
"""

import re
from typing import Final
from urllib.parse import unquote_to_bytes

from rmail_kernel.mime.charsets import decode_raw, decode_text

Parameters = tuple[tuple[str, str], ...]

MAX_PARAMETERS: Final = 100
"""Parameters read of one field; the rest is not looked at."""

_PARAMETER: Final = re.compile(
    rb"""[;\s]*+ (?: \([^();]*+\) \s*+ )?+
         ([^\s=;"()]++) \s*+ = \s*+
         (?: "((?:[^"\\]++|\\.)*+)"? | ([^;]*+) ) [^;]*+""",
    re.VERBOSE | re.DOTALL,
)
_JUNK: Final = re.compile(rb"[^;]*+;")
_COMMENT: Final = re.compile(rb"(?<!\S)\(")
_EXTENDED: Final = re.compile(r"([^*]+)(?:\*([0-9]{1,4}))?(\*)?")


def parse_parameters(raw: bytes, position: int) -> Parameters:
    """The parameters of the unfolded value `raw` from the byte `position` on: names in lower
    case, each name once.
    """
    found: list[tuple[str, bytes]] = []
    while position < len(raw) and len(found) < MAX_PARAMETERS:
        match = _PARAMETER.match(raw, position) or _JUNK.match(raw, position)
        if match is None:
            break
        if match.re is _PARAMETER:
            found.append((decode_raw(match[1]).lower(), _value(match)))
        position = match.end()
    if any("*" in name for name, _ in found):
        return _extended(found)
    plain: dict[str, str] = {}
    for name, value in found:
        plain.setdefault(name, decode_raw(value))
    return tuple(plain.items())


def _value(match: re.Match[bytes]) -> bytes:
    if match[2] is not None:
        return re.sub(rb"\\(.)", rb"\1", match[2], flags=re.DOTALL)
    plain: bytes = match[3]
    comment = _COMMENT.search(plain)
    return plain[: comment.start()].rstrip() if comment else plain.rstrip()


def _extended(found: list[tuple[str, bytes]]) -> Parameters:
    """RFC 2231: the pieces `name*0`, `name*1*`, ... joined by number; `name*` wins over a plain
    `name` beside it.
    """
    plain: dict[str, str] = {}
    pieces: dict[str, dict[int, tuple[bytes, bool]]] = {}
    for written, value in found:
        match = _EXTENDED.fullmatch(written)
        if match is None or (match[2] is None and match[3] is None):
            plain.setdefault(written, decode_raw(value))
            continue
        plain.setdefault(match[1], "")
        numbered = pieces.setdefault(match[1], {})
        numbered.setdefault(int(match[2] or 0), (value, match[3] is not None))
    return tuple(
        (name, _joined(pieces[name]) if name in pieces else text) for name, text in plain.items()
    )


def _joined(pieces: dict[int, tuple[bytes, bool]]) -> str:
    charset = ""
    joined = bytearray()
    for place, (_, (raw, encoded)) in enumerate(sorted(pieces.items())):
        value = raw
        if encoded and place == 0 and raw.count(b"'") >= 2:
            name, _, value = raw.split(b"'", 2)
            charset = name.decode("latin-1")
        joined += unquote_to_bytes(value) if encoded else value
    return decode_text(bytes(joined), charset)
