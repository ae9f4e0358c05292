"""Behind a proxy the client is who the proxy says it is, on every port, and only then."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from rmail_kernel.testing import HookRecorder, RunningServer
from rmail_kernel.testing.transcript import trusting_context

HEADERS = [
    b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 25\r\n",
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x07\xc6\x33\x64\x01\x9c\x40\x00\x19",
]
TRUSTED = {"trusted": ["127.0.0.1"], "header_s": 1.0}


@pytest.fixture
def rmail_settings() -> dict[str, Any]:
    return {"proxy_protocol": TRUSTED}


async def _connect(
    server: RunningServer, listener: str, raw: bytes
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.ports[listener])
    writer.write(raw)
    return reader, writer


@pytest.mark.parametrize("raw", HEADERS)
async def test_smtp_and_imap_see_the_client(
    rmail_server: RunningServer, rmail_hooks: HookRecorder, raw: bytes
) -> None:
    async with asyncio.timeout(10):
        for listener, hello in (("smtp", b"220 "), ("imap", b"* OK ")):
            reader, writer = await _connect(rmail_server, listener, raw)
            assert (await reader.readline()).startswith(hello)
            writer.close()
    (connect, *_) = rmail_hooks.calls["on_connect"]
    session = connect["session"]
    assert (session.peer_host, session.peer_port) == ("192.0.2.7", 40000)


@pytest.mark.parametrize("raw", HEADERS)
@pytest.mark.parametrize("listener", ["smtps", "imaps"])
async def test_tls_from_the_first_byte_comes_after_the_header(
    rmail_server: RunningServer, raw: bytes, listener: str
) -> None:
    async with asyncio.timeout(10):
        reader, writer = await _connect(rmail_server, listener, raw)
        await writer.start_tls(trusting_context())
        assert (await reader.readline()).startswith((b"220 ", b"* OK "))
        writer.close()


async def test_the_client_stays_who_he_is_after_starttls(
    rmail_server: RunningServer, rmail_hooks: HookRecorder
) -> None:
    async with asyncio.timeout(10):
        reader, writer = await _connect(rmail_server, "smtp", HEADERS[0])
        await reader.readline()
        writer.write(b"STARTTLS\r\n")
        await writer.drain()
        assert (await reader.readline()).startswith(b"503")
        writer.write(b"EHLO client.test\r\n")
        while not (await reader.readline()).startswith(b"250 "):
            pass
        writer.write(b"STARTTLS\r\n")
        assert (await reader.readline()).startswith(b"220")
        await writer.start_tls(trusting_context())
        writer.write(
            b"EHLO client.test\r\nMAIL FROM:<carol@remote.test>\r\nRCPT TO:<alice@example.com>\r\n"
            b"DATA\r\n.\r\nQUIT\r\n"
        )
        await reader.read()
        writer.close()
    (raw,) = await rmail_server.messages("alice")
    assert b"from client.test ([192.0.2.7])" in raw


@pytest.mark.parametrize("raw", [b"EHLO client.test\r\n", b"PROXY TCP4 x", b""])
async def test_a_trusted_host_must_send_a_header_in_time(
    rmail_server: RunningServer, raw: bytes
) -> None:
    async with asyncio.timeout(10):
        reader, writer = await _connect(rmail_server, "smtp", raw)
        try:
            assert await reader.read() == b""
        except ConnectionError:
            assert raw  # closed with our words unread
        writer.close()
        reader, writer = await _connect(rmail_server, "smtp", HEADERS[0])
        assert (await reader.readline()).startswith(b"220 ")
        writer.close()


class TestStrangers:
    @pytest.fixture
    def rmail_settings(self) -> dict[str, Any]:
        return {"proxy_protocol": TRUSTED | {"trusted": ["192.0.2.0/24"]}}

    async def test_a_header_of_a_stranger_is_refused(
        self, rmail_server: RunningServer, rmail_hooks: HookRecorder
    ) -> None:
        async with rmail_server.connect("smtp") as client:
            await client.expect("220 *")
            await client.send(HEADERS[0])
            await client.expect("554 5.5.1 *")
            await client.expect_close()
        async with rmail_server.connect("imap") as client:
            await client.expect("* OK *")
            await client.send(HEADERS[0])
            await client.expect("PROXY BAD *")
        assert rmail_hooks.calls["on_connect"][0]["session"].peer_host == "127.0.0.1"
