"""Rows of the account and mailbox tables as objects, and their copies in JSON files.

`mail.json` (account) and `status.json` (mailbox) hold what must survive the loss of the database.
"""

from __future__ import annotations

import errno
import json
from dataclasses import dataclass, field, fields
from functools import lru_cache
from operator import attrgetter
from pathlib import Path
from typing import Any

import apsw

from rmail_kernel.errors import Corrupt, Invalid
from rmail_kernel.storage.filesystem import schema
from rmail_kernel.storage.filesystem.disk import Owner, read_json, write_json
from rmail_kernel.storage.filesystem.layout import canonical
from rmail_kernel.storage.ids import MailboxId, ModSeq, Uid
from rmail_kernel.storage.mail import MailboxStatus

FILE_VERSION = 1
MANY_MAILBOXES = 500  # they are read in a thread
_SHORT = {errno.EMFILE, errno.ENFILE, errno.ENOMEM}


@dataclass(slots=True)
class AccountRow:
    """Counters of one account. MODSEQs below `modseq_reserved` may have been given out."""

    modseq: int
    modseq_reserved: int
    next_id: int
    uidvalidity: int  # the highest given out
    used_bytes: int
    used_messages: int

    def copy(self) -> AccountRow:
        """A row of its own; as `replace` does, in a fifth of the time."""
        return AccountRow(*_COUNTERS(self))

    def as_json(self) -> dict[str, object]:
        """The content of mail.json."""
        return {
            "version": FILE_VERSION,
            "modseq": self.modseq,
            "modseq_reserved": self.modseq_reserved,
            "next_id": self.next_id,
            "uid_validity": self.uidvalidity,
        }


@dataclass(slots=True)
class MailboxRow:
    """One mailbox as the database has it; `recent_from`: UIDs from here on are not claimed yet."""

    id: int
    name: str
    special_use: str | None
    subscribed: int
    uidvalidity: int
    uidnext: int
    uid_reserved: int
    highestmodseq: int
    floor: int
    total: int
    unseen: int
    deleted: int
    recent: int
    recent_from: int
    size_bytes: int
    objectid: str
    keywords: tuple[str, ...]
    written_uidnext: int  # what status.json says

    def copy(self) -> MailboxRow:
        """A row of its own; its values are never changed in place."""
        return MailboxRow(*_VALUES(self))

    def status(self) -> MailboxStatus:
        """The public form."""
        return MailboxStatus(
            MailboxId(self.id),
            self.name,
            self.special_use,
            bool(self.subscribed),
            self.uidvalidity,
            Uid(self.uidnext),
            ModSeq(self.highestmodseq),
            ModSeq(self.floor),
            self.total,
            self.unseen,
            self.deleted,
            self.recent,
            self.size_bytes,
            self.objectid,
        )

    def as_json(self) -> dict[str, object]:
        """The content of status.json."""
        return {
            "version": FILE_VERSION,
            "uid_validity": self.uidvalidity,
            "uid_next": self.uidnext,
            "uid_reserved": self.uid_reserved,
            "id": self.id,
            "objectid": self.objectid,
            "special_use": self.special_use,
            "subscribed": bool(self.subscribed),
            "keywords": list(self.keywords),
        }

    def values(self) -> tuple[Any, ...]:
        """The columns in order, `id` first."""
        found = list(_VALUES(self))
        found[_KEYWORDS] = _keywords_text(self.keywords)
        return tuple(found)


_COLUMNS = [column.name for column in fields(MailboxRow)]
_VALUES = attrgetter(*_COLUMNS)
_COUNTERS = attrgetter(*(column.name for column in fields(AccountRow)))
_KEYWORDS = _COLUMNS.index("keywords")
_MAILBOX = f"SELECT {', '.join(_COLUMNS)} FROM mailbox"  # noqa: S608 - names of our own class
_SAVE = (
    f"INSERT INTO mailbox ({', '.join(_COLUMNS)})"  # noqa: S608 - as above
    f" VALUES ({', '.join('?' * len(_COLUMNS))}) ON CONFLICT (id) DO UPDATE SET"
    f" {', '.join(f'{name} = excluded.{name}' for name in _COLUMNS[1:])}"
)


def account_row(db: apsw.Connection) -> AccountRow:
    """The counters of the account."""
    found = schema.first(
        db,
        "SELECT modseq, modseq_reserved, next_id, uidvalidity, used_bytes, used_messages"
        " FROM account",
    )
    if found is None:
        raise apsw.CorruptError("no account row")
    return AccountRow(*found)


