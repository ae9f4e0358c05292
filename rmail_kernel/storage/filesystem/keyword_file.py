"""Keywords beyond the letters of file names: `keywords.json`, beside a mailbox's status.json.

It says which messages have which of them, by name, and follows the commit as file names do. A
message whose `named` is negative may not be in it as its row says.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import apsw

from rmail_kernel import failpoints
from rmail_kernel.errors import Corrupt
from rmail_kernel.storage.filesystem import schema
from rmail_kernel.storage.filesystem.disk import Owner, read_json, write_json
from rmail_kernel.storage.filesystem.tables import MailboxRow
from rmail_kernel.storage.mail import FIRST_KEYWORD_BIT, LETTER_KEYWORDS

VERSION: Final = 1
IN_NAMES: Final = (1 << (FIRST_KEYWORD_BIT + LETTER_KEYWORDS)) - 1
"""The bits of a flag word that file names tell."""
FIELD: Final = "messages"


def read(mailbox: Path, keywords: Sequence[str]) -> dict[int, int]:
    """The bits by UID that a mailbox's file tells, of keywords that it still has."""
    try:
        found = (read_json(mailbox / "keywords.json") or {}).get(FIELD)
    except Corrupt:
        return {}
    if not isinstance(found, dict):
        return {}
    bits = {
        name: 1 << (FIRST_KEYWORD_BIT + index)
        for index, name in enumerate(keywords)
        if index >= LETTER_KEYWORDS
    }
    words = {int(uid): _word(names, bits) for uid, names in found.items() if uid.isdecimal()}
    return {uid: word for uid, word in words.items() if word}


def _word(names: object, bits: dict[str, int]) -> int:
    word = 0
    for name in names if isinstance(names, list) else ():
        word |= bits.get(str(name), 0)
    return word


def write(db: apsw.Connection, mailbox: Path, row: MailboxRow, owner: Owner) -> None:
    """Writes what the rows say, durably, if the mailbox is there."""
    if mailbox.is_dir():
        texts = {str(uid): _names(row, word) for uid, word in told(db, row).items()}
        value = {"version": VERSION, FIELD: texts}
        write_json(mailbox / "keywords.json", value, owner, durable=True)
        failpoints.reach("keywords.written")


def told(db: apsw.Connection, row: MailboxRow) -> dict[int, int]:
    """What the rows say: the bits by UID."""
    if len(row.keywords) <= LETTER_KEYWORDS:
        return {}
    sql = "SELECT uid, flags FROM message WHERE mailbox=? AND flags>?"
    return {uid: word & ~IN_NAMES for uid, word in schema.rows(db, sql, row.id, IN_NAMES)}


def _names(row: MailboxRow, word: int) -> list[str]:
    return [
        name
        for index, name in enumerate(row.keywords)
        if index >= LETTER_KEYWORDS and word >> (FIRST_KEYWORD_BIT + index) & 1
    ]
