"""Making an account's database from its files: after its loss, damage, or for a new account.

UIDs, UIDVALIDITY, flags, keywords and dates come back as they were; every message gets one new
MODSEQ above all that were given out, and the floors rise to it, so that clients resynchronise.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import apsw
import structlog

from rmail_kernel import failpoints
from rmail_kernel.errors import Corrupt
from rmail_kernel.storage.filesystem import (
    fulltext,
    keyword_file,
    schema,
    shared_texts,
    tables,
)
from rmail_kernel.storage.filesystem.disk import (
    FILE_MODE,
    Owner,
    make_directory,
    read_json,
    sync_directory,
    sync_file,
    sync_filesystem,
    write_json,
)
from rmail_kernel.storage.filesystem.layout import (
    AccountPaths,
    file_name,
    mailbox_name,
    parse_file,
    parse_shard,
    shard_name,
    shard_of,
)
from rmail_kernel.storage.filesystem.salvage import salvage, salvage_open
from rmail_kernel.storage.filesystem.tables import AccountRow, MailboxRow, StatusFile, number
from rmail_kernel.storage.filesystem.transaction import RESERVE_MODSEQS, RESERVE_UIDS
from rmail_kernel.storage.mail import MAX_KEYWORDS, Flag

_log = structlog.get_logger("rmail.storage")
DEFAULTS: dict[str, str | None] = {
    "INBOX": None,
    "Drafts": "\\Drafts",
    "Sent": "\\Sent",
    "Junk": "\\Junk",
    "Trash": "\\Trash",
    "Archive": "\\Archive",
}
_CHUNK = 1000


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A message file: where it is, and what its name and its inode say."""

    path: Path
    uid: int
    word: int
    size_bytes: int
    mtime: int


def is_stale(db: apsw.Connection, paths: AccountPaths, known_modseq: int = 0) -> bool:
    """Whether the database is older than mail.json, or than what this process knew of it: an old
    copy was put in its place, or its log is lost.
    """
    written = number(_read(paths.counters), "modseq") or 0
    return tables.account_row(db).modseq < max(written, known_modseq)


def new_objectid() -> str:
    """A MAILBOXID that nothing else has (RFC 8474 4)."""
    return f"M{uuid.uuid4().hex}"


def rescue(db: apsw.Connection, paths: AccountPaths, owner: Owner, known_modseq: int) -> None:
    """Has the files say what only a database says whose file is gone. Not if another was made
    since: that one begins above every MODSEQ of this one. The caller holds the account's lock.

    Args:
        known_modseq: of the last durable commit, if known.

    Raises:
        OSError: a file could not be written.
    """
    written = number(_read(paths.counters), "modseq") or 0
    salvage_open(db, paths, owner, max(written, known_modseq))


def rebuild(
    paths: AccountPaths, owner: Owner, now: int, *, is_believed: bool = True, known_modseq: int = 0
) -> None:
    """Puts a new database in the place of account.db; the old one, if any, is kept aside.

    Args:
        is_believed: what only the old one knows is saved; not for one that is out of date.
        known_modseq: one that was given out, if any is known.

    The caller holds the account's lock.
    """
    counters = _read(paths.counters)
    is_new = not paths.mailboxes.is_dir()
    if is_believed and paths.database.exists() and not is_new:
        salvage(paths, owner, number(counters, "modseq") or 0)
    _set_aside(paths)
    if is_new:
        _make_defaults(paths, owner)
    account = _account(counters, now, known_modseq, is_new=is_new)
    floor = 0 if is_new and not counters else account.modseq
    aside = paths.database.with_name("account.db.rebuild")
    aside.unlink(missing_ok=True)
    db = schema.create(aside)
    try:
        aside.chmod(FILE_MODE)
        owner.take(aside)
        # Without mail.json it is a new account, or one from before there were special uses.
        boxes = _mailboxes(paths, owner, account, now, DEFAULTS if not counters else {})
        for row in boxes:
            _fill(db, paths.mailbox(row.name), row, account)
            row.recent_from, row.floor = row.uidnext, floor
            tables.write_status(paths.mailbox(row.name), row, owner, durable=True)
            tables.save_mailbox(db, row)
        sync_directory(paths.mailboxes)
        _note_shard(db, 0, 0, paths.mailboxes)
        write_json(paths.counters, account.as_json(), owner, durable=True)
        tables.save_account(db, account)
        db.execute("INSERT INTO undigested SELECT mailbox << 32 | uid FROM message")
        schema.finish(db)
    except BaseException:
        db.close()
        aside.unlink(missing_ok=True)
        raise
    sync_file(aside)
    _sync_messages(paths)
    # UIDs may be given out again after a return to an older state.
    fulltext.discard(paths, owner)
    shared_texts.drop(paths)
    failpoints.reach("rebuild.before")
    aside.replace(paths.database)
    sync_directory(paths.home)
    if not is_new:
        _log.info("index rebuilt", path=str(paths.home), messages=account.used_messages)


