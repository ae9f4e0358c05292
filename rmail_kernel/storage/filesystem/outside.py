"""Taking in what was changed behind the server's back: mailboxes and files added, removed, renamed.

A shard whose mtime is not the one we left has its names compared with its rows. A file without a
row gets a new UID, unless its own lies above all that were given out.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import structlog

from rmail_kernel.errors import Corrupt
from rmail_kernel.storage.filesystem import keyword_file, schema, tables
from rmail_kernel.storage.filesystem.disk import read_json
from rmail_kernel.storage.filesystem.expunging import COLUMNS, forget_mailbox, remove
from rmail_kernel.storage.filesystem.flagging import count
from rmail_kernel.storage.filesystem.keyword_file import IN_NAMES
from rmail_kernel.storage.filesystem.layout import (
    MAX_UID,
    SHARD_SIZE,
    file_name,
    mailbox_name,
    parse_shard,
    shard_name,
    shard_of,
)
from rmail_kernel.storage.filesystem.locate import settled
from rmail_kernel.storage.filesystem.rebuild import FoundFile, message_files, new_row, shards
from rmail_kernel.storage.filesystem.tables import MailboxRow, StatusFile
from rmail_kernel.storage.filesystem.transaction import RESERVE_UIDS, Transaction
from rmail_kernel.storage.filesystem.withdrawn import put_back
from rmail_kernel.storage.mail import FIRST_KEYWORD_BIT, MAX_KEYWORDS

_log = structlog.get_logger("rmail.storage")
Mtimes = dict[int, int]
MAX_JUMP = 1_000_000
"""A file keeps its UID if it lies at most so far above UIDNEXT."""
SUSPECT_NS = 50_000_000
"""A shard changed so shortly before it was scanned may change again without a new mtime: file
systems stamp with the kernel's tick, at most 10 ms."""


def mtimes(mailbox: Path) -> Mtimes:
    """The mtimes of the shards of a mailbox, in nanoseconds."""
    found = {}
    try:
        names = os.listdir(mailbox)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    for name in names:
        number = parse_shard(name)
        if number is not None:
            try:
                found[number] = os.stat(mailbox / name).st_mtime_ns
            except FileNotFoundError:
                continue
    return found


def take_mailbox(mailbox: int, tx: Transaction) -> None:
    """Compares the shards of a mailbox that differ with the rows."""
    row = tx.find(mailbox)
    if row is None:
        return
    known: dict[int, int] = dict(
        schema.rows(tx.db, "SELECT shard, mtime_ns FROM shard WHERE mailbox=?", row.id)
    )
    found = mtimes(tx.paths.mailbox(row.name))
    differing = [n for n in known.keys() | found.keys() if known.get(n) != found.get(n)]
    late: list[FoundFile] = []
    modseqs: list[int] = []
    for shard in sorted(differing):
        _take_shard(tx, row, shard, late, modseqs)
    _adopt(tx, row, late, modseqs)


def _modseq(tx: Transaction, modseqs: list[int]) -> int:
    """One MODSEQ for all that is found, taken when something is."""
    if not modseqs:
        modseqs.append(tx.next_modseq())
    return modseqs[0]


def _take_shard(
    tx: Transaction, row: MailboxRow, shard: int, late: list[FoundFile], modseqs: list[int]
) -> None:
    directory = tx.paths.mailbox(row.name) / shard_name(shard)
    seen_at = time.time_ns()
    mtime = mtimes(directory.parent).get(shard)
    uids = range(shard * SHARD_SIZE, (shard + 1) * SHARD_SIZE)
    rows = {found[0]: found for found in schema.messages(tx.db, row.id, uids, COLUMNS)}
    gone_soon = leaving(tx, row.id, uids)
    present: set[int] = set()
    for file in sorted(_listed(directory), key=partial(_order, rows)):
        if file.uid in rows and file.uid not in present:
            present.add(file.uid)
            _compare(tx, row, rows[file.uid], file, modseqs)
        elif file.uid not in gone_soon:
            late.append(file)
    gone = _gone(tx, row, directory, [rows[uid] for uid in rows if uid not in present])
    if gone:
        remove(tx, row, gone, _modseq(tx, modseqs))
        _log.info("messages were removed from outside", mailbox=row.name, count=len(gone))
    if mtime is None:
        tx.db.execute("DELETE FROM shard WHERE mailbox=? AND shard=?", (row.id, shard))
    else:
        is_suspect = seen_at - mtime < SUSPECT_NS
        tx.db.execute(
            "REPLACE INTO shard (mailbox, shard, mtime_ns) VALUES (?, ?, ?)",
            (row.id, shard, 0 if is_suspect else mtime),
        )


