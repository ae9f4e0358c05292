"""Annotations: named values of a mailbox, in its status.json, and of the account, beside mail.json.

They are in no database, so they outlive it; a mailbox's go with it when it is renamed or deleted.
One of them tells the special use, which rows have (RFC 6154 4). RFC 5464.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from rmail_kernel import failpoints
from rmail_kernel.errors import Corrupt, Invalid, QuotaExceeded, TooLarge
from rmail_kernel.storage.filesystem import special_uses, tables
from rmail_kernel.storage.filesystem.disk import read_json, write_json
from rmail_kernel.storage.filesystem.layout import AccountPaths
from rmail_kernel.storage.filesystem.tables import MailboxRow
from rmail_kernel.storage.filesystem.transaction import Transaction
from rmail_kernel.storage.mail import (
    MAX_ALL_ANNOTATIONS_BYTES,
    MAX_ANNOTATION_BYTES,
    MAX_ANNOTATIONS,
)

VERSION: Final = 1
FIELD: Final = "annotations"
_MAX_NAME_CHARS: Final = 255
# RFC 5464 3.1: at least one part after the scope, none empty, no wildcard, ASCII.
_NAME: Final = re.compile(r"/(?:private|shared)(?:/[^\x00-\x1f\x7f-\U0010ffff*%/]+)+\Z")


def entry_name(name: str) -> str:
    """The stored form of an entry's name: lower case, for names compare without it (RFC 5464 3.1).

    Raises:
        Invalid: no name of an entry.
    """
    if len(name) > _MAX_NAME_CHARS or not _NAME.match(name.lower()):
        raise Invalid("Not the name of an annotation", name=name)
    return name.lower()


def entries(path: Path) -> dict[str, bytes]:
    """The entries in a status.json or annotations.json, without those that cannot be read."""
    found = _read(path).get(FIELD)
    if not isinstance(found, dict):
        return {}
    values = {name: _value(given) for name, given in found.items()}
    return {name: value for name, value in values.items() if value is not None}


def account_file(paths: AccountPaths) -> Path:
    """Where the entries of the account itself are."""
    return paths.home / "annotations.json"


def annotate(
    tx: Transaction, mailbox: str | int | None, changes: Mapping[str, bytes | None]
) -> None:
    """Sets entries, None removes one; all or none. See MailStore.annotate."""
    asked = {entry_name(name): value for name, value in changes.items()}
    for name, value in asked.items():
        if value is not None and len(value) > MAX_ANNOTATION_BYTES:
            raise TooLarge(
                f"An annotation has at most {MAX_ANNOTATION_BYTES} bytes",
                name=name,
                limit_bytes=MAX_ANNOTATION_BYTES,
            )
    row = None if mailbox is None else tx.mailbox(mailbox)
    use = None if row is None else row.special_use
    if row is not None and special_uses.ENTRY in asked:
        if len(asked) > 1:  # one is in the row, others are in the file: a crash could part them
            raise Invalid("The special use is set by itself", special_use="")
        use = special_uses.use_of(tx, row, asked.pop(special_uses.ENTRY))
    before = entries(_file(tx, row))
    if row is not None:
        before.pop(special_uses.ENTRY, None)  # older versions kept what clients wrote there
    after = {name: value for name, value in (before | asked).items() if value is not None}
    if after == before and (row is None or row.special_use == use):
        return
    if len(after) > max(MAX_ANNOTATIONS, len(before)):
        raise QuotaExceeded(f"There are at most {MAX_ANNOTATIONS} annotations in one place")
    if not _has_room(tx, _bytes(after) - _bytes(before)):
        raise QuotaExceeded("The annotations of the account take up all of their room")
    if row is not None:
        row.special_use = use
        tx.touched(row, tx.next_modseq())  # RFC 7162 3.2
    _write(tx, row, after)


def _bytes(found: Mapping[str, bytes]) -> int:
    return sum(len(name) + len(value) for name, value in found.items())


def _has_room(tx: Transaction, more_bytes: int) -> bool:
    """Whether the account may keep so many bytes more; what else is in the files counts, too."""
    if more_bytes <= 0:
        return True
    paths = [_file(tx, row) for row in (None, *tables.mailbox_rows(tx.db))]
    kept_bytes = sum(path.stat().st_size for path in paths if path.exists())
    return kept_bytes + more_bytes <= MAX_ALL_ANNOTATIONS_BYTES


def copy(tx: Transaction, source: MailboxRow, target: MailboxRow) -> None:
    """Gives a new mailbox the entries of another, but not its special use; where there is no room
    for them it has none.
    """
    found = entries(_file(tx, source))
    if found and _has_room(tx, _bytes(found)):
        _write(tx, target, found)


def _file(tx: Transaction, row: MailboxRow | None) -> Path:
    return account_file(tx.paths) if row is None else tx.paths.mailbox(row.name) / "status.json"


def _write(tx: Transaction, row: MailboxRow | None, after: Mapping[str, bytes]) -> None:
    path = _file(tx, row)
    own: Mapping[str, object] = {"version": VERSION} if row is None else row.as_json()
    texts = {name: _text(after[name]) for name in sorted(after)}
    write_json(path, {**_read(path), **own, FIELD: texts}, tx.owner, durable=True)
    failpoints.reach("annotate.written")
    if row is None:
        tx.changes[0] = tx.account.modseq
    else:
        row.written_uidnext = row.uidnext
        tx.changes[row.id] = row.highestmodseq


def _read(path: Path) -> dict[str, object]:
    try:
        return read_json(path) or {}
    except Corrupt:
        return {}  # written anew whole; a status.json says again what the rows say


def _text(value: bytes) -> object:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}


def _value(given: object) -> bytes | None:
    if isinstance(given, dict):
        try:
            return base64.b64decode(str(given.get("base64")), validate=True)
        except (binascii.Error, ValueError):
            return None
    return given.encode("utf-8", "replace") if isinstance(given, str) else None
