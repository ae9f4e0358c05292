"""What SELECT and EXAMINE ask for (RFC 4466 2.2 for parameters; RFC 7162 3.1.8, 3.2.5)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from rmail_imap.errors import BadSyntax, Refused
from rmail_imap.parse.cursor import Cursor
from rmail_imap.parse.sets import known_set
from rmail_imap.ranges import Ranges, merged
from rmail_kernel.storage.ids import ModSeq


@dataclass(frozen=True, slots=True)
class LastSeen:
    """What a client knows of a mailbox (RFC 7162 3.2.5).

    Attributes:
        uids: the UIDs it asks about; None for all.
        numbers, number_uids: sequence numbers and the UIDs it believes them to have.
    """

    uidvalidity: int
    modseq: ModSeq
    uids: Ranges | None = None
    numbers: Ranges = ()
    number_uids: Ranges = ()


@dataclass(frozen=True, slots=True)
class SelectArgs:
    """SELECT mailbox [(CONDSTORE QRESYNC (uidvalidity modseq [uids] [(numbers uids)]))].

    `refusal`: why no mailbox can have that name; the command fails as with one that is not there.
    """

    mailbox: str
    is_condstore: bool = False
    known: LastSeen | None = None
    refusal: Refused | None = None


def select_args(cursor: Cursor) -> SelectArgs:
    """The arguments of SELECT and EXAMINE."""
    cursor.space()
    name, refusal = "", None
    try:
        name = cursor.mailbox()
    except Refused as error:
        refusal = error
    found: dict[str, LastSeen | None] = {}
    if cursor.skip(b" ("):
        _parameter(cursor, found)
        while cursor.skip(b" "):
            _parameter(cursor, found)
        cursor.expect(b")")
    cursor.end()
    return SelectArgs(name, "CONDSTORE" in found, found.get("QRESYNC"), refusal)


def _parameter(cursor: Cursor, found: dict[str, LastSeen | None]) -> None:
    name = cursor.word()
    cursor.check("SELECT", name)
    if name not in ("CONDSTORE", "QRESYNC") or name in found:
        raise BadSyntax("Unknown or repeated parameter of SELECT")
    found[name] = _known(cursor) if name == "QRESYNC" else None


def _known(cursor: Cursor) -> LastSeen:
    cursor.space()
    cursor.expect(b"(")
    uidvalidity = cursor.number()
    cursor.space()
    modseq = cursor.modseq()
    uids: Ranges | None = None
    numbers: Ranges = ()
    number_uids: Ranges = ()
    if cursor.skip(b" ") and cursor.peek() != b"(":
        uids = known_set(cursor)
        cursor.skip(b" ")
    if cursor.skip(b"("):
        numbers = known_set(cursor)
        cursor.space()
        number_uids = known_set(cursor)
        cursor.expect(b")")
        _check_pairs(numbers, number_uids)
    cursor.expect(b")")
    everything = None if uids is None else tuple(merged(uids))
    return LastSeen(uidvalidity, modseq, everything, numbers, number_uids)


def _check_pairs(numbers: Ranges, uids: Ranges) -> None:
    """As many numbers as UIDs, both ascending (RFC 7162 3.2.5.2)."""
    sizes = []
    for ranges in (numbers, uids):
        flat = [number for pair in ranges for number in pair]
        apart = all(one[1] < other[0] for one, other in pairwise(ranges))
        if flat != sorted(flat) or not apart:
            raise BadSyntax("LastSeen numbers must ascend")
        sizes.append(sum(last - first + 1 for first, last in ranges))
    if sizes[0] != sizes[1]:
        raise BadSyntax("As many numbers as UIDs must be given")
