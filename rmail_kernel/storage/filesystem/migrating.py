"""Turning an account of the original layout into one of ours, in place.

Each step is atomic and can be done again: a migration that was killed is finished by the next one.
No file of a message changes its name or content. Safe beside our own server: mailboxes move under
the account's lock. The original server must not run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rmail_kernel import failpoints
from rmail_kernel.errors import Conflict, Corrupt
from rmail_kernel.storage.filesystem import records
from rmail_kernel.storage.filesystem.disk import Owner, sync_directory
from rmail_kernel.storage.filesystem.fsck import check
from rmail_kernel.storage.filesystem.layout import AccountPaths
from rmail_kernel.storage.filesystem.lock import AccountLock
from rmail_kernel.storage.filesystem.original import FoundMailbox, find_mailboxes
from rmail_kernel.storage.filesystem.store import FilesystemMailStore
from rmail_kernel.storage.ids import AccountId, Uid
from rmail_kernel.storage.mail import Field

Progress = Callable[[int, int], None]
_SUMMARY = Field.ENVELOPE | Field.BODY | Field.BODYSTRUCTURE | Field.HEADERS | Field.STRUCTURE
_CHUNK = 100


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done with one account. `problems` are for people."""

    account: AccountId
    mailboxes: tuple[FoundMailbox, ...]
    has_old_record: bool
    password_hash: str
    record_problem: str = ""

    @property
    def is_needed(self) -> bool:
        """Whether anything of it is of the original layout."""
        return self.has_old_record or any(
            one.is_original or one.has_to_move for one in self.mailboxes
        )

    @property
    def messages(self) -> int:
        """How many there are."""
        return sum(one.messages for one in self.mailboxes)

    @property
    def size_bytes(self) -> int:
        """How large they are together."""
        return sum(one.size_bytes for one in self.mailboxes)

    @property
    def problems(self) -> list[str]:
        """What a person should know."""
        own = [self.record_problem] if self.record_problem else []
        return own + [
            f"{one.name or one.directory}: {problem}"
            for one in self.mailboxes
            for problem in one.problems
        ]


@dataclass(slots=True)
class Survey:
    """What a store holds. `domains`: those with records of the original layout."""

    accounts: list[Plan] = field(default_factory=list)
    domains: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def survey(root: Path, only: AccountId | None = None) -> Survey:
    """Looks at a store, or at one account, without changing anything.

    Raises:
        OSError: its files cannot be read.
    """
    found = Survey()
    for domain in _folders(root / "domains"):
        if not records.is_domain_folder(domain.name):
            continue
        if only is None and _is_old_domain(domain, found.problems):
            found.domains.append(domain.name)
        for home in _folders(domain / "users"):
            account = AccountId(f"{home.name}@{domain.name}")
            if only not in (None, account):
                continue
            if records.is_user_name(home.name):
                found.accounts.append(_plan(account, home))
            else:
                found.problems.append(f"{home}: not the name of a user; it is left alone")
    return found


def _folders(path: Path) -> list[Path]:
    return sorted(one for one in path.iterdir() if one.is_dir()) if path.is_dir() else []


def _is_old_domain(folder: Path, problems: list[str]) -> bool:
    try:
        domain = _record(folder / "domain.json")
        aliases = _record(folder / "aliases.json", records.ALIASES_VERSION)
    except Corrupt as error:
        problems.append(error.safe)
        return False
    if aliases is not None and records.is_old_aliases(aliases):
        return True
    return domain is None or "version" not in domain


def _record(path: Path, known: int = records.VERSION) -> dict[str, Any] | None:
    try:
        return records.parse(path.read_bytes(), path, known)
    except FileNotFoundError:
        return None


def _plan(account: AccountId, home: Path) -> Plan:
    name, _, domain = account.rpartition("@")
    path = home / "account.json"
    mailboxes = tuple(find_mailboxes(home / "mailboxes"))
    try:
        data = _record(path)
        if data is None:
            raise Corrupt(f"there is no {path}, so nobody can log in")
        hashed = records.load_account(data, name, domain, path).password_hash
    except Corrupt as error:
        return Plan(account, mailboxes, False, "", error.safe)
    return Plan(account, mailboxes, "version" not in data, hashed)


async def migrate_mail(
    store: FilesystemMailStore, root: Path, planned: Plan, progress: Progress
) -> list[str]:
    """Migrates the mail of one account; what is wrong with it afterwards.

    Args:
        progress: called with the messages done and the messages in all.

    Raises:
        Temporary: a file could not be read or written; begin again. Conflict: a directory is in
            the way.
    """
    paths = AccountPaths.of(root, planned.account)
    _move_mailboxes(paths, Owner.of(root), planned.mailboxes)
    boxes = await store.mailboxes(planned.account)  # makes the index, and status.json as ours
    failpoints.reach("migrate.indexed")
    total = sum(box.total for box in boxes)
    done = 0
    for box in boxes:
        view = await store.view(planned.account, box.id)
        uids = list(map(Uid, view.uids[: view.total]))
        for start in range(0, len(uids), _CHUNK):
            chunk = uids[start : start + _CHUNK]
            async for _ in store.fetch(planned.account, box.id, chunk, _SUMMARY):
                failpoints.reach("migrate.summarised")
            done += len(chunk)
            progress(done, max(total, done))
    report = await check(store, planned.account, repair=False, progress=lambda *_: None)
    return [f"{one.mailbox or 'account'}: {one.text}" for one in report.findings]


def _move_mailboxes(paths: AccountPaths, owner: Owner, found: Sequence[FoundMailbox]) -> None:
    """Gives directories our names, the innermost first, so none moves with its holder."""
    todo = sorted((one for one in found if one.has_to_move), key=lambda one: -one.depth)
    if not todo:
        return
    lock = AccountLock(paths.lock, owner)
    try:
        lock.acquire()
        for one in todo:
            source, target = paths.mailboxes / one.directory, paths.mailboxes / one.target
            if target.exists():
                raise Conflict(f"{target} is in the way of {source}")
            source.rename(target)
            sync_directory(paths.mailboxes)
            sync_directory(source.parent)
            failpoints.reach("migrate.moved")
    finally:
        lock.close()
