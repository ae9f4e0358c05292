"""Checking an account: rows against files, counters against rows, JSON files against both.

Safe beside a running server: each step is one transaction under the account's lock, at most one
shard long. Repair never deletes a message: files without a row get one, rows without a file go.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import apsw

from rmail_kernel.storage.filesystem import keyword_file, outside, schema, settling, tables, views
from rmail_kernel.storage.filesystem.agreement import counter_faults, status_faults
from rmail_kernel.storage.filesystem.expunging import COLUMNS
from rmail_kernel.storage.filesystem.keyword_file import IN_NAMES
from rmail_kernel.storage.filesystem.layout import SHARD_SIZE
from rmail_kernel.storage.filesystem.outside import known_bits, mtimes
from rmail_kernel.storage.filesystem.rebuild import FoundFile, message_files
from rmail_kernel.storage.filesystem.store import FilesystemMailStore
from rmail_kernel.storage.filesystem.tables import MailboxRow
from rmail_kernel.storage.filesystem.threads import forget_threads
from rmail_kernel.storage.filesystem.transaction import RESERVE_MODSEQS, RESERVE_UIDS, Transaction
from rmail_kernel.storage.ids import AccountId
from rmail_kernel.storage.mail import Flag

Severity = Literal["error", "warning"]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be. `mailbox` is '' for the account itself."""

    severity: Severity
    mailbox: str
    text: str
    repaired: bool


@dataclass(slots=True)
class Report:
    """What a check found, and how much it looked at."""

    findings: list[Finding] = field(default_factory=list)
    messages: int = 0

    @property
    def is_clean(self) -> bool:
        """Whether nothing is wrong, or no longer."""
        return all(finding.repaired for finding in self.findings)


async def check(
    store: FilesystemMailStore,
    account: AccountId,
    repair: bool,
    progress: Progress,
    *,
    reindex: bool = False,
) -> Report:
    """Checks one account, and with `repair` puts right what it finds.

    Args:
        progress: called with the steps done and the steps in all.
        reindex: also make search.db anew when nothing is wrong with it; only with `repair`.

    Raises:
        NotFound: no such account. Temporary: its files cannot be read.
    """
    report = Report()
    report.findings += await store.transact(account, partial(_check_database, repair))
    if repair and report.findings:
        await store.transact(account, _refuse_damage)
    report.findings += await store.transact(
        account, partial(_check_counters, repair), durable=repair
    )
    await store.settle(account)
    steps: list[Callable[[Transaction], list[Finding]]] = []
    for mailbox, shards in await store.transact(account, _plan):
        steps += [partial(_check_shard, mailbox, shard, report, repair) for shard in shards]
        steps.append(partial(_check_mailbox, mailbox, repair))
    steps.append(partial(_check_account, repair))
    for done, step in enumerate(steps):
        progress(done, len(steps))
        report.findings += await store.transact(account, step, durable=repair)
    texts = await store.index_faults(account)
    report.findings += [Finding("error", "", text, repair) for text in texts]
    if repair:
        await store.index(account, anew=bool(texts) or reindex)
    progress(len(steps), len(steps))
    return report


def _plan(tx: Transaction) -> list[tuple[int, list[int]]]:
    """The mailboxes and their shards, on disk or in rows."""
    outside.take_mailboxes(tx)
    found = []
    for row in tables.mailbox_rows(tx.db):
        shards = set(mtimes(tx.paths.mailbox(row.name)))
        sql = f"SELECT DISTINCT uid / {SHARD_SIZE} FROM message WHERE mailbox=?"  # noqa: S608 - a constant
        shards |= {shard for (shard,) in schema.rows(tx.db, sql, row.id)}
        found.append((row.id, sorted(shards)))
    return found


def _check_shard(
    mailbox: int, shard: int, report: Report, repair: bool, tx: Transaction
) -> list[Finding]:
    row = tx.find(mailbox)
    if row is None:
        return []
    directory = tx.shard(row, shard * SHARD_SIZE)
    files = sorted(message_files(directory), key=lambda file: file.uid)
    report.messages += len(files)
    uids = range(shard * SHARD_SIZE, (shard + 1) * SHARD_SIZE)
    rows = {found[0]: found for found in schema.messages(tx.db, row.id, uids, COLUMNS)}
    leaving = outside.leaving(tx, row.id, uids)
    texts = _compare(row, rows, [file for file in files if file.uid not in leaving])
    sizes = {f.uid: f.size_bytes for f in files if f.uid in rows and rows[f.uid][3] != f.size_bytes}
    if repair and texts:
        tx.db.execute("DELETE FROM shard WHERE mailbox=? AND shard=?", (mailbox, shard))
        outside.take_mailbox(mailbox, tx)
    for uid, size in sizes.items():
        texts.append(("error", f"message {uid} has {size} bytes, not {rows[uid][3]}"))
        if repair:
            _resize(tx, row, uid, size - rows[uid][3])
    return [Finding(severity, row.name, text, repair) for severity, text in texts]


def _compare(
    row: MailboxRow, rows: dict[int, schema.Row], files: list[FoundFile]
) -> list[tuple[Severity, str]]:
    texts: list[tuple[Severity, str]] = []
    counted = Counter(file.uid for file in files)
    for uid in sorted(rows.keys() - counted.keys()):
        texts.append(("error", f"message {uid} has no file"))
    for file in files:
        if file.uid not in rows:
            texts.append(("warning", f"{file.path.name} is not in the index"))
        elif counted[file.uid] > 1:
            texts.append(("error", f"{file.path.name} is one of several files of this UID"))
        elif rows[file.uid][2] >= 0 and _is_misnamed(row, file, rows[file.uid][1]):
            texts.append(("warning", f"{file.path.name} is not named after its flags"))
    return texts


