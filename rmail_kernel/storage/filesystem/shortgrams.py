"""Which messages have a text of one or two characters, as bitmaps in the full-text index: through
trigrams, of which very many begin with it, that takes long.

A bit may stand for a message that is gone: UIDs are never used twice.
"""

from __future__ import annotations

import sys
from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Final

import apsw

from rmail_kernel.storage.filesystem import schema

TABLE: Final = """
CREATE TABLE short (
  block INTEGER NOT NULL, field INTEGER NOT NULL, gram TEXT NOT NULL, places BLOB NOT NULL,
  PRIMARY KEY (block, field, gram)) WITHOUT ROWID;
"""
BLOCK: Final = 1024
"""Messages of a bitmap; block n has the keys from n * BLOCK on."""
_END: Final = "\u0530"
_PLACES: Final = [[bit for bit in range(8) if byte >> bit & 1] for byte in range(256)]


def is_kept(gram: str) -> bool:
    """Whether there are bitmaps for a text: letters of Latin, Greek and Cyrillic, digits, spaces.
    Of other scripts there would be too many, and few trigrams begin with each.
    """
    return len(gram) <= 2 and all((c.isalnum() or c == " ") and c < _END for c in gram)


def _codes(text: str) -> set[int]:
    """The texts of one and two characters in `text` as numbers (see `_gram`): those that are kept,
    and some others.
    """
    text = _once(text)
    raw = text.encode("utf-16-le", "surrogatepass")
    codes = {ord(char) for char in set(text) if char < _END}
    odd = raw[2:]
    for pieces in (raw[: len(raw) & ~3], odd[: len(odd) & ~3]):
        pairs = array("I", pieces)
        if sys.byteorder == "big":
            pairs.byteswap()
        codes.update(pairs)
    return codes


def _once(text: str) -> str:
    """A text with the same kept grams, of which each word is there once: most come again."""
    first, *words = text.split(" ")
    if len(words) < 2:
        return text
    return " ".join((first, *set(words[:-1]), words[-1]))


def _gram(code: int) -> str:
    return chr(code & 0xFFFF) + (chr(code >> 16) if code >> 16 else "")


class Gathered:
    """Bits of messages on their way into the table."""

    def __init__(self) -> None:
        self._found: defaultdict[tuple[int, int], defaultdict[int, int]] = defaultdict(
            lambda: defaultdict(int)
        )

    def add(self, key: int, field: int, text: str) -> None:
        """Notes what a message has; `field` tells header from body."""
        block, place = divmod(key, BLOCK)
        found = self._found[block, field]
        bit = 1 << place
        for code in _codes(text):
            found[code] |= bit

    def save(self, db: apsw.Connection) -> None:
        """Writes those that are kept."""
        for (block, field), gathered in self._found.items():
            found = {_gram(code): bits for code, bits in gathered.items()}
            found = {gram: bits for gram, bits in found.items() if is_kept(gram)}
            sql = "SELECT gram, places FROM short WHERE block=? AND field=?"
            for gram, places in schema.rows(db, sql, block, field):
                if gram in found:
                    found[gram] |= int.from_bytes(places, "little")
            db.executemany(
                "REPLACE INTO short (block, field, gram, places) VALUES (?, ?, ?, ?)",
                [(block, field, gram, _bytes(bits)) for gram, bits in found.items()],
            )
        self._found.clear()


def _bytes(bits: int) -> bytes:
    return bits.to_bytes((bits.bit_length() + 7) // 8, "little")


# Block by block: the table is ordered for its writers, who have all texts of one block.
_LOOK_UP: Final = """
WITH RECURSIVE blocks(n) AS (
  SELECT min(block) FROM short WHERE block >= ?1
  UNION ALL SELECT (SELECT min(block) FROM short WHERE block > n) FROM blocks WHERE n <= ?2)
SELECT n, places FROM blocks CROSS JOIN short ON block = n AND field = ?3 AND gram = ?4
 WHERE n <= ?2
"""


def uids_with(db: apsw.Connection, low: int, fields: Iterable[int], gram: str) -> set[int]:
    """UIDs of the messages with `gram` in one of the fields; `low` is the key of UID 0."""
    blocks = low // BLOCK, (low + 0xFFFFFFFF) // BLOCK
    found: set[int] = set()
    for field in fields:
        for block, places in schema.rows(db, _LOOK_UP, *blocks, field, gram):
            found.update(_uids(block * BLOCK - low, places))
    return found


def _uids(start: int, places: bytes) -> Iterator[int]:
    for at, byte in enumerate(places):
        if byte:
            base = start + 8 * at
            for bit in _PLACES[byte]:
                yield base + bit


def forget(db: apsw.Connection, first: int, last: int) -> None:
    """Removes the bitmaps of whole blocks among these keys."""
    blocks = -(-first // BLOCK), (last + 1) // BLOCK
    db.execute("DELETE FROM short WHERE block >= ? AND block < ?", blocks)
