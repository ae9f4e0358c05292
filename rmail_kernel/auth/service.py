"""The auth service: lockout, verified-credential cache, `on_auth` plugins, the local directory, in
this order.

Wrong, unknown and disabled look the same and take the same time. Secrets are never logged, and
kept only as keyed hashes. Hashing runs in threads, at most one per core at a time.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

import structlog

from rmail_kernel.auth.attempts import Attempts, described, is_login, key_of
from rmail_kernel.auth.keeper import Keeper
from rmail_kernel.auth.lockout import Lockout
from rmail_kernel.auth.passwords import Passwords, is_acceptable
from rmail_kernel.auth.proofs import Proofs
from rmail_kernel.auth.sasl import Exchange, mechanisms
from rmail_kernel.auth.tokens import Tokens
from rmail_kernel.auth.verified import Verified, VerifiedCache
from rmail_kernel.errors import AuthFailed, LockedOut, RmailError, Temporary
from rmail_kernel.model import Address, Principal, Reject, SessionInfo
from rmail_kernel.storage.accounts import Account, ScramKeys
from rmail_kernel.tasks import SingletonTask

if TYPE_CHECKING:
    from rmail_kernel.kernel import Kernel

MAX_WAITING = 256  # logins that may wait for a hash in one process
_log = structlog.get_logger("rmail.auth")


class AuthService:
    """The Auth contract.

    Args:
        kernel: its settings, clock, bus, directory and state are used.
        passwords: hashing; None: bcrypt at the cost of the settings.
        cache: verified credentials; None: an empty one.
        sleep: how a slowed-down account waits.

    Raises:
        ConfigError: the token secret in the environment is too short.
    """

    def __init__(
        self,
        kernel: Kernel,
        *,
        passwords: Passwords | None = None,
        cache: VerifiedCache | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._kernel = kernel
        self._injected = passwords
        self._cache = cache if cache is not None else VerifiedCache()
        self._sleep = sleep
        self._lockout = Lockout(kernel)
        self._tokens = Tokens(kernel)
        self._attempts = Attempts(kernel)
        self._proofs = Proofs(kernel, self._attempts, self._lockout, sleep, self.check_token)
        self._keeper = Keeper(kernel)
        self._slots = asyncio.Semaphore(len(os.sched_getaffinity(0)))
        self._waiting = 0
        self._flights: dict[bytes, asyncio.Task[Account | RmailError]] = {}

    async def authenticate(self, login: str, secret: str, session: SessionInfo) -> Principal:
        """See `Auth.authenticate`. Each success, from the cache too, is an `on_login`."""
        work = self._authenticate(login, secret, session)
        return await self._attempts.told(login, session, work)

    def tasks(self) -> list[SingletonTask]:
        """See `Auth.tasks`."""
        return self._keeper.tasks()

    def mechanisms(self, bindings: Mapping[str, bytes] | None = None) -> list[str]:
        """See `Auth.mechanisms`."""
        return mechanisms.names(has_scram=self._has_scram, is_bindable=bindings is not None)

    def exchange(
        self, mechanism: str, session: SessionInfo, bindings: Mapping[str, bytes] | None = None
    ) -> Exchange:
        """See `Auth.exchange`."""
        return mechanisms.begin(
            mechanism, self, session, has_scram=self._has_scram, bindings=bindings
        )

    async def is_same(self, login: str, other: str) -> bool:
        """Whether two logins mean one account."""
        if login == other:
            return True
        one, two = await self._attempts.address(login), await self._attempts.address(other)
        return one is not None and two is not None and one.key == two.key

    async def by_token(self, login: str, token: str, session: SessionInfo) -> Principal:
        """See `Proofs.by_token`."""
        return await self._proofs.by_token(login, token, session)

    async def keys(self, login: str, session: SessionInfo) -> tuple[Account | None, ScramKeys]:
        """See `Proofs.keys`."""
        return await self._proofs.keys(login, session)

    async def settle(
        self, login: str, account: Account | None, session: SessionInfo, *, is_proved: bool
    ) -> Principal:
        """See `Proofs.settle`."""
        return await self._proofs.settle(login, account, session, is_proved=is_proved)

    async def is_current(self, principal: Principal) -> bool:
        """Whether the account exists, is enabled and has the same credential version."""
        account = await self._kernel.directory.by_id(principal.account)
        return (
            account is not None
            and account.is_enabled
            and account.credential_version == principal.credential_version
        )

    def issue_token(self, principal: Principal) -> tuple[str, int]:
        """A signed bearer token and its life in seconds (RFC 7519)."""
        return self._tokens.issue(principal)

    async def check_token(self, token: str) -> Principal:
        """The principal of a token. AuthFailed: bad, expired, or the account changed since."""
        claims = self._tokens.read(token)
        account = await self._kernel.directory.by_id(claims.account)
        if account is None or not account.is_enabled or not claims.fits(account):
            raise AuthFailed("Invalid token")
        return account.principal()

    async def _authenticate(
        self, login: str, secret: str, session: SessionInfo
    ) -> tuple[Principal, str]:
        address = await self._attempts.address(login)
        name = key_of(login, address)
        peer = self._lockout.peer(session.peer_host)
        if not is_login(login) or not is_acceptable(secret):
            await self._lockout.check(peer, "")
            await self._lockout.failed(peer, "")
            raise _refused()
        await self._lockout.check(peer, name)
        digest = self._cache.digest(name, secret, self._scope(session))
        if (account := await self._remembered(digest)) is not None:
            return account.principal(), "cached"
        if (wait_s := await self._lockout.delay_s(peer, name)) > 0:
            await self._sleep(wait_s)
        try:
            account = await self._ask_plugins(login, secret, session)
            account = account or await self._ask_directory(digest, address, secret, (peer, name))
        except LockedOut:
            raise
        except AuthFailed:
            await self._lockout.failed(peer, name)
            raise
        self._remember(digest, account)
        try:
            await self._lockout.succeeded(peer, name)
        except Temporary as error:  # a full disk must not keep out who is right
            _log.warning(
                "login not recorded", reason=str(error.fields), **described(login, session)
            )
        return account.principal(), "ok"

    # --- the cache

    def _scope(self, session: SessionInfo) -> str:
        """A plugin's answer may depend on protocol and peer; the directory's never does."""
        if self._kernel.bus.has("on_auth"):
            return f"{session.protocol}\0{session.peer_host}"
        return ""

    async def _remembered(self, digest: bytes) -> Account | None:
        found = self._cache.get(digest, self._kernel.clock.monotonic())
        if found is None:
            return None
        account = await self._kernel.directory.by_id(found.account)
        if account and account.is_enabled and account.credential_version == found.version:
            return account
        self._cache.drop(digest)
        return None

    def _remember(self, digest: bytes, account: Account) -> None:
        cache_s = self._kernel.settings.auth.cache_s
        if cache_s > 0:
            ends_at = self._kernel.clock.monotonic() + cache_s
            self._cache.put(digest, Verified(account.id, account.credential_version, ends_at))

    # --- who knows the answer

    async def _ask_plugins(self, login: str, secret: str, session: SessionInfo) -> Account | None:
        """The account that a plugin let in, with the directory's rights. None: not theirs."""
        answer: Principal | Reject | None = await self._kernel.bus.first(
            "on_auth", login=login, secret=secret, session=session
        )
        if answer is None:
            return None
        if isinstance(answer, Reject):
            raise _refused()
        account = await self._kernel.directory.by_id(answer.account)
        if account is None or not account.is_enabled:
            raise _refused()
        return account

    async def _ask_directory(
        self, digest: bytes, address: Address | None, secret: str, who: tuple[str | None, str]
    ) -> Account:
        """Checks a password; identical attempts at one time share one check."""
        flight = self._flights.get(digest)
        if flight is None:
            work = self._check(address, secret, who)
            flight = self._kernel.spawn(work, "password check")
            self._flights[digest] = flight
            flight.add_done_callback(lambda _: self._flights.pop(digest, None))
        result = await asyncio.shield(flight)
        if isinstance(result, RmailError):
            raise result
        return result

    async def _check(
        self, address: Address | None, secret: str, who: tuple[str | None, str]
    ) -> Account | RmailError:
        """One check in a thread. Returns errors: a wrong password is no failure of the task."""
        if self._waiting >= MAX_WAITING:
            return Temporary("Too many logins at once, try again later")
        self._waiting += 1
        try:
            async with self._slots:
                # Others of this burst may have failed while this one waited.
                await self._lockout.check(*who)
                return await self._check_password(address, secret)
        except RmailError as error:
            return error
        finally:
            self._waiting -= 1

    async def _check_password(self, address: Address | None, secret: str) -> Account:
        directory = self._kernel.directory
        account = await directory.get(address) if address else None
        stored = account.password_hash if account else ""
        is_right = await self._kernel.run(self._passwords.check, secret, stored)
        if account is None or not is_right or not account.is_enabled:
            raise _refused()
        await self._keeper.renew(account, secret, self._passwords)
        current = await directory.by_id(account.id)
        if current is None or not current.is_enabled:
            raise _refused()
        if current.credential_version != account.credential_version:
            raise _refused()  # the password was changed while its hash was looked at
        return current

    @property
    def _passwords(self) -> Passwords:
        return self._injected or Passwords(self._kernel.settings.auth.bcrypt_cost)

    @property
    def _has_scram(self) -> bool:
        # A plugin that checks passwords must see them, or it would be passed by.
        return self._kernel.settings.auth.scram and not self._kernel.bus.has("on_auth")


def _refused() -> AuthFailed:
    return AuthFailed("Wrong login or password")