def _listed(directory: Path) -> list[FoundFile]:
    try:
        return list(message_files(directory))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _gone(
    tx: Transaction, row: MailboxRow, directory: Path, missed: Sequence[schema.Row]
) -> list[schema.Row]:
    """Of the messages whose files were not found, those that are lost: not on their way in, not
    given another name while the names were listed, not withdrawn.
    """
    missed = [one for one in missed if (row.id, one[0]) not in tx.arrivals]
    if missed:
        again = {file.uid for file in _listed(directory)}
        missed = [one for one in missed if one[0] not in again]
    if missed:
        back = put_back(tx, row, missed)
        missed = [one for one in missed if one[0] not in back]
    return list(missed)


def leaving(tx: Transaction, mailbox: int, uids: range) -> set[int]:
    """UIDs of messages that were expunged and whose files are still to go."""
    sql = "SELECT uid FROM pending_unlink WHERE mailbox=? AND uid BETWEEN ? AND ?"
    return {uid for (uid,) in schema.rows(tx.db, sql, mailbox, uids[0], uids[-1])}


def _order(rows: Mapping[int, schema.Row], file: FoundFile) -> tuple[int, bool, str]:
    """Of several files with one UID, ours comes first: another is a message of its own."""
    found = rows.get(file.uid)
    return file.uid, found is not None and not _is_ours(found, file), file.path.name


def _is_ours(message: schema.Row, file: FoundFile) -> bool:
    _, flags, named, size_bytes, _ = message
    words = (flags & IN_NAMES, settled(named) & IN_NAMES)
    return file.size_bytes == size_bytes and file.word & IN_NAMES in words


def _compare(
    tx: Transaction, row: MailboxRow, message: schema.Row, file: FoundFile, modseqs: list[int]
) -> None:
    """A file under another name than the one we gave it: its flags were changed."""
    uid, flags, named, _, _ = message
    word = file.word & known_bits(row) & IN_NAMES
    if named < 0 or word == named & IN_NAMES:
        return  # a name under way is ours
    word |= flags & ~IN_NAMES
    modseq = _modseq(tx, modseqs)
    tx.db.execute(
        "UPDATE message SET flags=?, named=?, modseq=? WHERE mailbox=? AND uid=?",
        (word, word, modseq, row.id, uid),
    )
    count(row, flags, -1)
    count(row, word, 1)
    tx.touched(row, modseq)


def known_bits(row: MailboxRow) -> int:
    """The flags that mean something in a mailbox."""
    return (1 << (FIRST_KEYWORD_BIT + len(row.keywords))) - 1


def _adopt(tx: Transaction, row: MailboxRow, late: list[FoundFile], modseqs: list[int]) -> None:
    """Gives rows to files that have none, in UID order, those without a usable UID last."""
    taken: list[FoundFile] = []
    others: list[FoundFile] = []
    for file in sorted(late, key=partial(_order, {})):
        is_free = row.uidnext <= file.uid <= min(row.uidnext + MAX_JUMP, MAX_UID - 1)
        if is_free and _is_at_home(file) and not (taken and taken[-1].uid == file.uid):
            taken.append(file)
        else:
            others.append(file)
    if taken:
        row.uidnext = taken[-1].uid + 1
        if row.uidnext > row.uid_reserved:
            row.uid_reserved = row.uidnext + RESERVE_UIDS
            tx.write_status(row)
    new_uids = tx.allocate(row, len(others)) if others else range(0)
    for uid, file in zip(new_uids, others, strict=True):
        word = file.word & known_bits(row)
        # No intent: after a crash this file must stay, and is found again under its new name.
        path = tx.shard(row, uid) / file_name(uid, word)
        tx.rename_in(file.path, path)
        taken.append(FoundFile(path, uid, word, file.size_bytes, file.mtime))
    if taken:
        _insert(tx, row, taken, _modseq(tx, modseqs))
        _log.info("messages were added from outside", mailbox=row.name, count=len(taken))


