"""The address of a DNS server as the settings write it."""

from __future__ import annotations

import ipaddress

from rmail_kernel.errors import Invalid

_DNS_PORT = 53  # RFC 1035 4.2


def parse_server(text: str) -> tuple[str, int]:
    """Address and port of a name server.

    Raises:
        Invalid: it is neither "address" nor "address:port".
    """
    host, colon, port = text.rpartition(":")
    if text.count(":") > 1 and not text.startswith("["):  # a bare IPv6 address
        host, colon, port = text, "", ""
    if not colon or text.endswith("]"):
        host, port = text, str(_DNS_PORT)
    host = "127.0.0.1" if host == "localhost" else host.removeprefix("[").removesuffix("]")
    try:
        ipaddress.ip_address(host)
    except ValueError as error:
        raise Invalid("Not the address of a name server", server=text) from error
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 1 << 16):
        raise Invalid("Not the port of a name server", server=text)
    return host, int(port)
