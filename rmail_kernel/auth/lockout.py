"""Lockout after repeated failures, shared by all processes through `kernel.state`.

An address that fails too often is locked out, by itself and together with the account it tried.
Failures of one account from many addresses slow that account down; they never lock its owner out.
Whoever succeeded from an address keeps access from it while others there are locked out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rmail_kernel.errors import Invalid, LockedOut
from rmail_kernel.model import Address
from rmail_kernel.net.networks import is_within, site_of
from rmail_kernel.storage.state import State

if TYPE_CHECKING:
    from rmail_kernel.kernel import Kernel
    from rmail_kernel.settings import RateLimitSettings

MAX_DELAY_S = 5.0
_FIRST_DELAY_S = 0.25
_KNOWN_S = 7 * 86400.0  # how long a success from an address counts
_IP, _PAIR, _ACCOUNT, _KNOWN = "auth:ip:", "auth:ipacct:", "auth:acct:", "auth:known:"
_UNKNOWN = "unknown"  # a peer without a usable address
_END = "\n"  # never part of an address or login: no key is a prefix of another


@dataclass(frozen=True, slots=True)
class Ban:
    """One lockout: of an address, or with `login` of that account from that address only."""

    ip: str
    login: str
    left_s: float


def peer_key(host: str) -> str:
    """How a client address is counted."""
    return site_of(host) or _UNKNOWN


def delay_s(failures: int, allowed: int) -> float:
    """Seconds that a login waits after `failures` of its account from anywhere, `allowed` of them
    free; doubling up to MAX_DELAY_S.
    """
    if failures <= allowed:
        return 0.0
    return min(MAX_DELAY_S, _FIRST_DELAY_S * 2.0 ** min(failures - allowed - 1, 16))


class Lockout:
    """Decides about one login attempt from its peer and login name."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    def peer(self, host: str) -> str | None:
        """The key under which this client address is counted; None: it is exempt."""
        settings = self._settings
        if not settings.enabled or is_within(host, tuple(settings.whitelist)):
            return None
        return peer_key(host)

    async def check(self, peer: str | None, login: str) -> None:
        """Lets an attempt pass, or raises LockedOut."""
        if peer is None:
            return
        state = self._kernel.state
        found = await state.marked(_pair(peer, login))
        if found is None:
            found = await state.marked(f"{_IP}{peer}{_END}")
            if found is None or await self._is_known(peer, login):
                return
        raise LockedOut(retry_after_s=found[0])

    async def delay_s(self, peer: str | None, login: str) -> float:
        """Seconds that this attempt must wait before it is looked at."""
        if peer is None or await self._is_known(peer, login):
            return 0.0
        key = f"{_ACCOUNT}{login}{_END}"
        failures = await self._kernel.state.count(key, self._settings.lockout_s)
        return delay_s(failures, self._settings.max_auth_failures)

    async def failed(self, peer: str | None, login: str) -> None:
        """Counts a failure; the one that reaches the limit locks out."""
        if peer is None:
            return
        state, settings = self._kernel.state, self._settings
        await state.hit(f"{_ACCOUNT}{login}{_END}", settings.lockout_s)
        for key, name in ((f"{_IP}{peer}{_END}", ""), (_pair(peer, login), login)):
            if await state.hit(key, settings.lockout_s) >= settings.max_auth_failures:
                await state.mark(key, settings.lockout_s, name)

    async def succeeded(self, peer: str | None, login: str) -> None:
        """Forgets this account's failures from this address. Those of the address stay, or an
        attacker with one account of his own could wipe them.
        """
        if peer is None:
            return
        state = self._kernel.state
        await state.clear(_pair(peer, login))
        known = await state.marked(_known(peer, login))
        if known is None or known[0] < _KNOWN_S / 2:
            await state.mark(_known(peer, login), _KNOWN_S)

    async def _is_known(self, peer: str, login: str) -> bool:
        return await self._kernel.state.marked(_known(peer, login)) is not None

    @property
    def _settings(self) -> RateLimitSettings:
        return self._kernel.settings.rate_limit


async def bans(state: State) -> list[Ban]:
    """Every lockout that is in force, addresses first."""
    found = []
    for prefix in (_IP, _PAIR):
        for key, left_s, login in await state.marks(prefix):
            ip = key.removeprefix(prefix).removesuffix(_END)
            found.append(Ban(ip.removesuffix(f":{login}") if login else ip, login, left_s))
    return found


async def unban(state: State, ip_or_account: str) -> int:
    """Ends the lockouts of a client address, or of an account from every address.

    Args:
        state: the shared state.
        ip_or_account: an IP address, an IPv6 /64, an address, or a bare user name.

    Returns:
        How many lockouts were in force.
    """
    subject = ip_or_account.strip()
    ip = peer_key(subject.removesuffix("/64"))
    in_force = await bans(state)
    if ip != _UNKNOWN or subject == _UNKNOWN:
        lifted = [ban for ban in in_force if ban.ip == ip]
        await state.clear(f"{_IP}{ip}{_END}")
        await state.clear(f"{_PAIR}{ip}:")
        return len(lifted)
    login = _login(subject)
    anywhere = f"{login}@"  # a bare user name means that user of every domain
    lifted = [ban for ban in in_force if ban.login == login or ban.login.startswith(anywhere)]
    for ban in lifted:
        await state.clear(_pair(ban.ip, ban.login))
    for key in (f"{_ACCOUNT}{login}{_END}", f"{_ACCOUNT}{anywhere}"):
        await state.clear(key)
    return len(lifted)


def _login(subject: str) -> str:
    try:
        return Address.parse(subject).key
    except Invalid:
        return subject.lower()


def _pair(peer: str, login: str) -> str:
    return f"{_PAIR}{peer}:{login}{_END}"


def _known(peer: str, login: str) -> str:
    return f"{_KNOWN}{peer}:{login}{_END}"
