"""STARTTLS: a fresh start, with nothing carried over from the clear text."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from rmail_kernel.testing import RunningServer, Transcript

Greeter = Callable[[Transcript], Awaitable[list[str]]]


async def test_the_session_begins_anew_under_tls(
    rmail_server: RunningServer, say_hello: Greeter
) -> None:
    async with rmail_server.connect("smtp") as client:
        await say_hello(client)
        await client.run("""
            C: MAIL FROM:<carol@remote.test>
            S: 250 *
            C: STARTTLS now
            S: 501 5.5.4 *
            C: STARTTLS
            S: 220 *
        """)
        await client.start_tls()
        await client.run("""
            C: MAIL FROM:<carol@remote.test>
            S: 503 5.5.1 *
            C: EHLO secure.test
            S: 250-mail.example.com
        """)
        assert "250-STARTTLS" not in await client.until("250 *")
        await client.run("""
            C: RCPT TO:<alice@example.com>
            S: 503 5.5.1 *
            C: STARTTLS
            S: 503 5.5.1 *
            C: MAIL FROM:<carol@remote.test>
            S: 250 *
            C: RCPT TO:<alice@example.com>
            S: 250 *
            C: DATA
            S: 354 *
            C: Subject: private
            C: .
            S: 250 *
        """)
    (raw,) = await rmail_server.messages("alice")
    assert b" with ESMTPS id " in raw
    assert b"\r\n\t(TLSv1.3) tls TLS_" in raw


async def test_commands_injected_behind_starttls_are_dropped(
    rmail_server: RunningServer, say_hello: Greeter
) -> None:
    async with rmail_server.connect("smtp") as client:
        await say_hello(client)
        await client.send(b"STARTTLS\r\nEHLO evil.test\r\nMAIL FROM:<evil@remote.test>\r\n")
        await client.expect("220 *")
        await client.start_tls()
        await client.run("C: RCPT TO:<alice@example.com>\nS: 503 5.5.1 Say HELO or EHLO first")


async def test_a_broken_handshake_ends_the_connection(
    rmail_server: RunningServer, say_hello: Greeter
) -> None:
    async with rmail_server.connect("smtp") as client:
        await say_hello(client)
        await client.run("C: STARTTLS\nS: 220 *\nC: this is no handshake")
        alert = await client.reader.read()
        assert alert == b"" or alert.startswith(b"\x15\x03")  # RFC 8446 5.1: an alert record
    async with rmail_server.connect("smtp") as client:
        await client.expect("220 *")


class TestOff:
    @pytest.fixture
    def rmail_settings(self) -> dict[str, Any]:
        return {"tls": {"enabled": False}}

    async def test_without_tls_it_is_neither_offered_nor_taken(
        self, rmail_server: RunningServer, say_hello: Greeter
    ) -> None:
        assert "smtps" not in rmail_server.ports
        async with rmail_server.connect("smtp") as client:
            assert "STARTTLS" not in await say_hello(client)
            await client.run("C: STARTTLS\nS: 502 5.5.1 *")


class TestHandshake:
    @pytest.fixture
    def rmail_settings(self) -> dict[str, Any]:
        return {"smtp": {"handshake_s": 0.2}}

    @pytest.mark.parametrize("raw", [b"", b"\x16\x03\x01\x02\x00\x01"])
    async def test_a_handshake_that_hangs_is_cut_off(
        self, rmail_server: RunningServer, say_hello: Greeter, raw: bytes
    ) -> None:
        async with rmail_server.connect("smtp") as client:
            await say_hello(client)
            await client.run("C: STARTTLS\nS: 220 *")
            await client.send(raw)
            with contextlib.suppress(ConnectionError):
                assert await client.reader.read() == b""
        await _ended(rmail_server)


@pytest.mark.parametrize("raw", [b"", b"\x16\x03\x01\x02\x00\x01"])
async def test_a_half_close_within_the_handshake_ends_the_session(
    rmail_server: RunningServer, say_hello: Greeter, raw: bytes
) -> None:
    async with rmail_server.connect("smtp") as client:
        await say_hello(client)
        await client.run("C: STARTTLS\nS: 220 *")
        await client.send(raw)
        client.writer.write_eof()
        with contextlib.suppress(ConnectionError):
            await client.reader.read()
    await _ended(rmail_server)


async def test_shutdown_within_a_handshake_says_nothing_in_the_clear(
    rmail_server: RunningServer, say_hello: Greeter
) -> None:
    async with rmail_server.connect("smtp") as client:
        await say_hello(client)
        await client.run("C: STARTTLS\nS: 220 *")
        assert await rmail_server.kernel.drain()
        with contextlib.suppress(ConnectionError):
            assert await client.reader.read() == b""


async def _ended(server: RunningServer) -> None:
    """No session is left; ours could not have been asked to end any more."""
    assert await server.kernel.drain()
