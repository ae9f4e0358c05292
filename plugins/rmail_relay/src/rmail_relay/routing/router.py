"""The way of a domain: peers in the order in which they are tried, and their addresses.

RFC 5321 5.1 (mail exchangers, loops), 4.1.3 (address literals), RFC 7505 (null MX).
"""

from __future__ import annotations

import asyncio
import ipaddress
import random
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from rmail_kernel.errors import NotFound, Temporary
from rmail_kernel.net.resolver import MailExchange, Resolver
from rmail_relay.client.peer import Peer, Tls
from rmail_relay.client.verdict import Verdict
from rmail_relay.config import RelaySettings
from rmail_relay.outcome import Kind
from rmail_relay.routing.rules import peer_of, rule_for

LOOPBACK = ("127.0.0.1", "::1")
_BACK = "Mail for this domain comes back to this server: it is its best mail exchanger"


class Unroutable(NotFound):
    """There is no way, for now or for good; `verdict` says which."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.text)
        self.verdict = verdict


@dataclass(frozen=True, slots=True)
class Hop:
    """One server to try; `preference` is that of its MX record."""

    peer: Peer
    preference: int = 0


class Router:
    """Finds the way of a domain.

    Args:
        settings: the rules. hostname: our own name. resolver: DNS.
        is_system_dns: names of the settings may be looked up as the system does it (hosts file).
    """

    def __init__(
        self,
        settings: RelaySettings,
        hostname: str,
        resolver: Resolver,
        *,
        is_system_dns: bool = True,
    ) -> None:
        self._settings = settings
        self._hostname = hostname
        self._resolver = resolver
        self._is_system_dns = is_system_dns

    def destination(self, domain: str) -> str:
        """See `Transport.destination`."""
        rule = rule_for(self._settings, domain)
        return domain if rule is None else str(peer_of(rule[1]))

    def kind(self, domain: str) -> str:
        """ "mx", "smarthost" or the name of a rule."""
        rule = rule_for(self._settings, domain)
        return "mx" if rule is None else rule[0]

    async def hops(self, domain: str) -> list[Hop]:
        """The servers in order.

        Raises:
            Unroutable: there is none.
        """
        rule = rule_for(self._settings, domain)
        if rule is not None:
            return [Hop(peer_of(rule[1]))]
        if domain.startswith("["):
            return [Hop(self._exchange(_literal(domain)))]
        try:
            records = await self._resolver.mx(domain)
        except NotFound as error:
            raise _failed(550, "5.1.2", f"There is no domain {domain}") from error
        except Temporary as error:
            raise _deferred(f"The mail exchangers of {domain} cannot be looked up now") from error
        return self._chosen(domain, records)

    def _chosen(self, domain: str, records: Sequence[MailExchange]) -> list[Hop]:
        if not records:  # RFC 5321 5.1: the implicit MX
            records = (MailExchange(0, domain),)
        usable = [record for record in records if record.host]
        if not usable:
            raise _failed(556, "5.1.10", f"The domain {domain} takes no mail (null MX)")
        own = [record.preference for record in usable if record.host == self._hostname]
        if own:
            usable = [record for record in usable if record.preference < min(own)]
        if not usable:
            raise _failed(554, "5.4.6", _BACK)
        random.shuffle(usable)  # RFC 5321 5.1: equal ones share the load
        usable.sort(key=lambda record: record.preference)
        return [Hop(self._exchange(record.host), record.preference) for record in usable]

    def _exchange(self, host: str) -> Peer:
        return Peer(host, self._settings.mx_port, Tls.OPPORTUNISTIC, is_exchange=True)

    async def addresses(self, peer: Peer) -> list[str]:
        """Where a server is; none: nowhere (its name does not exist or has no address).

        Raises:
            Temporary: not known now.
        """
        try:
            return [str(ipaddress.ip_address(peer.host))]
        except ValueError:
            pass
        if peer.host == "localhost" or peer.host.endswith(".localhost"):  # RFC 6761 6.3
            return list(LOOPBACK)
        if not peer.is_exchange and self._is_system_dns:
            return await _system_addresses(peer)
        try:
            return list(await self._resolver.addresses(peer.host))
        except NotFound:
            return []


async def _system_addresses(peer: Peer) -> list[str]:
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(peer.host, peer.port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        if error.errno == socket.EAI_NONAME:
            return []
        raise Temporary("The name cannot be looked up now", host=peer.host) from error
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _literal(domain: str) -> str:
    """The address in an address literal (RFC 5321 4.1.3)."""
    text = domain[1:-1]
    text = text[5:] if text.lower().startswith("ipv6:") else text
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise _failed(553, "5.1.2", f"{domain} is not an address") from None


def _failed(code: int, status: str, text: str) -> Unroutable:
    return Unroutable(Verdict(Kind.FAILED, code, status, text))


def _deferred(text: str) -> Unroutable:
    return Unroutable(Verdict(Kind.DEFERRED, 451, "4.4.3", text, is_heard=False))
