"""One database transaction of one account, with the files that are made for it.

Runs in a pool thread, under the account's lock. An operation changes rows through this object;
what it did to files before the commit is undone when it fails, the rest follows the commit.
"""

from __future__ import annotations

import os
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import apsw

from rmail_kernel import failpoints
from rmail_kernel.errors import Invalid, NotFound, QuotaExceeded, Temporary
from rmail_kernel.storage.filesystem import schema, tables
from rmail_kernel.storage.filesystem.disk import (
    Owner,
    make_directory,
    make_way,
    sync_directory,
    write_json,
)
from rmail_kernel.storage.filesystem.layout import (
    MAX_UID,
    AccountPaths,
    canonical,
    directory_name,
    shard_of,
    shard_path,
)
from rmail_kernel.storage.filesystem.lock import AccountLock, Intent
from rmail_kernel.storage.filesystem.tables import AccountRow, MailboxRow

RESERVE_UIDS = 1000
RESERVE_MODSEQS = 10_000
Unlink = tuple[MailboxRow, int, int]
"""Mailbox, UID, flags."""
Rename = tuple[MailboxRow, int, int, int]
"""Mailbox, UID, flags, and those that the file's name may still have."""
Shard = tuple[int, int]
"""Mailbox and number."""


@dataclass(slots=True)
class _Shard:
    """A shard directory that this transaction changes."""

    mailbox: int
    number: int
    path: Path
    is_known: bool  # nothing had changed it behind our back
    mtime_ns: int  # when it was first looked at; 0: it was made


_Made = tuple[str, str | None]  # a file of this transaction, and where it was, if renamed


@dataclass(frozen=True, slots=True)
class Arrival:
    """A file that gets its name after the commit."""

    source: Path
    directory: Path
    name: str


@dataclass(frozen=True, slots=True)
class Mark:
    """How things were before an operation."""

    made: int
    unlinks: int
    renames: int
    arrivals: dict[tuple[int, int], Arrival]
    has_directories: bool
    changes: dict[int, int]
    mailboxes: dict[int, MailboxRow]
    account: AccountRow


@dataclass(frozen=True, slots=True)
class Room:
    """What an account may use in all; None: no limit."""

    limit_bytes: int | None = None
    limit_messages: int | None = None


NO_LIMIT = Room()


