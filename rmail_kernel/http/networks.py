"""Lists of IP addresses and networks from the settings."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


def ip_of(text: str) -> IpAddress | None:
    """The IP address that `text` is (an IPv4-mapped one as IPv4, RFC 4291 2.5.5.2), or None."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped if isinstance(mapped, ipaddress.IPv4Address) else address


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


def is_loopback(host: str) -> bool:
    """Whether `host` is an address of this machine's loopback."""
    address = ip_of(host)
    return address is not None and address.is_loopback
