"""What LIST asks for: patterns, and selection and return options (RFC 5258 6, 5819, 6154 6)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from rmail_imap.errors import BadSyntax
from rmail_imap.parse.cursor import Cursor
from rmail_imap.parse.metadata import entry_list
from rmail_imap.parse.status import status_items

_MAX_PATTERNS: Final = 100
SELECTION: Final = frozenset({"SUBSCRIBED", "REMOTE", "RECURSIVEMATCH", "SPECIAL-USE"})
CRITERIA: Final = ("SUBSCRIBED", "SPECIAL-USE")
"""Selection options that choose mailboxes; RECURSIVEMATCH needs one of them."""
RETURN: Final = frozenset({"SUBSCRIBED", "CHILDREN", "SPECIAL-USE", "STATUS", "METADATA"})


@dataclass(frozen=True, slots=True)
class ListArgs:
    """LIST [selection] reference patterns [RETURN options], names in their wire form.

    Attributes:
        is_extended: the command has a form that RFC 3501 does not know (RFC 5258 3).
        selection: upper-case options of SELECTION.
        returns: upper-case options of RETURN, with those that a selection option implies.
        status: items of STATUS for each mailbox (RFC 5819 2).
        entries: names of annotations to tell of each mailbox (RFC 9590 3).
    """

    raw_reference: bytes
    raw_patterns: tuple[bytes, ...]
    is_extended: bool = False
    selection: frozenset[str] = frozenset()
    returns: frozenset[str] = frozenset()
    status: tuple[str, ...] = ()
    entries: tuple[str, ...] = ()


def list_args(cursor: Cursor) -> ListArgs:
    """The arguments of LIST."""
    cursor.space()
    has_selection = cursor.peek() == b"("
    selection = _selection(cursor) if has_selection else frozenset()
    reference = cursor.astring()
    cursor.space()
    has_many = cursor.peek() == b"("
    patterns = _patterns(cursor) if has_many else (cursor.list_mailbox(),)
    returns: set[str] = set(selection & RETURN)  # RFC 5258 3.1: SUBSCRIBED is returned too
    status: tuple[str, ...] = ()
    entries: tuple[str, ...] = ()
    has_return = not cursor.is_at_end and cursor.raw[cursor.at : cursor.at + 8].upper() == (
        b" RETURN "
    )
    if has_return:
        cursor.at += 8
        status, entries = _returns(cursor, returns)
    cursor.end()
    is_extended = has_selection or has_many or has_return
    if is_extended and (has_many or selection | returns != {"SPECIAL-USE"}):
        cursor.check("LIST")  # RFC 6154 2: SPECIAL-USE brings its options along
    return ListArgs(
        reference, patterns, is_extended, selection, frozenset(returns), status, entries
    )


def lsub_args(cursor: Cursor) -> ListArgs:
    """The arguments of LSUB, which has no options (RFC 3501 6.3.9)."""
    cursor.space()
    reference = cursor.astring()
    cursor.space()
    pattern = cursor.list_mailbox()
    cursor.end()
    return ListArgs(reference, (pattern,))


def _selection(cursor: Cursor) -> frozenset[str]:
    names: set[str] = set()

    def take() -> None:
        name = cursor.word()
        if name not in SELECTION:
            raise BadSyntax("Unknown selection option")
        cursor.check("LIST", name)
        names.add(name)

    _in_parentheses(cursor, take)
    cursor.space()
    if "RECURSIVEMATCH" in names and not names.intersection(CRITERIA):
        raise BadSyntax("RECURSIVEMATCH needs a criterion")  # RFC 5258 3.1
    return frozenset(names)


def _returns(cursor: Cursor, names: set[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Adds the names of the options; the items of STATUS and the entries of METADATA."""
    items: list[str] = []
    entries: list[str] = []

    def take() -> None:
        name = cursor.word()
        if name not in RETURN:
            raise BadSyntax("Unknown return option")
        cursor.check("LIST", name)
        names.add(name)
        if name == "STATUS":
            cursor.space()
            items.extend(status_items(cursor))
        if name == "METADATA":
            cursor.space()
            entries.extend(entry_list(cursor))

    _in_parentheses(cursor, take)
    return tuple(dict.fromkeys(items)), tuple(dict.fromkeys(entries))


def _patterns(cursor: Cursor) -> tuple[bytes, ...]:
    patterns: list[bytes] = []

    def take() -> None:
        patterns.append(cursor.list_mailbox())
        if len(patterns) > _MAX_PATTERNS:
            raise BadSyntax("Too many patterns", b"LIMIT")

    _in_parentheses(cursor, take)
    if not patterns:
        raise BadSyntax("Expected a pattern")
    return tuple(patterns)


def _in_parentheses(cursor: Cursor, take: Callable[[], None]) -> None:
    """What stands in parentheses with spaces between; nothing is right too."""
    cursor.expect(b"(")
    if cursor.skip(b")"):
        return
    take()
    while cursor.skip(b" "):
        take()
    cursor.expect(b")")