class Transaction:
    """See the module.

    Attributes:
        now: the time of the batch in seconds since the epoch.
        changes: MODSEQ by id of each mailbox that changed.
        unlinks, renames: files that follow the commit.
        arrivals: files of new messages that follow the commit, by mailbox and UID.
        notes: mtimes of shards (mailbox, number) that the last transaction left.
    """

    def __init__(
        self,
        paths: AccountPaths,
        owner: Owner,
        db: apsw.Connection,
        lock: AccountLock,
        now: int,
        notes: Mapping[Shard, int],
    ) -> None:
        self.paths = paths
        self.owner = owner
        self.db = db
        self.now = now
        self.changes: dict[int, int] = {}
        self.unlinks: list[Unlink] = []
        self.renames: list[Rename] = []
        self.arrivals: dict[tuple[int, int], Arrival] = {}
        self.has_directories = False
        self._lock = lock
        self._made: list[_Made] = []
        self._intents: list[Intent] = []
        self._written: set[int] = set()
        self._rewrite: set[int] = set()
        self._shards: dict[Shard, _Shard] = {}
        self._unsynced: set[str] = set()
        self._mailboxes: dict[int, MailboxRow] = {}
        self._stored: dict[int, MailboxRow] = {}  # as the transaction found them
        self._account = tables.account_row(db)
        self._stored_account = self._account.copy()
        self._is_flushed = False
        self._committed_modseq = self._account.modseq
        self._notes = notes
        self._left = dict(notes)  # mtimes of known shards, as stored
        self._is_alone = False
        self._store_mtimes(notes)

    # -- one operation ---------------------------------------------------------------------

    def begin(self, *, is_alone: bool = False) -> Mark:
        """Starts an operation; returns what `undo` needs.

        Args:
            is_alone: there is no other in this transaction.
        """
        self._is_alone = is_alone
        if not is_alone:
            self.db.execute("SAVEPOINT operation")
        rows = {number: row.copy() for number, row in self._mailboxes.items()}
        return Mark(
            len(self._made),
            len(self.unlinks),
            len(self.renames),
            dict(self.arrivals),
            self.has_directories,
            dict(self.changes),
            rows,
            self._account.copy(),
        )

    def end(self) -> None:
        """Keeps what the operation did."""
        if not self._is_alone:
            self.db.execute("RELEASE operation")
        self._written.clear()

    def undo(self, mark: Mark) -> None:
        """Undoes the operation since `begin`, its files too."""
        self.undo_files(mark.made)
        del self.unlinks[mark.unlinks :], self.renames[mark.renames :]
        self.arrivals = mark.arrivals
        self.has_directories, self.changes = mark.has_directories, mark.changes
        reserved = self._account.modseq_reserved
        self._mailboxes, self._account = mark.mailboxes, mark.account
        self._account.modseq_reserved = reserved  # mail.json says so already
        self._rewrite |= self._written
        self._written.clear()
        self._shards = {key: one for key, one in self._shards.items() if one.path.is_dir()}
        if self.db.in_transaction:
            self._undo_rows()

    def _undo_rows(self) -> None:
        if self._is_alone:  # under the account's lock, so nobody comes between
            self.db.execute("ROLLBACK")
            self.db.execute("BEGIN IMMEDIATE")
            self._store_mtimes(self._notes)
        else:
            self.db.execute("ROLLBACK TO operation")
            self.db.execute("RELEASE operation")

    def flush(self) -> None:
        """Writes the rows that operations changed: at the end, and before they are queried."""
        for row in self._mailboxes.values():
            if self._is_flushed or row != self._stored.get(row.id):
                tables.save_mailbox(self.db, row)
        if self._is_flushed or self._account != self._stored_account:
            tables.save_account(self.db, self._account)
        self._is_flushed = True

    def undo_files(self, mark: int = 0) -> None:
        """Takes back files made since `mark`, newest first."""
        while len(self._made) > mark:
            made, source = self._made.pop()
            path = Path(made)
            if source is not None:
                path.rename(source)
            elif path.is_dir():
                _remove_directory(path)
            else:
                path.unlink(missing_ok=True)

    # -- counters --------------------------------------------------------------------------

    @property
    def account(self) -> AccountRow:
        """The counters of the account, to be changed in place."""
        return self._account

    def next_modseq(self) -> int:
        """The MODSEQ of this operation (RFC 7162 3.1: strictly ascending)."""
        row = self._account
        row.modseq += 1
        if row.modseq >= row.modseq_reserved:
            row.modseq_reserved = row.modseq + RESERVE_MODSEQS
            self.write_counters(durable=True)
        return row.modseq

    def write_counters(self, *, durable: bool) -> None:
        """Writes mail.json; the MODSEQ in it is one that was committed."""
        value = self._account.as_json() | {"modseq": self._committed_modseq}
        write_json(self.paths.counters, value, self.owner, durable=durable)

    def mailbox(self, mailbox: str | int) -> MailboxRow:
        """A mailbox, to be changed in place.

        Raises:
            NotFound: there is none.
        """
        found = self.find(mailbox)
        if found is None:
            raise NotFound("No such mailbox", mailbox=mailbox)
        return found

    def find(self, mailbox: str | int) -> MailboxRow | None:
        """A mailbox by name or id, or None."""
        if isinstance(mailbox, str):
            try:
                mailbox = canonical(mailbox)
            except Invalid:
                return None
            for row in self._mailboxes.values():
                if row.name == mailbox:
                    return row
        elif mailbox in self._mailboxes:
            return self._mailboxes[mailbox]
        found = tables.mailbox_row(self.db, mailbox)
        if found is None or found.id in self._mailboxes:
            return None  # the row in the database has its old name
        self._mailboxes[found.id] = found
        self._stored.setdefault(found.id, found.copy())
        return found

    def track(self, row: MailboxRow) -> None:
        """Takes a new mailbox row into the transaction."""
        self._mailboxes[row.id] = row

    def forget(self, row: MailboxRow) -> None:
        """Drops a mailbox row that was deleted."""
        self._mailboxes.pop(row.id, None)

    def touched(self, row: MailboxRow, modseq: int) -> None:
        """Notes that a mailbox changed."""
        row.highestmodseq = modseq
        self.changes[row.id] = modseq

    def book(self, size_bytes: int, messages: int, room: Room = NO_LIMIT) -> None:
        """Adds to what the account uses.

        Raises:
            QuotaExceeded: it would pass the limit.
        """
        row = self._account
        used_bytes, used_messages = row.used_bytes + size_bytes, row.used_messages + messages
        limit = room.limit_bytes
        if limit is not None and size_bytes > 0 and used_bytes > limit:
            raise QuotaExceeded("The account is over its quota", used_bytes=row.used_bytes)
        limit = room.limit_messages
        if limit is not None and messages > 0 and used_messages > limit:
            raise QuotaExceeded("The account has too many messages", messages=row.used_messages)
        row.used_bytes, row.used_messages = used_bytes, used_messages

    def allocate(self, row: MailboxRow, count: int) -> range:
        """The next UIDs of a mailbox, never given out before (RFC 9051 2.3.1.1).

        Raises:
            Temporary: none are left.
        """
        found = range(row.uidnext, row.uidnext + count)
        if found.stop > MAX_UID:
            raise Temporary("The mailbox has no UIDs left", mailbox=row.name)
        row.uidnext = found.stop
        if row.uidnext > row.uid_reserved:
            row.uid_reserved = row.uidnext + RESERVE_UIDS
            self.write_status(row)
        return found

    def write_status(self, row: MailboxRow) -> None:
        """Writes the mailbox's status.json durably, before what depends on it is committed."""
        self._written.add(row.id)
        tables.write_status(self.paths.mailbox(row.name), row, self.owner, durable=True)

    # -- files -----------------------------------------------------------------------------

    def intend(self, row: MailboxRow, uids: Sequence[int]) -> None:
        """Records that files with these ascending UIDs are about to be made."""
        directory = directory_name(row.name)
        self._lock.intend([Intent(directory, a, b) for a, b in _ranges(uids)])

    def intend_arrivals(self, row: MailboxRow, uids: range) -> None:
        """As `intend`, for files that are named after the commit: once for the whole batch."""
        last = self._intents[-1] if self._intents else None
        directory = directory_name(row.name)
        if last is not None and (last.directory, last.last + 1) == (directory, uids.start):
            self._intents[-1] = Intent(directory, last.first, uids.stop - 1)
        else:
            self._intents.append(Intent(directory, uids.start, uids.stop - 1))

    def intend_mailbox(self, name: str) -> None:
        """Records that the directory of a new mailbox is about to be made."""
        self._lock.intend([Intent(directory_name(name))])

    def intend_directory(self, source: str, target: str | None) -> None:
        """Has a mailbox directory renamed (None: removed) after the commit."""
        self.db.execute(
            "INSERT INTO pending_directory (source, target) VALUES (?, ?)", (source, target)
        )
        self._lock.intend([])
        self.has_directories = True

    def shard(self, row: MailboxRow, uid: int) -> Path:
        """The directory for a message; to be called before anything in it changes."""
        number = shard_of(uid)
        found = self._shards.get((row.id, number))
        if found is not None:
            return found.path
        return self._watch(row.id, number, shard_path(self.paths.mailbox(row.name), number))

    def mailboxes(self) -> Path:
        """The directory of the mailboxes; to be called before anything in it changes."""
        return self._watch(0, 0, self.paths.mailboxes)

    def _watch(self, mailbox: int, number: int, path: Path) -> Path:
        found = self._shards.get((mailbox, number))
        if found is None:
            mtime_ns = _mtime_ns(path)
            if mtime_ns is None:
                make_directory(path, self.owner)
                self._unsynced.add(str(path.parent))
            is_known = mtime_ns is None or self.stored_mtime(mailbox, number) == mtime_ns
            found = _Shard(mailbox, number, path, is_known, mtime_ns or 0)
            self._shards[mailbox, number] = found
        return found.path

    def stored_mtime(self, mailbox: int, number: int) -> int | None:
        """The mtime of a shard as we left it, in nanoseconds; None: never seen."""
        found = schema.value(
            self.db, "SELECT mtime_ns FROM shard WHERE mailbox=? AND shard=?", mailbox, number
        )
        return None if found is None else int(found)

    def rename_in(self, source: Path, target: Path) -> None:
        """Moves a file into a shard; undone when the operation fails."""
        make_way(str(target))
        source.rename(target)
        self._made.append((str(target), str(source)))
        self._unsynced.add(str(target.parent))

    def arrive(self, row: MailboxRow, uid: int, source: Path, name: str) -> None:
        """Moves a file into a shard after the commit."""
        self.arrivals[row.id, uid] = Arrival(source, self.shard(row, uid), name)

    def own_shards(self, *, has_names: bool) -> dict[Shard, Path]:
        """The shards that will change after the commit, as far as only we have changed them; the
        mtimes that they then have are for the next transaction to note.

        Args:
            has_names: unlinks and renames change them too, not just arrivals.
        """
        found = {(box, shard_of(uid)): one.directory for (box, uid), one in self.arrivals.items()}
        for row, uid in places(self.unlinks, self.renames) if has_names else ():
            number = shard_of(uid)
            if (row.id, number) not in found:
                found[row.id, number] = shard_path(self.paths.mailbox(row.name), number)
        return {key: path for key, path in found.items() if self._was_left(key, path)}

    def _was_left(self, key: Shard, path: Path) -> bool:
        mtime_ns = self._left.get(key) or self.stored_mtime(*key)
        return mtime_ns is not None and mtime_ns == _mtime_ns(path)

    def land(self, known: Container[Shard]) -> None:
        """Gives the arrivals their names, after the commit.

        Args:
            known: the shards that only we have changed.
        """
        for (mailbox, uid), arrival in self.arrivals.items():
            name = f"{arrival.directory}/{arrival.name}"
            if (mailbox, shard_of(uid)) not in known:
                make_way(name)
            os.rename(arrival.source, name)  # noqa: PTH104 - a Path more is dear
            failpoints.reach("append.landed")

    def made(self, path: Path | str, *, is_lasting: bool = True) -> None:
        """Notes a new file or directory, removed again when the operation fails.

        Args:
            is_lasting: its name is to be durable before the commit.
        """
        self._made.append((str(path), None))
        if is_lasting:
            self._unsynced.add(str(path).rpartition("/")[0])

    def sync(self) -> None:
        """Writes the rows, makes new names durable and notes the shards' mtimes, so that our own
        changes are not taken for somebody else's.
        """
        self.flush()
        if self._intents:
            self._lock.intend(self._intents)
        for mailbox in self._rewrite:
            row = tables.mailbox_row(self.db, mailbox)
            if row is not None:  # an operation wrote what was then undone
                tables.write_status(self.paths.mailbox(row.name), row, self.owner, durable=False)
        for path in self._unsynced:
            directory = Path(path)
            if directory.is_dir():
                sync_directory(directory)
        self._unsynced.clear()
        self.note_shards()

    def note_shards(self) -> None:
        """Stores the mtime of every shard that only we have changed."""
        found = {}
        for key, shard in self._shards.items():
            mtime_ns = _mtime_ns(shard.path) if shard.is_known else None
            if mtime_ns is not None:
                self._left[key] = mtime_ns
                if mtime_ns != shard.mtime_ns:
                    found[key] = mtime_ns
        self._store_mtimes(found)
        self._shards.clear()

    def _store_mtimes(self, found: Mapping[Shard, int]) -> None:
        for (mailbox, shard), mtime_ns in found.items():
            self.db.execute(
                "REPLACE INTO shard (mailbox, shard, mtime_ns) SELECT ?1, ?2, ?3"
                " WHERE ?1 = 0 OR EXISTS (SELECT 1 FROM mailbox WHERE id = ?1)",
                (mailbox, shard, mtime_ns),
            )


def _mtime_ns(path: Path) -> int | None:
    try:
        return os.stat(path).st_mtime_ns
    except (FileNotFoundError, NotADirectoryError):
        return None


def places(unlinks: Iterable[Unlink], renames: Iterable[Rename]) -> list[tuple[MailboxRow, int]]:
    """Mailbox and UID of each."""
    return [(row, uid) for row, uid, _ in unlinks] + [(row, uid) for row, uid, *_ in renames]


def mtimes(shards: Mapping[Shard, Path]) -> dict[Shard, int]:
    """Their mtimes in nanoseconds."""
    return {key: os.stat(path).st_mtime_ns for key, path in shards.items()}


def _ranges(uids: Sequence[int]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for uid in uids:
        if found and uid == found[-1][1] + 1:
            found[-1] = (found[-1][0], uid)
        else:
            found.append((uid, uid))
    return found


def _remove_directory(path: Path) -> None:
    """Removes a mailbox directory that was made for nothing: its shards and files are gone."""
    for entry in list(path.iterdir()):
        if entry.is_dir():
            entry.rmdir()
        else:
            entry.unlink()
    path.rmdir()