def _is_misnamed(row: MailboxRow, file: FoundFile, flags: int) -> bool:
    return file.word & known_bits(row) & IN_NAMES != flags & IN_NAMES


def _has_other_keywords(tx: Transaction, row: MailboxRow) -> bool:
    """Whether keywords.json says anything else than the rows, of messages that are there."""
    rows = keyword_file.told(tx.db, row)
    said = keyword_file.read(tx.paths.mailbox(row.name), row.keywords)
    for uid in {uid for uid in rows.keys() | said.keys() if rows.get(uid) != said.get(uid)}:
        sql = "SELECT named FROM message WHERE mailbox=? AND uid=?"
        found = schema.first(tx.db, sql, row.id, uid)
        if found is not None and found[0] >= 0:
            return True
    return False


def _resize(tx: Transaction, row: MailboxRow, uid: int, by: int) -> None:
    """Takes the size from the file; what was computed from other bytes is forgotten."""
    tx.db.execute(
        "UPDATE message SET size_bytes=size_bytes+? WHERE mailbox=? AND uid=?", (by, row.id, uid)
    )
    key = schema.summary_key(row.id, uid)
    for table in ("summary", "digest"):
        tx.db.execute(f"DELETE FROM {table} WHERE key=?", (key,))  # noqa: S608 - constants
    tx.db.execute("INSERT OR IGNORE INTO undigested (key) VALUES (?)", (key,))
    row.size_bytes += by
    tx.book(by, 0)


def _check_mailbox(mailbox: int, repair: bool, tx: Transaction) -> list[Finding]:
    row = tx.find(mailbox)
    if row is None:
        return []
    texts = [f"status.json {text}" for text in status_faults(tx.paths, row)]
    counted = _count(tx, row)
    said = (row.total, row.unseen, row.deleted, row.size_bytes, row.recent)
    if counted != said:
        texts.append(f"counters say {said}, the messages {counted}")
    highest = schema.value(tx.db, "SELECT max(uid) FROM message WHERE mailbox=?", mailbox) or 0
    if highest >= row.uidnext:
        texts.append(f"UIDNEXT is {row.uidnext}, but there is a message {highest}")
    if _has_other_keywords(tx, row):
        texts.append("keywords.json has other keywords of messages")
        if repair:
            keyword_file.write(tx.db, tx.paths.mailbox(row.name), row, tx.owner)
    if repair and texts:
        row.total, row.unseen, row.deleted, row.size_bytes, row.recent = counted
        row.uidnext = max(row.uidnext, highest + 1)
        row.uid_reserved = max(row.uid_reserved, row.uidnext + RESERVE_UIDS)
        tx.write_status(row)
        tx.touched(row, tx.next_modseq())
    return [Finding("error", row.name, text, repair) for text in texts]


def _count(tx: Transaction, row: MailboxRow) -> tuple[int, ...]:
    found = schema.first(
        tx.db,
        "SELECT count(*), total(flags & ? = 0), total(flags & ? <> 0), total(size_bytes),"
        " total(uid >= ?) FROM message WHERE mailbox=?",
        int(Flag.SEEN),
        int(Flag.DELETED),
        row.recent_from,
        row.id,
    )
    return tuple(map(int, found or ()))


def _check_account(repair: bool, tx: Transaction) -> list[Finding]:
    texts = []
    used = schema.first(tx.db, "SELECT total(size_bytes), count(*) FROM message") or (0, 0)
    account = tx.account
    if (account.used_bytes, account.used_messages) != (int(used[0]), used[1]):
        said = f"{account.used_bytes} bytes in {account.used_messages} messages"
        texts.append(f"the account says {said}, there are {int(used[0])} in {used[1]}")
    left = settling.leftovers(tx.paths, time.time())
    if left:
        texts.append(f"{len(left)} temporary files were left over")
    if repair and texts:
        account.used_bytes, account.used_messages = int(used[0]), used[1]
        for path in left:
            path.unlink(missing_ok=True)
    if repair:
        forget_threads(tx)
    return [Finding("error", "", text, repair) for text in texts]


def _check_database(repair: bool, tx: Transaction) -> list[Finding]:
    """Whether the database holds together; repair is `_refuse_damage`."""
    texts = _damage(tx)
    return [Finding("error", "", f"account.db: {text}", repair) for text in texts]


def _damage(tx: Transaction) -> list[str]:
    return schema.faults(tx.db, "integrity_check(10)") + views.faults(tx.db)


def _refuse_damage(tx: Transaction) -> None:
    """Has a damaged database set aside and made anew; the next attempt finds the new one."""
    if _damage(tx):
        raise apsw.CorruptError("found by the check")


def _check_counters(repair: bool, tx: Transaction) -> list[Finding]:
    texts = counter_faults(tx.paths, tx.account)
    if repair and texts:
        account = tx.account
        if account.modseq_reserved <= account.modseq:
            account.modseq_reserved = account.modseq + RESERVE_MODSEQS
        tx.write_counters(durable=True)
    return [Finding("error", "", f"mail.json {text}", repair) for text in texts]
