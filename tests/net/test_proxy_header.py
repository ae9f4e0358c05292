"""PROXY headers: what they say, and that not a byte too much is read."""

from __future__ import annotations

import pytest

from rmail_kernel.errors import Invalid
from rmail_kernel.net.proxy_header import MAX_V1_BYTES, read_client

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
IPV4 = bytes([192, 0, 2, 7, 198, 51, 100, 1]) + b"\x9c\x40\x00\x19"
IPV6 = bytes.fromhex("20010db8000000000000000000000007" * 2) + b"\x9c\x40\x00\x19"


def v2(command: int, family: int, rest: bytes, size: int | None = None) -> bytes:
    length = len(rest) if size is None else size
    return SIGNATURE + bytes([command, family]) + length.to_bytes(2, "big") + rest


class Source:
    """Gives bytes and counts what was taken."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw

    async def read(self, size: int) -> bytes:
        if len(self.raw) < size:
            raise EOFError
        taken, self.raw = self.raw[:size], self.raw[size:]
        return taken


@pytest.mark.parametrize(
    ("raw", "client"),
    [
        (b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 25\r\n", ("192.0.2.7", 40000)),
        (b"PROXY TCP6 2001:db8::7 2001:db8::1 40000 25\r\n", ("2001:db8::7", 40000)),
        (b"PROXY UNKNOWN\r\n", None),
        (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", None),
        (v2(0x21, 0x11, IPV4), ("192.0.2.7", 40000)),
        (v2(0x21, 0x11, IPV4 + b"\x03\x00\x04crcc"), ("192.0.2.7", 40000)),
        (v2(0x21, 0x21, IPV6), ("2001:db8::7", 40000)),
        (v2(0x20, 0x00, b""), None),
        (v2(0x20, 0x11, IPV4), None),
        (v2(0x21, 0x00, b"x" * 9), None),
        (v2(0x21, 0x31, b"x" * 216), None),
    ],
)
async def test_headers(raw: bytes, client: tuple[str, int] | None) -> None:
    source = Source(raw + b"\x16\x03\x01")
    assert await read_client(source.read) == client
    assert source.raw == b"\x16\x03\x01"


@pytest.mark.parametrize(
    "raw",
    [
        b"EHLO client.test\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 40000\r\n",
        b"PROXY TCP4 2001:db8::7 2001:db8::1 40000 25\r\n",
        b"PROXY TCP4 192.0.2.777 198.51.100.1 40000 25\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 99999 25\r\n",
        b"PROXY UDP4 192.0.2.7 198.51.100.1 40000 25\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 25\nNOOP\r\n",
        b"PROXY UNKNOWN " + b"x" * MAX_V1_BYTES + b"\r\n",
        v2(0x11, 0x11, IPV4),
        v2(0x22, 0x11, IPV4),
        v2(0x21, 0x11, IPV4[:11]),
        v2(0x21, 0x11, b"x" * 5000),
    ],
)
async def test_what_is_no_header_is_refused(raw: bytes) -> None:
    with pytest.raises(Invalid):
        await read_client(Source(raw + b"x" * 200).read)