def save_account(db: apsw.Connection, row: AccountRow) -> None:
    """Writes the counters of the account."""
    db.execute(
        "REPLACE INTO account (one, modseq, modseq_reserved, next_id, uidvalidity, used_bytes,"
        " used_messages) VALUES (1, ?, ?, ?, ?, ?, ?)",
        (
            row.modseq,
            row.modseq_reserved,
            row.next_id,
            row.uidvalidity,
            row.used_bytes,
            row.used_messages,
        ),
    )


def mailbox_row(db: apsw.Connection, mailbox: str | int) -> MailboxRow | None:
    """A mailbox by canonical name or id, or None."""
    column = "name" if isinstance(mailbox, str) else "id"
    found = schema.first(db, f"{_MAILBOX} WHERE {column} = ?", mailbox)
    return _mailbox(found) if found else None


def find_mailbox(db: apsw.Connection, mailbox: str | int) -> MailboxRow | None:
    """A mailbox by any spelling of its name or by id; None also for what can be no name."""
    try:
        return mailbox_row(db, canonical(mailbox) if isinstance(mailbox, str) else mailbox)
    except Invalid:
        return None


def count_mailboxes(db: apsw.Connection) -> int:
    """How many there are."""
    return int(schema.value(db, "SELECT count(*) FROM mailbox"))


def mailbox_statuses(db: apsw.Connection) -> list[MailboxStatus]:
    """The public form of `mailbox_rows`."""
    return [row.status() for row in mailbox_rows(db)]


def mailbox_rows(db: apsw.Connection) -> list[MailboxRow]:
    """All mailboxes, INBOX first, then by name."""
    found = [_mailbox(row) for row in schema.rows(db, f"{_MAILBOX} ORDER BY name")]
    return sorted(found, key=lambda row: row.name != "INBOX")


def outdated_rows(db: apsw.Connection, lag: int) -> list[MailboxRow]:
    """The mailboxes whose status.json is `lag` UIDs behind, or was not written yet."""
    sql = f"{_MAILBOX} WHERE written_uidnext = 0 OR uidnext - written_uidnext >= ?"
    return [_mailbox(row) for row in schema.rows(db, sql, lag)]


def save_mailbox(db: apsw.Connection, row: MailboxRow) -> None:
    """Writes a mailbox."""
    db.execute(_SAVE, row.values())


def _mailbox(found: schema.Row) -> MailboxRow:
    row = MailboxRow(*found)
    row.keywords = _keywords(found[_KEYWORDS])
    return row


@lru_cache(maxsize=256)
def _keywords(text: str) -> tuple[str, ...]:
    """A keyword table; rows are read far more often than it changes."""
    try:
        return tuple(map(str, json.loads(text)))
    except (TypeError, ValueError) as error:
        raise apsw.CorruptError("no keyword table") from error


@lru_cache(maxsize=256)
def _keywords_text(keywords: tuple[str, ...]) -> str:
    return json.dumps(keywords)


def write_status(directory: Path, row: MailboxRow, owner: Owner, *, durable: bool) -> None:
    """Writes status.json; keys that are not ours (annotations) stay."""
    path = directory / "status.json"
    # Always whole: the keys that are not ours are nowhere else.
    write_json(path, _foreign(path) | row.as_json(), owner, durable=durable, whole=True)
    row.written_uidnext = row.uidnext


def _foreign(path: Path) -> dict[str, object]:
    try:
        return read_json(path) or {}
    except Corrupt:
        return {}
    except OSError as error:
        if error.errno in _SHORT:
            raise  # it is there, and what is in it must not go
        return {}


@dataclass(frozen=True, slots=True)
class StatusFile:
    """What a status.json says, each value checked; what is missing or wrong is None."""

    uidvalidity: int | None = None
    uidnext: int = 1
    uid_reserved: int = 1
    id: int | None = None
    objectid: str | None = None
    special_use: str | None = None
    is_subscribed: bool = False
    keywords: tuple[str, ...] = field(default=())

    @classmethod
    def of(cls, found: dict[str, object]) -> StatusFile:
        """Reads the object; never raises. The original kept no subscriptions in it: nothing that
        a client showed there may be hidden here, so all of its mailboxes are subscribed.
        """
        keywords = found.get("keywords")
        return cls(
            number(found, "uid_validity"),
            number(found, "uid_next") or 1,
            number(found, "uid_reserved") or 1,
            number(found, "id"),
            _text(found, "objectid"),
            _text(found, "special_use"),
            found.get("subscribed", "version" not in found and "uid_validity" in found) is True,
            tuple(map(str, keywords)) if isinstance(keywords, list) else (),
        )


def number(found: dict[str, object], key: str) -> int | None:
    """A positive integer of a JSON object, or None."""
    given = found.get(key)
    return given if isinstance(given, int) and given > 0 else None


def _text(found: dict[str, object], key: str) -> str | None:
    given = found.get(key)
    return given if isinstance(given, str) and given else None