def _insert(tx: Transaction, row: MailboxRow, taken: list[FoundFile], modseq: int) -> None:
    mask = known_bits(row)
    for file in taken:
        word = file.word & mask
        tx.db.execute(
            "INSERT INTO message (mailbox, uid, flags, modseq, named, size_bytes, internal_date,"
            " save_date) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (row.id, file.uid, word, modseq, word, file.size_bytes, file.mtime, tx.now),
        )
        key = schema.summary_key(row.id, file.uid)
        tx.db.execute("INSERT INTO undigested (key) VALUES (?)", (key,))
        count(row, word, 1)
        row.size_bytes += file.size_bytes
        tx.owner.take(file.path)
    row.total += len(taken)
    row.recent += len(taken)
    # They were put there and are not refused, whatever the quota says.
    tx.book(sum(file.size_bytes for file in taken), len(taken))
    tx.touched(row, modseq)


def take_mailboxes(tx: Transaction) -> None:
    """Takes in directories that are no mailbox yet, and drops mailboxes whose directory is gone."""
    tx.flush()
    base = tx.mailboxes()
    mtime = os.stat(base).st_mtime_ns
    present = {name for entry in os.listdir(base) if (name := _named(base / entry)) is not None}
    known = {row.name for row in tables.mailbox_rows(tx.db)}
    for name in sorted(known - present):
        if name == "INBOX":
            tx.write_status(_remade(tx, name))
        else:
            forget_mailbox(tx, tx.mailbox(name))
            _log.info("mailbox was removed from outside", mailbox=name)
    for name in sorted(present - known):
        _take_new(tx, name)
        _log.info("mailbox was added from outside", mailbox=name)
    tx.db.execute(
        "REPLACE INTO shard (mailbox, shard, mtime_ns) VALUES (0, 0, ?)",
        (0 if time.time_ns() - mtime < SUSPECT_NS else mtime,),
    )


def _named(path: Path) -> str | None:
    return mailbox_name(path.name) if path.is_dir() else None


def _remade(tx: Transaction, name: str) -> MailboxRow:
    """INBOX always exists; its messages go when its shards are looked at."""
    tx.paths.mailbox(name).mkdir(exist_ok=True)
    tx.owner.take(tx.paths.mailbox(name))
    return tx.mailbox(name)


def _take_new(tx: Transaction, name: str) -> None:
    try:
        status = StatusFile.of(read_json(tx.paths.mailbox(name) / "status.json") or {})
    except Corrupt:
        status = StatusFile()
    used = {row.id for row in tables.mailbox_rows(tx.db)}
    if status.id is not None and (status.id in used or status.id >= tx.account.next_id):
        # A copy of another mailbox's directory: the same files, but not the same mailbox.
        status = StatusFile(keywords=status.keywords[:MAX_KEYWORDS])
    taken_use = schema.first(tx.db, "SELECT 1 FROM mailbox WHERE special_use=?", status.special_use)
    row = new_row(tx.account, name, tx.now, status=status)
    if taken_use:
        row.special_use = None
    modseq = tx.next_modseq()
    row.highestmodseq = row.floor = modseq
    tx.write_counters(durable=True)
    tx.write_status(row)
    tables.save_mailbox(tx.db, row)
    tx.track(row)
    tx.touched(row, modseq)
    _adopt_all(tx, row)


def _adopt_all(tx: Transaction, row: MailboxRow) -> None:
    """The files of a new mailbox: each keeps its UID, which nobody saw under this name."""
    directory = tx.paths.mailbox(row.name)
    files = [file for _, shard in shards(directory) for file in message_files(shard)]
    more = keyword_file.read(directory, row.keywords)
    by_uid = {
        file.uid: replace(file, word=file.word | more.get(file.uid, 0))
        for file in files
        if file.uid and _is_at_home(file)
    }
    taken = [by_uid[uid] for uid in sorted(by_uid)]
    if taken:
        row.uidnext = max(row.uidnext, taken[-1].uid + 1)
        row.uid_reserved = max(row.uid_reserved, row.uidnext + RESERVE_UIDS)
        tx.write_status(row)
        _insert(tx, row, taken, row.highestmodseq)
    done = {file.path for file in taken}
    _adopt(tx, row, [file for file in files if file.path not in done], [row.highestmodseq])


def _is_at_home(file: FoundFile) -> bool:
    return file.path.parent.name == shard_name(shard_of(file.uid))
