"""What SORT and THREAD ask for (RFC 5256 5, RFC 5267 3, RFC 5957 5, RFC 6203 6)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from rmail_imap.errors import BadSyntax
from rmail_imap.parse.cursor import Cursor
from rmail_imap.parse.returns import Returns, returns
from rmail_imap.parse.search import SearchArgs, search_keys

CRITERIA: Final = frozenset(
    {
        "ARRIVAL", "CC", "DATE", "DISPLAYFROM", "DISPLAYTO", "FROM", "RELEVANCY", "SIZE", "SUBJECT",
        "TO",
    }
)  # fmt: skip
ALGORITHMS: Final = frozenset({"ORDEREDSUBJECT", "REFERENCES", "REFS"})
_MAX_CRITERIA: Final = 20


@dataclass(frozen=True, slots=True)
class Criterion:
    """One of CRITERIA, ascending or not."""

    name: str
    is_reverse: bool


@dataclass(frozen=True, slots=True)
class SortArgs:
    """SORT [RETURN (options)] (criteria) charset keys."""

    criteria: tuple[Criterion, ...]
    search: SearchArgs


@dataclass(frozen=True, slots=True)
class ThreadArgs:
    """THREAD algorithm charset keys."""

    algorithm: str
    search: SearchArgs


def sort_args(cursor: Cursor) -> SortArgs:
    """The arguments of SORT and UID SORT."""
    cursor.space()
    options = returns(cursor)
    if options is not None:
        cursor.check("SORT")
    criteria = _criteria(cursor)
    cursor.space()
    search = _search(cursor, options)
    if not search.is_fuzzy and any(one.name == "RELEVANCY" for one in criteria):
        raise BadSyntax("RELEVANCY needs FUZZY")  # RFC 6203 6
    return SortArgs(criteria, search)


def thread_args(cursor: Cursor) -> ThreadArgs:
    """The arguments of THREAD and UID THREAD."""
    cursor.space()
    algorithm = cursor.word()
    if algorithm not in ALGORITHMS:
        raise BadSyntax("Unknown threading algorithm")
    cursor.check("THREAD", algorithm)
    cursor.space()
    return ThreadArgs(algorithm, _search(cursor, None))


def _search(cursor: Cursor, options: Returns | None) -> SearchArgs:
    """search-criteria: the charset, which must be there, and the keys."""
    raw_charset = cursor.astring()
    if not cursor.dialect.has_charset and raw_charset.upper() != b"UTF-8":
        raise BadSyntax("Strings are UTF-8 once UTF8=ACCEPT is enabled")  # RFC 9755 3
    cursor.space()
    return search_keys(cursor, options, raw_charset)


def _criteria(cursor: Cursor) -> tuple[Criterion, ...]:
    cursor.expect(b"(")
    found: list[Criterion] = []
    while True:
        name = cursor.word()
        is_reverse = name == "REVERSE"
        if is_reverse:
            cursor.space()
            name = cursor.word()
        if name not in CRITERIA:
            raise BadSyntax("Unknown sort criterion")
        cursor.check("SORT", name)
        found.append(Criterion(name, is_reverse))
        if len(found) > _MAX_CRITERIA:
            raise BadSyntax("Too many sort criteria", b"LIMIT")
        if not cursor.skip(b" "):
            break
    cursor.expect(b")")
    return tuple(found)
