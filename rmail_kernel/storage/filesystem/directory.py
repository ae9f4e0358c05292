"""The account directory of the embedded driver: domains, users and aliases as JSON files.

A read is a dictionary look-up behind one stat of the store's generation, so every process sees
every answered change at its next call. Writes take the store's lock in a thread. A record is
never seen half-written, a deleted account never in part.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rmail_kernel.errors import ConfigError, Conflict, Corrupt, Invalid, NotFound, Temporary
from rmail_kernel.model import Address, normalise_domain
from rmail_kernel.storage.accounts import Account, Alias
from rmail_kernel.storage.events import Change, EventBus
from rmail_kernel.storage.filesystem import records
from rmail_kernel.storage.filesystem.record_files import Generation, RecordFiles
from rmail_kernel.storage.filesystem.turn import Turn
from rmail_kernel.storage.ids import AccountId
from rmail_kernel.storage.patterns import compile_pattern, is_catch_all

if TYPE_CHECKING:
    from rmail_kernel.clock import Clock

MAX_CACHED_ACCOUNTS = 10_000
MAX_ALIASES = 10_000  # of one domain
MAX_ALIAS_TARGETS = 100  # of one rule; delivery follows no more
MAX_CACHE_AGE_S = 30.0  # heals what bypassed the generation: a crash between file and counter
T = TypeVar("T")


class FilesystemDirectory:
    """The Directory contract over `root/domains`.

    Args:
        root: folder of the store; made when absent.
        clock: where time comes from.
        events: told of every changed account.

    Raises:
        ConfigError: the store cannot be used by this user, or is of a newer version.
    """

    def __init__(self, root: Path, *, clock: Clock, events: EventBus) -> None:
        self._files = RecordFiles(root)
        self._clock = clock
        self._events = events
        self._files.open()
        self._check_versions()
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="rmail-directory")
        self._turn = Turn()
        self._seen: Generation | None = None
        self._fresh_until = 0.0
        self._accounts: dict[AccountId, Account] = {}
        self._domains: frozenset[str] = frozenset()
        self._rules: dict[str, tuple[Alias, ...]] = {}

    async def close(self) -> None:
        """Waits for writes under way. Idempotent."""
        self._threads.shutdown(wait=True)

    async def domains(self) -> list[str]:
        """All domains, sorted, lower-case A-labels."""
        self._refresh()
        return sorted(self._domains)

    async def has_domain(self, domain: str) -> bool:
        """Whether mail for this domain is local."""
        self._refresh()
        return domain in self._domains or _normal(domain) in self._domains

    async def add_domain(self, domain: str) -> None:
        """Makes a domain. Conflict: it exists. Invalid: not a domain name."""
        await self._run(self._add_domain, normalise_domain(domain))

    async def remove_domain(self, domain: str) -> None:
        """Removes an empty domain with its aliases. Conflict: it has users. NotFound."""
        gone = await self._run(self._withdraw_domain, _normal(domain))
        await self._run(self._files.remove, gone)

    async def get(self, address: Address) -> Account | None:
        """The account of exactly this address (local part without case), or None."""
        return self._find(AccountId(address.key))

    async def by_id(self, account: AccountId) -> Account | None:
        """The account of this id, or None."""
        return self._find(account)

    async def users(self, domain: str) -> list[Account]:
        """Accounts of a domain, sorted. NotFound: no such domain."""
        return await self._run(self._users, _normal(domain))

    async def create(self, account: Account) -> Account:
        """Writes a new account; `created_at` is set when None, `credential_version` is one that no
        account of this store ever had. Its mailboxes come with its first use.

        Raises:
            Invalid: a bad user name or quota. Conflict: it exists. NotFound: no such domain.
        """
        stored = await self._run(self._create, account)
        self._publish(stored.id)
        return stored

    async def update(self, account: Account, **changes: object) -> Account:
        """Changes fields of a record atomically; returns what is stored now.

        `credential_version` rises when the hash or `is_enabled` changes. Given explicitly it is a
        precondition and is kept: Conflict when the stored one differs.

        Raises:
            NotFound: the account is gone. Invalid: an unknown field or a bad value.
        """
        stored = await self._run(self._update, account.id, changes)
        self._publish(stored.id)
        return stored

    async def delete(self, account: AccountId) -> None:
        """Removes an account and all its data. NotFound."""
        gone = await self._run(self._withdraw_account, account)
        self._publish(account)
        await self._run(self._files.remove, gone)

    async def aliases(self, domain: str) -> Sequence[Alias]:
        """Rules in the order in which they apply: as declared, but catch-alls last. The same object
        while nothing changed.
        """
        self._refresh()
        domain = _normal(domain)
        rules = self._rules.get(domain)
        if rules is None:
            if domain not in self._domains:
                return ()
            declared, _ = self._read_aliases(domain)
            rules = tuple(sorted(declared, key=lambda alias: is_catch_all(alias.pattern)))
            self._rules[domain] = rules
        return rules

    async def add_alias(self, domain: str, alias: Alias) -> None:
        """Appends a rule. NotFound: no such domain. Conflict: this pattern exists. Invalid: a bad
        pattern (with RE2's reason) or target, or too many rules.
        """
        compile_pattern(alias.pattern)
        await self._run(self._add_alias, _normal(domain), alias)

    async def remove_alias(self, domain: str, pattern: str) -> None:
        """Removes a rule. NotFound."""
        await self._run(self._remove_alias, _normal(domain), pattern)

    async def renew_account(self, account: AccountId) -> None:
        """Writes a record of the original layout in today's form. NotFound, Corrupt. Not part of
        the contract.
        """
        await self._run(self._renew_account, account)

    async def renew_domain(self, domain: str) -> None:
        """As `renew_account`, the records of a domain."""
        await self._run(self._renew_domain, domain)

    # --- reading

    def _refresh(self) -> None:
        """Forgets everything when any process wrote since. Files are read after the stat, so what
        is kept is never older than the generation it is kept under.
        """
        if self._seen is not None and not self._turn.is_new():
            return
        now = self._clock.monotonic()
        generation = self._files.generation()
        if generation == self._seen and generation is not None and now < self._fresh_until:
            return
        self._accounts.clear()
        self._rules.clear()
        self._domains = self._scan_domains()
        self._seen, self._fresh_until = generation, now + MAX_CACHE_AGE_S

    def _find(self, account: AccountId) -> Account | None:
        self._refresh()
        found = self._accounts.get(account)
        if found is None:
            loaded = self._load(account)
            if loaded is None:
                return None
            found, _ = loaded
            if len(self._accounts) >= MAX_CACHED_ACCOUNTS:
                del self._accounts[next(iter(self._accounts))]
            self._accounts[account] = found
        return found

    def _load(self, account: AccountId) -> tuple[Account, dict[str, Any]] | None:
        folder = self._folder(account)
        path = folder / "account.json" if folder else None
        raw = _read(path) if path else None
        if raw is None:
            return None
        name, _, domain = account.rpartition("@")
        data = records.parse(raw, path)
        return records.load_account(data, name, domain, path), data

    def _folder(self, account: AccountId) -> Path | None:
        """Where an account lies; None for an id that never may become a path."""
        name, at, domain = account.rpartition("@")
        if not at or not records.is_user_name(name) or not records.is_domain_folder(domain):
            return None
        return self._files.domains / domain / "users" / name

    def _scan_domains(self) -> frozenset[str]:
        folders = (path for path in self._files.domains.iterdir() if path.is_dir())
        return frozenset(path.name for path in folders if records.is_domain_folder(path.name))

    def _users(self, domain: str) -> list[Account]:
        names = sorted(path.name for path in self._user_folders(domain))
        found = (self._load(AccountId(f"{name}@{domain}")) for name in names)
        return [loaded[0] for loaded in found if loaded]

    def _user_folders(self, domain: str) -> list[Path]:
        folder = self._domain_folder(domain) / "users"
        if not folder.is_dir():
            return []
        return [path for path in folder.iterdir() if records.is_user_name(path.name)]

    def _domain_folder(self, domain: str) -> Path:
        folder = self._files.domains / domain
        if not domain or not folder.is_dir():
            raise NotFound(f"There is no domain {domain}" if domain else "There is no such domain")
        return folder

    def _read_aliases(self, domain: str) -> tuple[list[Alias], dict[str, Any]]:
        path = self._files.domains / domain / "aliases.json"
        raw = _read(path)
        if raw is None:
            return [], {}
        data = records.parse(raw, path, records.ALIASES_VERSION)
        return records.load_aliases(data, path), data

    def _check_versions(self) -> None:
        for domain in sorted(self._scan_domains()):
            path = self._files.domains / domain / "domain.json"
            raw = _read(path)
            try:
                records.parse(raw or b"{}", path)
            except Corrupt as error:
                raise ConfigError(error.safe, path="mail_root") from error

    # --- writing, in the directory's threads

    async def _run(self, function: Callable[..., T], *arguments: Any) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, function, *arguments)

    def _publish(self, account: AccountId) -> None:
        self._events.publish(Change(account, "account"))

    def _add_domain(self, domain: str) -> None:
        with self._files.writing():
            if (self._files.domains / domain).exists():
                raise Conflict(f"The domain {domain} exists already")
            staged = self._files.stage()
            self._files.make_folder(staged / "users")
            data = {"version": records.VERSION, "domain": domain, "created": self._now()}
            self._files.write(staged / "domain.json", records.dump(data))
            self._files.publish(staged, self._files.domains / domain)

    def _withdraw_domain(self, domain: str) -> Path:
        with self._files.writing():
            folder = self._domain_folder(domain)
            if self._user_folders(domain):
                raise Conflict(f"The domain {domain} has users")
            return self._files.withdraw(folder)

    def _create(self, account: Account) -> Account:
        name, domain = account.address.local, account.address.domain
        records.check_user_name(name)
        records.check_quota(account.quota_mb, account.quota_messages)
        with self._files.writing():
            users = self._domain_folder(domain) / "users"
            if not users.exists():
                self._files.make_folder(users)
            if (users / name).exists():
                raise Conflict(f"The user {name}@{domain} exists already")
            stored = replace(
                account,
                id=AccountId(account.address.key),
                created_at=account.created_at or self._clock.now(),
                credential_version=max(self._files.count() + 1, account.credential_version),
            )
            staged = self._files.stage()
            data = records.dump_account(stored, {})
            self._files.write(staged / "account.json", records.dump(data))
            self._files.publish(staged, users / name)
        return stored

    def _update(self, account: AccountId, changes: dict[str, object]) -> Account:
        with self._files.writing():
            loaded, folder = self._load(account), self._folder(account)
            if loaded is None or folder is None:
                raise NotFound("There is no such account", account=account)
            stored, data = loaded
            wanted = changes.get("credential_version", stored.credential_version)
            if wanted != stored.credential_version:
                raise Conflict("The account changed meanwhile", account=account)
            new = records.changed(stored, changes, self._files.count())
            if new != stored:
                data = records.dump_account(new, data)
                self._files.write(folder / "account.json", records.dump(data))
        return new

    def _renew_account(self, account: AccountId) -> None:
        with self._files.writing():
            loaded, folder = self._load(account), self._folder(account)
            if loaded is None or folder is None:
                raise NotFound("There is no such account", account=account)
            stored, data = loaded
            if "version" not in data:
                self._files.write(
                    folder / "account.json", records.dump(records.dump_account(stored, data))
                )

    def _renew_domain(self, domain: str) -> None:
        with self._files.writing():
            folder = self._domain_folder(domain)
            rules, data = self._read_aliases(domain)
            aliases = folder / "aliases.json"
            if aliases.exists() and records.is_old_aliases(data):
                self._files.write(aliases, records.dump(records.dump_aliases(rules, data)))
            path = folder / "domain.json"
            found = records.parse(_read(path) or b"{}", path)
            if "version" not in found:
                renewed = {"created": self._now(), **found, "version": records.VERSION}
                self._files.write(path, records.dump(renewed | {"domain": domain}))

    def _withdraw_account(self, account: AccountId) -> Path:
        with self._files.writing():
            folder = self._folder(account)
            if folder is None or not folder.is_dir():  # an unreadable record can be deleted, too
                raise NotFound("There is no such account", account=account)
            return self._files.withdraw(folder)

    def _add_alias(self, domain: str, alias: Alias) -> None:
        with self._files.writing():
            folder = self._domain_folder(domain)
            alias = self._checked(domain, alias)
            rules, data = self._read_aliases(domain)
            if any(rule.pattern == alias.pattern for rule in rules):
                raise Conflict(f"The pattern {alias.pattern} exists already in {domain}")
            if len(rules) >= MAX_ALIASES:
                raise Invalid(f"A domain has at most {MAX_ALIASES} aliases")
            changed = records.dump_aliases([*rules, alias], data)
            self._files.write(folder / "aliases.json", records.dump(changed))

    def _remove_alias(self, domain: str, pattern: str) -> None:
        with self._files.writing():
            folder = self._domain_folder(domain)
            rules, data = self._read_aliases(domain)
            kept = [rule for rule in rules if rule.pattern != pattern]
            if len(kept) == len(rules):
                raise NotFound(f"There is no alias {pattern} in {domain}")
            self._files.write(
                folder / "aliases.json", records.dump(records.dump_aliases(kept, data))
            )

    def _checked(self, domain: str, alias: Alias) -> Alias:
        """The rule with its targets as they are stored, each once."""
        if len(alias.targets) > MAX_ALIAS_TARGETS:
            raise Invalid(f"An alias has at most {MAX_ALIAS_TARGETS} targets")
        targets = dict.fromkeys(self._target(domain, target) for target in alias.targets)
        return Alias.to(alias.pattern, tuple(targets))

    def _target(self, domain: str, target: str) -> str:
        """A full address as it is, a user name in lower case; it must be a user of the domain."""
        if "@" in target:
            return str(Address.parse(target))
        name = target.lower()
        if self._load(AccountId(f"{name}@{domain}")) is None:
            raise Invalid(f"There is no user {target} in {domain}")
        return name

    def _now(self) -> str:
        return self._clock.now().isoformat()


def _normal(domain: str) -> str:
    """The domain as its folder is named; '' when it cannot be one."""
    try:
        return normalise_domain(domain)
    except Invalid:
        return ""


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise Temporary("The account store cannot be read", reason=str(error)) from error
