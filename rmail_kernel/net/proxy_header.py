"""The header of the PROXY protocol, versions 1 and 2: read to its end and not a byte further.

Source: "The PROXY protocol, Versions 1 & 2" (HAProxy), sections 2.1 and 2.2. It must read nothing
that belongs to the connection behind the header, as that may be a TLS handshake.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Awaitable, Callable

from rmail_kernel.errors import Invalid

MAX_V1_BYTES = 107  # with its line end, section 2.1
MAX_V2_BYTES = 2048  # of addresses and TLVs; the addresses of the families here have 36
_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_HEAD_BYTES = 16  # signature, version and command, family, length
_LOCAL, _PROXY = 0x20, 0x21
_TCP4, _TCP6 = 0x11, 0x21
_V1 = re.compile(
    rb"PROXY (?:UNKNOWN(?: [^\r\n]*)?|(?P<family>TCP[46]) (?P<source>[0-9A-Fa-f.:]{2,39}) "
    rb"(?P<target>[0-9A-Fa-f.:]{2,39}) (?P<port>\d{1,5}) \d{1,5})\r\n\Z"
)
_MAX_PORT = 65_535
Read = Callable[[int], Awaitable[bytes]]
Client = tuple[str, int]


async def read_client(read: Read) -> Client | None:
    """Reads a header.

    Args:
        read: gives exactly as many bytes as it is asked for, or raises.

    Returns:
        Address and port of the client; None: the proxy speaks for itself (health checks), or does
        not know.

    Raises:
        Invalid: not a header, or too long a one.
    """
    raw = await read(len(_SIGNATURE))
    if raw == _SIGNATURE:
        return await _version_2(read, raw + await read(_HEAD_BYTES - len(raw)))
    if not raw.startswith(b"PROXY "):
        raise Invalid("Not a PROXY header")
    while not raw.endswith(b"\r\n"):
        if len(raw) >= MAX_V1_BYTES or b"\n" in raw:
            raise Invalid("An endless PROXY header")
        raw += await read(1)
    return _version_1(raw)


def _version_1(raw: bytes) -> Client | None:
    found = _V1.match(raw)
    if found is None:
        raise Invalid("Not a PROXY header")
    if found["family"] is None:
        return None
    version = int(found["family"][-1:])
    source, _ = (_address(found[name].decode(), version) for name in ("source", "target"))
    port = int(found["port"])
    if port > _MAX_PORT:
        raise Invalid("Not a port")
    return source, port


async def _version_2(read: Read, raw_head: bytes) -> Client | None:
    command, family = raw_head[12], raw_head[13]
    size = int.from_bytes(raw_head[14:16], "big")
    if command not in (_LOCAL, _PROXY) or size > MAX_V2_BYTES:
        raise Invalid("Not a PROXY header of version 2")
    raw = await read(size)
    address_bytes = {_TCP4: 4, _TCP6: 16}.get(family)
    # LOCAL: what follows is to be ignored. Families without an IP address tell nothing.
    if command == _LOCAL or address_bytes is None:
        return None
    port_at = 2 * address_bytes
    if size < port_at + 4:
        raise Invalid("A PROXY header without its addresses")
    source = ipaddress.ip_address(raw[:address_bytes])
    return str(source), int.from_bytes(raw[port_at : port_at + 2], "big")


def _address(text: str, version: int) -> str:
    try:
        address = ipaddress.ip_address(text)
    except ValueError as error:
        raise Invalid("Not an IP address") from error
    if address.version != version:
        raise Invalid("An IP address of another family")
    return str(address)
