"""SEARCH keys (RFC 3501 6.4.4) as a tree. Message numbers and \\Recent stay open in it: only the
session can tell what they stand for.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from rmail_imap.errors import BadSyntax
from rmail_imap.parse.cursor import Cursor
from rmail_imap.parse.dates import search_date
from rmail_imap.parse.flags import keyword
from rmail_imap.parse.returns import Returns, returns
from rmail_imap.parse.sets import NumberSet, number_set
from rmail_kernel.storage import search as query
from rmail_kernel.storage.search import SearchNode


@dataclass(frozen=True, slots=True)
class Leaf:
    """A condition in the store's words."""

    node: SearchNode


@dataclass(frozen=True, slots=True)
class Numbers:
    """The message is in a set of sequence numbers or UIDs."""

    numbers: NumberSet


@dataclass(frozen=True, slots=True)
class Recent:
    """The message is \\Recent in this session."""


@dataclass(frozen=True, slots=True)
class AllOf:
    """All keys hold."""

    parts: tuple[Key, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """One key holds."""

    parts: tuple[Key, ...]


@dataclass(frozen=True, slots=True)
class Negated:
    """The key does not hold."""

    part: Key


@dataclass(frozen=True, slots=True)
class Within:
    """INTERNALDATE is at least ("until") or at most ("from") so long ago (RFC 5032)."""

    op: Literal["until", "from"]
    interval_s: int


@dataclass(frozen=True, slots=True)
class Fuzzy:
    """The key holds more or less (RFC 6203)."""

    part: Key


Key = Leaf | Numbers | Recent | Within | AllOf | AnyOf | Negated | Fuzzy


@dataclass(frozen=True, slots=True)
class SearchArgs:
    """SEARCH [RETURN (options)] [CHARSET charset] keys.

    Attributes:
        returns: None without RETURN.
        has_modseq: MODSEQ is among the keys.
        is_charset_known: otherwise `key` means nothing.
        is_fuzzy: FUZZY is among the keys.
        has_numbers: so are sequence numbers.
    """

    key: Key
    is_uid: bool
    returns: Returns | None = None
    has_modseq: bool = False
    is_charset_known: bool = True
    is_fuzzy: bool = False
    has_numbers: bool = False


_OBJECT_ID: Final = re.compile(rb"[A-Za-z0-9_-]{1,255}\Z")
_CHARSETS: Final = frozenset({b"US-ASCII", b"UTF-8", b"ASCII"})


class _Search:
    """One SEARCH under parsing: the cursor and what counts against the limits."""

    def __init__(self, cursor: Cursor) -> None:
        self.cursor = cursor
        self.depth = 0
        self.keys = 0
        self.has_modseq = False
        self.is_fuzzy = False
        self.has_numbers = False

    def text(self) -> str:
        """A string to look for; US-ASCII and UTF-8 are what charset may be (RFC 3501 6.4.4)."""
        self.cursor.space()
        try:
            return self.cursor.astring().decode()
        except UnicodeDecodeError as error:
            raise BadSyntax("A search string is not UTF-8") from error

    def key(self) -> Key:
        """search-key."""
        self.keys += 1
        if self.keys > self.cursor.limits.search_keys:
            raise BadSyntax("Too many search keys", b"LIMIT")
        if self.depth >= self.cursor.limits.search_depth:
            raise BadSyntax("Search keys are nested too deeply", b"LIMIT")
        self.depth += 1
        found = self._key()
        self.depth -= 1
        return found

    def key_list(self) -> Key:
        """Keys with spaces between: all of them must hold."""
        parts = [self.key()]
        while self.cursor.skip(b" "):
            if self.cursor.is_at_end:
                break  # a space at the end, which clients send
            parts.append(self.key())
        return parts[0] if len(parts) == 1 else AllOf(tuple(parts))

    def _key(self) -> Key:
        cursor = self.cursor
        if cursor.skip(b"("):
            inner = self.key_list()
            cursor.expect(b")")
            return inner
        if cursor.peek() in (b"*", b"$", b"") or cursor.peek().isdigit():
            self.has_numbers = self.has_numbers or cursor.peek() != b"$"
            return Numbers(number_set(cursor, is_uid=False))
        word = cursor.word()
        cursor.check("SEARCH", word)
        parser = KEYS.get(word)
        if parser is None:
            raise BadSyntax("Unknown search key")
        return parser(self)


def search_args(cursor: Cursor) -> SearchArgs:
    """The arguments of SEARCH and UID SEARCH."""
    cursor.space()
    options = returns(cursor)
    raw_charset = b"UTF-8"
    if cursor.raw[cursor.at : cursor.at + 8].upper() == b"CHARSET ":
        if not cursor.dialect.has_charset:
            raise BadSyntax("Strings are UTF-8 once UTF8=ACCEPT is enabled")
        cursor.at += 8
        raw_charset = cursor.astring()
        cursor.space()
    return search_keys(cursor, options, raw_charset)


def search_keys(cursor: Cursor, options: Returns | None, raw_charset: bytes) -> SearchArgs:
    """The keys, which end the command; with a charset that is not known they are not read."""
    if raw_charset.upper() not in _CHARSETS:
        unread = Leaf(query.All())
        cursor.at = len(cursor.raw)  # what an unknown charset means cannot be read
        return SearchArgs(unread, cursor.is_uid, options, is_charset_known=False)
    search = _Search(cursor)
    key = search.key_list()
    cursor.end()
    if options is not None and "RELEVANCY" in options.options and not search.is_fuzzy:
        raise BadSyntax("RELEVANCY needs FUZZY")  # RFC 6203 4
    return SearchArgs(
        key,
        cursor.is_uid,
        options,
        search.has_modseq,
        is_fuzzy=search.is_fuzzy,
        has_numbers=search.has_numbers,
    )


def _constant(key: Key) -> Callable[[_Search], Key]:
    return lambda _: key


def _flag(name: str) -> Leaf:
    return Leaf(query.HasFlag(name))


def _header(name: str) -> Callable[[_Search], Key]:
    return lambda search: Leaf(query.Header(name, search.text()))


def _dated(
    which: Literal["internal", "sent", "saved"], op: Literal["before", "on", "since"]
) -> Callable[[_Search], Key]:
    def parse(search: _Search) -> Key:
        search.cursor.space()
        return Leaf(query.Dated(which, op, search_date(search.cursor)))

    return parse


def _sized(op: Literal["larger", "smaller"]) -> Callable[[_Search], Key]:
    def parse(search: _Search) -> Key:
        search.cursor.space()
        return Leaf(query.Sized(op, search.cursor.number64()))

    return parse


def _keyword(search: _Search) -> Key:
    search.cursor.space()
    return _flag(keyword(search.cursor))


def _any_header(search: _Search) -> Key:
    name = search.text()
    return Leaf(query.Header(name, search.text()))


def _uid(search: _Search) -> Key:
    search.cursor.space()
    return Numbers(number_set(search.cursor, is_uid=True))


def _modseq(search: _Search) -> Key:
    """MODSEQ [entry type] n; flags have no MODSEQ of their own, so the message's stands for all
    entries (RFC 7162 3.1.5).
    """
    cursor = search.cursor
    cursor.space()
    if cursor.peek() == b'"':
        cursor.string()
        cursor.space()
        if cursor.word() not in ("PRIV", "SHARED", "ALL"):
            raise BadSyntax("Expected priv, shared or all")
        cursor.space()
    search.has_modseq = True
    return Leaf(query.ModifiedSince(cursor.modseq()))


def _object_id(make: Callable[[str], SearchNode]) -> Callable[[_Search], Key]:
    """objectid, compared with case (RFC 8474 6)."""

    def parse(search: _Search) -> Key:
        search.cursor.space()
        raw = search.cursor.astring()
        if not _OBJECT_ID.match(raw):
            raise BadSyntax("Not an object id")
        return Leaf(make(raw.decode("ascii")))

    return parse


def _within(op: Literal["until", "from"]) -> Callable[[_Search], Key]:
    def parse(search: _Search) -> Key:
        search.cursor.space()
        interval_s = search.cursor.number()
        if not interval_s:
            raise BadSyntax("An interval is at least one second")  # RFC 5032 3: nz-number
        return Within(op, interval_s)

    return parse


def _fuzzy(search: _Search) -> Key:
    search.cursor.space()
    search.is_fuzzy = True
    return Fuzzy(search.key())


def _not(search: _Search) -> Key:
    search.cursor.space()
    return Negated(search.key())


def _or(search: _Search) -> Key:
    """A chain `OR a OR b c`, which clients make as long as they like, is one level."""
    cursor, parts = search.cursor, []
    while True:
        cursor.space()
        parts.append(search.key())
        cursor.space()
        if cursor.raw[cursor.at : cursor.at + 3].upper() != b"OR ":
            return AnyOf((*parts, search.key()))
        cursor.at += 2


KEYS: Final[dict[str, Callable[[_Search], Key]]] = {
    "ALL": _constant(Leaf(query.All())),
    "ANSWERED": _constant(_flag("\\Answered")),
    "BCC": _header("Bcc"),
    "BEFORE": _dated("internal", "before"),
    "BODY": lambda search: Leaf(query.Body(search.text())),
    "CC": _header("Cc"),
    "DELETED": _constant(_flag("\\Deleted")),
    "DRAFT": _constant(_flag("\\Draft")),
    "EMAILID": _object_id(query.HasEmailId),
    "FLAGGED": _constant(_flag("\\Flagged")),
    "FROM": _header("From"),
    "FUZZY": _fuzzy,
    "HEADER": _any_header,
    "KEYWORD": _keyword,
    "LARGER": _sized("larger"),
    "MODSEQ": _modseq,
    "NEW": _constant(AllOf((Recent(), Negated(_flag("\\Seen"))))),
    "NOT": _not,
    "OLD": _constant(Negated(Recent())),
    "OLDER": _within("until"),
    "ON": _dated("internal", "on"),
    "OR": _or,
    "RECENT": _constant(Recent()),
    "SAVEDATESUPPORTED": _constant(Leaf(query.All())),  # RFC 8514 4.3: every mailbox here
    "SAVEDBEFORE": _dated("saved", "before"),
    "SAVEDON": _dated("saved", "on"),
    "SAVEDSINCE": _dated("saved", "since"),
    "SEEN": _constant(_flag("\\Seen")),
    "SENTBEFORE": _dated("sent", "before"),
    "SENTON": _dated("sent", "on"),
    "SENTSINCE": _dated("sent", "since"),
    "SINCE": _dated("internal", "since"),
    "SMALLER": _sized("smaller"),
    "SUBJECT": _header("Subject"),
    "TEXT": lambda search: Leaf(query.Text(search.text())),
    "THREADID": _object_id(query.HasThreadId),
    "TO": _header("To"),
    "UID": _uid,
    "UNANSWERED": _constant(Negated(_flag("\\Answered"))),
    "UNDELETED": _constant(Negated(_flag("\\Deleted"))),
    "UNDRAFT": _constant(Negated(_flag("\\Draft"))),
    "UNFLAGGED": _constant(Negated(_flag("\\Flagged"))),
    "UNKEYWORD": lambda search: Negated(_keyword(search)),
    "UNSEEN": _constant(Negated(_flag("\\Seen"))),
    "YOUNGER": _within("from"),
}
