"""IP addresses and networks: who counts as one client, and who is on a list of the settings.

An IPv4 client of an IPv6 socket is an IPv4 client everywhere (RFC 4291 2.5.5.2).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from functools import lru_cache

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPV6_SITE_BITS = 64  # one customer has at least a /64 (RFC 6177 2)


def ip_of(text: str) -> IpAddress | None:
    """The IP address that `text` is, without its zone, or None."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        return address.ipv4_mapped or address
    return address


def address_of(name: object) -> tuple[str, int]:
    """Host and port of a socket name as transports give it, ("", 0) for anything else."""
    if not isinstance(name, tuple) or len(name) < 2:
        return "", 0
    host = str(name[0])
    if ":" in host:
        host = str(ip_of(host) or host)
    return host, int(name[1])


@lru_cache(maxsize=4096)
def site_of(host: str) -> str:
    """What is counted as one client: an IPv4 address, the /64 of an IPv6 address; '' for what is
    no address.
    """
    address = ip_of(host)
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, IPV6_SITE_BITS), strict=False))
    return "" if address is None else str(address)


class Networks:
    """A set of networks.

    Args:
        values: addresses or networks in CIDR form, as the settings have validated them.
    """

    def __init__(self, values: Iterable[str]) -> None:
        self._networks = [ipaddress.ip_network(value, strict=False) for value in values]

    def __contains__(self, host: object) -> bool:
        """Whether the address `host` (text) lies in one of the networks."""
        if not self._networks or not isinstance(host, str):
            return False
        address = ip_of(host)
        return address is not None and any(address in network for network in self._networks)


@lru_cache(maxsize=4096)
def is_within(host: str, networks: tuple[str, ...]) -> bool:
    """Whether an address lies in one of these networks; cheap to ask again."""
    return host in _networks(networks)


@lru_cache(maxsize=8)
def _networks(values: tuple[str, ...]) -> Networks:
    return Networks(values)


def is_loopback(host: str) -> bool:
    """Whether `host` is an address of this machine's loopback."""
    address = ip_of(host)
    return address is not None and address.is_loopback
