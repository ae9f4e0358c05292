"""What one connection holds of its client's input: bounded in all, before login by 64 KB."""

from __future__ import annotations

import asyncio
import gc
import os
import ssl
import zlib
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import uvloop
from rmail_imap.config import ImapSettings
from rmail_imap.wire import EARLY_INPUT_BYTES, INPUT_BYTES, Wire

from rmail_kernel.net.tls import TlsContexts
from rmail_kernel.testing import RunningServer, Transcript, make_settings
from rmail_kernel.testing.transcript import trusting_context

Scenario = Callable[[RunningServer], Awaitable[None]]
LOOPS = {"asyncio": asyncio.run, "uvloop": uvloop.run}


def run(loop: str, root: Path, scenario: Scenario) -> None:
    """Runs a scenario with a server on a loop of its own."""

    async def serve() -> None:
        server = RunningServer(make_settings(root, ["imap"]), {})
        await server.start()
        try:
            async with asyncio.timeout(20):
                await scenario(server)
        finally:
            await server.stop()

    LOOPS[loop](serve())


def open_wire() -> Wire:
    """The only one that is open; those of tests before this one may be there still."""
    wires = (found for found in gc.get_objects() if isinstance(found, Wire))
    made = (wire for wire in wires if hasattr(wire, "transport"))
    (found,) = (wire for wire in made if not wire.transport.is_closing())
    return found


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("is_tls", [False, True])
@pytest.mark.parametrize("is_compressed", [False, True])
def test_all_that_a_connection_holds_is_bounded(
    tmp_path: Path, loop: str, is_tls: bool, is_compressed: bool
) -> None:
    contexts = TlsContexts.open(make_settings(tmp_path, ["imap"]))

    async def flood() -> None:
        made = asyncio.get_running_loop().create_future()

        def connected(wire: Wire) -> None:
            wire.intake.limit_bytes, wire.intake.held_bytes = EARLY_INPUT_BYTES, 8192
            if is_tls:
                wire.begin_tls(contexts.server)
            if is_compressed:
                wire.start_compression()
            made.set_result(wire)

        server = await asyncio.get_running_loop().create_server(
            lambda: Wire(connected), "127.0.0.1", 0
        )
        async with server, asyncio.timeout(10):
            _, writer = await asyncio.open_connection(
                *server.sockets[0].getsockname(), ssl=trusting_context() if is_tls else None
            )
            wire = await made
            raw = os.urandom(4 << 20)
            writer.write(zlib.compress(raw, 1, wbits=-15) if is_compressed else raw)
            taken = most = 0
            for _ in range(50):
                while wire.transport.is_reading():
                    await asyncio.sleep(0)
                channel = wire.channel()
                opened = 0 if channel is None else channel.pending()  # within OpenSSL
                held = wire.intake.held_bytes + wire.intake.pending_bytes + opened
                assert held <= EARLY_INPUT_BYTES == 1 << 16
                most = max(most, held)
                want = 20_000
                assert raw.startswith(await wire.read_exactly(want), taken)
                taken += want
                await wire.wait(5)
            assert most >= 30_000  # so the bound was reached, whatever is kept free for records
            wire.abort()
            writer.transport.abort()

    LOOPS[loop](flood())


@pytest.mark.parametrize("listener", ["imap", "imaps"])
async def test_strangers_have_64_kb_in_all(rmail_server: RunningServer, listener: str) -> None:
    async with rmail_server.connect(listener) as client:
        await client.run("S: * OK *")
        assert open_wire().intake.limit_bytes == 1 << 16
        await client.run("C: a LOGIN alice secret\nS: a OK *")
        assert open_wire().intake.limit_bytes == INPUT_BYTES + ImapSettings().max_command_bytes


async def test_after_unauthenticate_a_session_is_a_stranger_again(client: Transcript) -> None:
    wire = open_wire()
    assert wire.intake.limit_bytes > EARLY_INPUT_BYTES
    await client.run("C: a UNAUTHENTICATE\nS: a OK *")
    assert wire.intake.limit_bytes == EARLY_INPUT_BYTES


