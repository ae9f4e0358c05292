"""Address lists of header fields, taken tolerantly and in linear time; nothing is ever raised for
bad syntax.

RFC 5322 3.4 and 4.4 (comments, quoted strings, groups, routes), RFC 2047 5 (display names).
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

import msgspec

from rmail_kernel.mime.charsets import decode_raw
from rmail_kernel.mime.headers import decode_words

_ATEXT_DOT: Final = re.compile(
    r"[^\x00-\x20\x7f\"(),:;<>@\[\\\].]+(?:\.[^\x00-\x20\x7f\"(),:;<>@\[\\\].]+)*"
)


class Mailbox(msgspec.Struct, frozen=True, array_like=True, tag=0):
    """One address. `name` is decoded; `raw_name` is it unquoted but with its RFC 2047 words, as
    ENVELOPE wants it.

    `local` and `domain` are unquoted; `domain` is "" where the field gave none. `route` is an
    obsolete source route.
    """

    name: str | None
    local: str
    domain: str
    raw_name: bytes | None = None
    route: str | None = None

    @property
    def address(self) -> str:
        """`local@domain` with the local part quoted where RFC 5321 wants it; only the local part
        if there is no domain.
        """
        local = self.local
        if _ATEXT_DOT.fullmatch(local) is None:
            local = '"' + local.replace("\\", "\\\\").replace('"', '\\"') + '"'
        return f"{local}@{self.domain}" if self.domain else local


class Group(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """A named group of mailboxes, as `undisclosed-recipients:;`. Names as in `Mailbox`."""

    name: str
    members: tuple[Mailbox, ...]
    raw_name: bytes | None = None


AddressItem = Mailbox | Group

_TOKEN: Final = re.compile(
    rb"""(?P<space>[ \t\r\n]++)
       | "(?P<quoted>(?:[^"\\]++|\\.)*+)"?
       | (?P<atom>=\?[^?\s]++\?[bBqQ]\?[^?<>]*+\?= | [^\s"(),:;<>@\[\]]++ | \[[^\]]*+\]?)
       | (?P<special>.)""",
    re.VERBOSE | re.DOTALL,
)
# The two forms that nearly all addresses have, without the cost of the general parser.
_SIMPLE: Final = re.compile(
    rb"""\s*+ (?: "([^"\\]*+)" \s*+ | ([^"(),:;<>@\[\]\\]*+) )
         <([^\s"(),:;<>@\[\]\\]++)@([^\s"(),:;<>@\[\]\\]++)>\s*+ (?: , | \Z )""",
    re.VERBOSE,
)
_BARE: Final = re.compile(
    rb"""\s*+ ([^\s"(),:;<>@\[\]\\]++)@([^\s"(),:;<>@\[\]\\]++)\s*+ (?: , | \Z )""",
    re.VERBOSE,
)
_COMMON_BYTES: Final = 200
_PARENTHESIS: Final = re.compile(rb"[()]|\\.", re.DOTALL)
_ESCAPE: Final = re.compile(rb"\\(.)", re.DOTALL)


class _Token(NamedTuple):
    text: bytes
    is_special: bool
    is_spaced: bool
    """White space or a comment stood before it."""


def addresses(raw_value: bytes) -> tuple[AddressItem, ...]:
    """The mailboxes and groups of a raw field value (folded or not), in order.

    Words without an address become a Mailbox with the name only; a lone word becomes a local part
    without a domain.
    """
    return _common(raw_value) if len(raw_value) <= _COMMON_BYTES else _addresses(raw_value)


@lru_cache(maxsize=1024)
def _common(raw_value: bytes) -> tuple[AddressItem, ...]:
    """The same; people write to each other again and again."""
    return _addresses(raw_value)


def _addresses(raw_value: bytes) -> tuple[AddressItem, ...]:
    found: list[AddressItem] = []
    position, end = 0, len(raw_value)
    while position < end:
        simple = _SIMPLE.match(raw_value, position)
        if simple is not None:
            found.append(_named(simple))
            position = simple.end()
            continue
        bare = _BARE.match(raw_value, position)
        if bare is None or b"=?" in bare[0]:
            break
        found.append(Mailbox(None, decode_raw(bare[1]), decode_raw(bare[2])))
        position = bare.end()
    else:
        return tuple(found)
    return _List(raw_value).items()


def _named(simple: re.Match[bytes]) -> Mailbox:
    words = b" ".join(simple[2].split()) if simple[1] is None else simple[1]
    name = decode_words(words) if words else None
    return Mailbox(name, decode_raw(simple[3]), decode_raw(simple[4]), words or None)


class _List:
    """The list under way: tokens collected until a special character says what they were."""

    def __init__(self, raw_value: bytes) -> None:
        self.raw = raw_value
        self.found: list[AddressItem] = []
        self.group: bytes | None = None
        self.members: list[Mailbox] = []
        self.pending: list[_Token] = []
        self.phrase: list[_Token] = []
        self.comment: bytes | None = None
        self.in_angle = False

    def items(self) -> tuple[AddressItem, ...]:
        position, is_spaced = 0, False
        while position < len(self.raw):
            match = _TOKEN.match(self.raw, position)
            assert match is not None  # the last alternative takes any byte
            position = match.end()
            kind = match.lastgroup
            if kind == "special" and match[0] == b"(":
                self.comment, position = _comment(self.raw, position)
                kind = "space"
            if kind == "space":
                is_spaced = True
                continue
            if kind == "special":
                self._special(match[0], is_spaced)
            else:
                text = match["atom"]
                if text is None:
                    text = _ESCAPE.sub(rb"\1", match["quoted"])
                self.pending.append(_Token(text, False, is_spaced))
            is_spaced = False
        self._finish_mailbox()
        self._finish_group()
        return tuple(self.found)

    def _special(self, text: bytes, is_spaced: bool) -> None:
        is_route = self.in_angle and bool(self.pending) and self.pending[0].text == b"@"
        if text == b"<" and not self.in_angle:
            self.phrase, self.pending, self.in_angle = self.pending, [], True
        elif text == b">" and self.in_angle:
            self._finish_mailbox()
        elif is_route and text in b",:":
            self.pending.append(_Token(text, True, False))
        elif text == b",":
            self._finish_mailbox()
        elif text == b";":
            self._finish_mailbox()
            self._finish_group()
        elif text == b":" and self.group is None and not self.in_angle:
            self.group, self.pending, self.comment = _phrase(self.pending), [], None
        elif text == b"@":
            self.pending.append(_Token(text, True, is_spaced))

    def _finish_group(self) -> None:
        if self.group is not None:
            self.found.append(Group(decode_words(self.group), tuple(self.members), self.group))
        self.group, self.members = None, []

    def _finish_mailbox(self) -> None:
        if self.in_angle:
            route, spec = _split_route(self.pending)
            name: bytes | None = _phrase(self.phrase)
        else:
            route, (words, spec) = None, _split_words(self.pending)
            name = _phrase(words)
        local, domain = _split_spec(spec)
        if local or domain:
            name = name or self.comment
        if local or domain or name or self.in_angle:
            mailbox = Mailbox(
                decode_words(name) if name else None, local, domain, name or None, route
            )
            if self.group is None:
                self.found.append(mailbox)
            else:
                self.members.append(mailbox)
        self.pending, self.phrase, self.comment, self.in_angle = [], [], None, False


def _comment(raw: bytes, position: int) -> tuple[bytes, int]:
    """The text of the comment whose `(` is before `position`, and the place after it; comments
    nest (RFC 5322 3.2.2).
    """
    start, depth = position, 1
    for match in _PARENTHESIS.finditer(raw, position):
        if match[0] == b"(":
            depth += 1
        elif match[0] == b")":
            depth -= 1
        if depth == 0:
            return _ESCAPE.sub(rb"\1", raw[start : match.start()]).strip(), match.end()
    return raw[start:].strip(), len(raw)


def _phrase(tokens: Sequence[_Token]) -> bytes:
    return b"".join(
        (b" " if token.is_spaced and place else b"") + token.text
        for place, token in enumerate(tokens)
    )


def _split_route(tokens: list[_Token]) -> tuple[str | None, list[_Token]]:
    """RFC 5322 4.4: `@a,@b:local@domain`."""
    for place, token in enumerate(tokens):
        if token.text == b":" and token.is_special:
            return decode_raw(b"".join(t.text for t in tokens[:place])), tokens[place + 1 :]
    return None, tokens


def _split_words(tokens: list[_Token]) -> tuple[list[_Token], list[_Token]]:
    """Words before a bare address (`Joe joe@example.org`) from its tokens; without an `@`,
    several words are a name.
    """
    at = next((place for place, token in enumerate(tokens) if token.is_special), None)
    if at is None:
        return (tokens, []) if len(tokens) > 1 else ([], tokens)
    start = max(at - 1, 0)
    # RFC 5322 4.4: an obsolete local part has white space around its dots.
    while start and (tokens[start].text.startswith(b".") or tokens[start - 1].text.endswith(b".")):
        start -= 1
    return tokens[:start], tokens[start:]


def _split_spec(tokens: list[_Token]) -> tuple[str, str]:
    at = next((place for place, token in enumerate(tokens) if token.is_special), len(tokens))
    local = b"".join(token.text for token in tokens[:at])
    domain = b"".join(token.text for token in tokens[at + 1 :])
    return decode_raw(local), decode_raw(domain)