def _sync_messages(paths: AccountPaths) -> None:
    """The rows of files that were not synced yet are lost: no commit makes them durable now."""
    fd = os.open(paths.home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        sync_filesystem(fd)
    finally:
        os.close(fd)


def _read(path: Path) -> dict[str, object]:
    try:
        return read_json(path) or {}
    except Corrupt:
        _log.warning("unreadable, going on without it", path=str(path))
        return {}


def _set_aside(paths: AccountPaths) -> None:
    """One damaged database is kept to be looked at. Logs of a lost one must not meet a new one."""
    if paths.database.exists():
        paths.database.replace(paths.database.with_name("account.db.damaged"))
    for suffix in ("-wal", "-shm", "-journal"):
        paths.database.with_name(f"account.db{suffix}").unlink(missing_ok=True)


def _make_defaults(paths: AccountPaths, owner: Owner) -> None:
    """The mailboxes of a new account, all at once: a crash leaves none of them or all."""
    aside = paths.home / "mailboxes.new"
    make_directory(aside, owner)
    for name in DEFAULTS:
        make_directory(aside / name, owner)
    sync_directory(aside)  # or a power loss leaves some
    failpoints.reach("defaults.before")
    aside.rename(paths.mailboxes)


def _account(
    counters: dict[str, object], now: int, known_modseq: int, *, is_new: bool
) -> AccountRow:
    reserved = number(counters, "modseq_reserved")
    if reserved is None:
        # Without its counters an account is unlikely to have had a change per second since 1970.
        reserved = 0 if is_new else now
    reserved = max(reserved, known_modseq)
    return AccountRow(
        modseq=reserved + 1,
        modseq_reserved=reserved + 1 + RESERVE_MODSEQS,
        next_id=number(counters, "next_id") or 1,
        uidvalidity=number(counters, "uid_validity") or 0,
        used_bytes=0,
        used_messages=0,
    )


def _mailboxes(
    paths: AccountPaths, owner: Owner, account: AccountRow, now: int, uses: dict[str, str | None]
) -> list[MailboxRow]:
    """Rows for the directories that are there, and for INBOX in any case."""
    found: list[tuple[str, StatusFile | None]] = []
    for entry in sorted(os.listdir(paths.mailboxes)):
        name = mailbox_name(entry)
        if name is not None and (paths.mailboxes / entry).is_dir():
            raw = _read(paths.mailboxes / entry / "status.json")
            found.append((name, StatusFile.of(raw) if raw else None))
    if "INBOX" not in dict(found):
        make_directory(paths.mailbox("INBOX"), owner)
        found.insert(0, ("INBOX", None))
    known = [status for _, status in found if status is not None]
    account.next_id = max([account.next_id, *((one.id or 0) + 1 for one in known)])
    account.uidvalidity = max([account.uidvalidity, *(one.uidvalidity or 0 for one in known)])
    ids: set[int] = set()
    special: set[str] = set()
    rows = []
    for name, status in sorted(found, key=_default_order):
        row = new_row(account, name, now, special_use=uses.get(name), status=status)
        if row.id in ids:
            row.id, row.objectid = account.next_id, new_objectid()
            account.next_id += 1
        if row.special_use in special:
            row.special_use = None
        ids.add(row.id)
        special.update([row.special_use] if row.special_use else [])
        rows.append(row)
    return rows


def _default_order(found: tuple[str, StatusFile | None]) -> tuple[int, str]:
    names = list(DEFAULTS)
    return names.index(found[0]) if found[0] in names else len(names), found[0]


def new_row(
    account: AccountRow,
    name: str,
    now: int,
    *,
    special_use: str | None = None,
    status: StatusFile | None = None,
) -> MailboxRow:
    """A mailbox without messages; what `status` lacks is new. UIDVALIDITY ascends per account."""
    status = status or StatusFile()
    if status.uidvalidity is None:
        account.uidvalidity = max(account.uidvalidity + 1, now & 0xFFFFFFFF)
    account.uidvalidity = max(account.uidvalidity, status.uidvalidity or 0)
    if status.id is None:
        account.next_id += 1
    return MailboxRow(
        id=status.id or account.next_id - 1,
        name=name,
        special_use=status.special_use or special_use,
        subscribed=int(status.is_subscribed or special_use is not None or name == "INBOX"),
        uidvalidity=status.uidvalidity or account.uidvalidity,
        uidnext=max(status.uidnext, status.uid_reserved),
        uid_reserved=status.uid_reserved,
        highestmodseq=account.modseq,
        floor=account.modseq,
        total=0,
        unseen=0,
        deleted=0,
        recent=0,
        recent_from=1,
        size_bytes=0,
        objectid=status.objectid or new_objectid(),
        keywords=status.keywords[:MAX_KEYWORDS],
        written_uidnext=0,
    )


def _fill(db: apsw.Connection, mailbox: Path, row: MailboxRow, account: AccountRow) -> None:
    """Takes all files of a mailbox: those with a UID of their own first, then the others."""
    seen: dict[int, Path] = {}
    others: list[FoundFile] = []
    batch: list[FoundFile] = []
    more = keyword_file.read(mailbox, row.keywords)
    for number_, shard in shards(mailbox):
        for file in sorted(message_files(shard), key=lambda one: one.uid):
            if file.uid in seen or file.uid == 0 or shard_of(file.uid) != number_:
                others.append(file)
                continue
            seen[file.uid] = file.path
            batch.append(replace(file, word=file.word | more.get(file.uid, 0)))
        _insert(db, row, account, batch)
        batch.clear()
    highest = max(seen, default=0)
    if highest + 1 > row.uid_reserved:
        row.uid_reserved = highest + 1 + RESERVE_UIDS
    row.uidnext = max(row.uidnext, highest + 1)
    for file in others:
        taken = _move_to_new_uid(mailbox, file, row)
        _insert(db, row, account, [taken])
    for number_, shard in shards(mailbox):
        _note_shard(db, row.id, number_, shard)


def _note_shard(db: apsw.Connection, mailbox: int, shard: int, path: Path) -> None:
    db.execute(
        "INSERT INTO shard (mailbox, shard, mtime_ns) VALUES (?, ?, ?)",
        (mailbox, shard, path.stat().st_mtime_ns),
    )


def _move_to_new_uid(mailbox: Path, file: FoundFile, row: MailboxRow) -> FoundFile:
    uid = row.uidnext
    row.uidnext += 1
    if row.uidnext > row.uid_reserved:
        row.uid_reserved = row.uidnext + RESERVE_UIDS
    shard = mailbox / shard_name(shard_of(uid))
    shard.mkdir(exist_ok=True)
    path = shard / file_name(uid, file.word)
    file.path.rename(path)
    return FoundFile(path, uid, file.word, file.size_bytes, file.mtime)


def _insert(
    db: apsw.Connection, row: MailboxRow, account: AccountRow, found: list[FoundFile]
) -> None:
    mask = (1 << (6 + len(row.keywords))) - 1
    db.executemany(
        "INSERT INTO message (mailbox, uid, flags, modseq, named, size_bytes, internal_date,"
        " save_date) VALUES (?, ?, ?, ?, ?, ?, ?, NULL)",
        [
            (row.id, f.uid, f.word & mask, account.modseq, f.word & mask, f.size_bytes, f.mtime)
            for f in found
        ],
    )
    size = sum(file.size_bytes for file in found)
    row.total += len(found)
    row.unseen += sum(not file.word & Flag.SEEN for file in found)
    row.deleted += sum(bool(file.word & Flag.DELETED) for file in found)
    row.size_bytes += size
    account.used_bytes += size
    account.used_messages += len(found)


def shards(mailbox: Path) -> Iterator[tuple[int, Path]]:
    """The shard directories of a mailbox, ascending."""
    found = []
    for entry in os.listdir(mailbox):
        number_ = parse_shard(entry)
        if number_ is not None and (mailbox / entry).is_dir():
            found.append((number_, mailbox / entry))
    yield from sorted(found)


def message_files(shard: Path) -> Iterator[FoundFile]:
    """The messages in a shard; a `.eml` whose name is none of ours has UID 0."""
    with os.scandir(shard) as entries:
        for entry in entries:
            if not entry.name.endswith(".eml") or entry.name.startswith("."):
                continue
            uid, word = parse_file(entry.name) or (0, 0)
            try:
                stat = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            if entry.is_file(follow_symlinks=False):
                yield FoundFile(
                    Path(entry.path), uid, word, stat.st_size, stat.st_mtime_ns // 10**9
                )