async def test_an_alarm_that_rings_too_early_ends_nothing_and_rings_again(
    client: Transcript,
) -> None:
    wire, loop = open_wire(), asyncio.get_running_loop()
    wire.timeout_s = 1.5
    began_at = loop.time()
    await client.run("C: a NOOP\nS: a OK *")  # from now on the client is silent
    wire._ring()
    await client.run("S: * BYE You were silent for too long")
    assert loop.time() - began_at > 1.49
    await client.expect_close()


@pytest.mark.parametrize("count", [8000, 9000])
async def test_what_a_stranger_cannot_have_sent_ends_the_session(
    client: Transcript, count: int
) -> None:
    raw = b"a UNAUTHENTICATE\r\n" + b"b NOOP\r\n" * count
    wire = open_wire()
    wire.get_buffer(-1)[: len(raw)] = raw  # in one read
    wire.buffer_updated(len(raw))
    await client.run("S: a OK *")
    if count * 8 <= EARLY_INPUT_BYTES:
        await client.run("S: b OK *\n" * count)
    else:
        await client.run("S: * BYE [TOOBIG] *")
        await client.expect_close()


async def test_the_longest_name_of_a_client_has_room_under_tls(
    rmail_server: RunningServer,
) -> None:
    async with rmail_server.connect("imaps") as client:
        await client.run("S: * OK *")
        fields = b" ".join(b'"%030d" "%s"' % (n, b"x" * 1024) for n in range(30))
        await client.send(b"a ID (" + fields + b")\r\nb NOOP\r\n")
        await client.run("S: * ID *\nS: a OK *\nS: b OK *")


class Client:
    """A client whose records are in the test's hands."""

    def __init__(self) -> None:
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = trusting_context().wrap_bio(self.incoming, self.outgoing)

    async def connect(self, port: int) -> None:
        """Shakes hands byte by byte."""
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port)
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                await self.send()
                self.incoming.write(await self.reader.read(1 << 16))
            else:
                await self.send()
                assert (await self.hear()).startswith(b"* OK")
                return

    async def hear(self) -> bytes:
        """What the server says next; b"" is close_notify."""
        while True:
            try:
                return self.tls.read(1 << 16)
            except ssl.SSLWantReadError:
                self.incoming.write(await self.reader.read(1 << 16))

    async def send(self) -> None:
        for byte in self.outgoing.read():
            self.writer.write(bytes([byte]))
            await asyncio.sleep(0)


@pytest.mark.parametrize("loop", LOOPS)
def test_records_may_come_byte_by_byte(tmp_path: Path, loop: str) -> None:
    async def scenario(server: RunningServer) -> None:
        client = Client()
        await client.connect(server.ports["imaps"])
        client.tls.write(b"a LOGIN alice secret\r\nb LOGOUT\r\n")
        await client.send()
        heard = b""
        while raw := await client.hear():
            heard += raw
        assert heard.startswith(b"a OK [CAPABILITY")
        assert heard.endswith(b"b OK LOGOUT completed\r\n")
        client.writer.close()

    run(loop, tmp_path / "store", scenario)


async def test_a_broken_record_ends_the_connection(rmail_server: RunningServer) -> None:
    client = Client()
    await client.connect(rmail_server.ports["imaps"])
    client.writer.write(b"\x17\x03\x03\x00\x20" + b"x" * 32)
    with pytest.raises(ssl.SSLError, match="BAD_RECORD_MAC"):
        await client.hear()
    client.writer.close()


@pytest.mark.parametrize("listener", ["imap", "imaps"])
async def test_what_is_no_tls_ends_the_connection(
    rmail_server: RunningServer, listener: str
) -> None:
    port = rmail_server.ports[listener]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    if listener == "imap":
        await reader.readline()
        writer.write(b"a STARTTLS\r\n")
        await reader.readline()
    writer.write(b"a LOGIN alice secret\r\n")
    async with asyncio.timeout(10):
        answer = await reader.read()
    assert b"OK" not in answer  # an alert (RFC 8446 6) and nothing else
    writer.close()


@pytest.mark.parametrize("rmail_settings", [{"imap": {"login_timeout_s": 0.05}}])
async def test_a_handshake_that_does_not_come_ends_the_connection(
    rmail_server: RunningServer,
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", rmail_server.ports["imaps"])
    async with asyncio.timeout(10):
        assert await reader.read() == b""
    writer.close()
