"""Reading commands: tags, literals, limits, faults, the end (RFC 3501 2.2, 4.3, 5.4, RFC 7888)."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress

import pytest
from rmail_imap.config import ImapSettings
from rmail_imap.wire import Disconnected, Wire

from rmail_kernel.testing import RunningServer, Transcript


async def test_faults_keep_the_connection(client: Transcript) -> None:
    await client.run("""
        C: a FOO
        S: a BAD Unknown command
        C: b
        S: * BAD *
        C: c UID NOOP
        S: c BAD *
        C: d FETCH 1 FLAGS
        S: d BAD *
        C: e NOOP now
        S: e BAD *
        C: (
        S: * BAD *
        C: f NOOP
        S: f OK NOOP completed
    """)


async def test_pipelined_commands_are_answered_in_order(client: Transcript) -> None:
    await client.send(b'a NOOP\r\nb CREATE x\r\nc LIST "" x\r\nd NOOP\r\n')
    await client.run("""
        S: a OK *
        S: b OK *
        S: * LIST (\\HasNoChildren) "/" "x"
        S: c OK *
        S: d OK *
    """)


async def test_a_command_may_come_byte_by_byte(client: Transcript) -> None:
    for byte in b"a CREATE {3}\r\n":
        await client.send(bytes([byte]))
    await client.run("S: + *")
    for byte in b"b o\r\n":
        await client.send(bytes([byte]))
    await client.run("S: a OK *")


async def test_an_empty_literal_and_several_literals(client: Transcript) -> None:
    await client.run("""
        C: a LIST {0}
        S: + *
        C:  {5+}
        C: inbox
        S: * LIST * "INBOX"
        S: a OK *
    """)


async def test_too_many_faults_end_the_connection(client: Transcript) -> None:
    for number in range(19):
        await client.run(f"C: {number} FOO\nS: {number} BAD *")
    await client.run("""
        C: a NOOP
        S: a OK *
    """)
    for number in range(20):
        await client.run(f"C: {number} FOO\nS: {number} BAD *")
    await client.run("S: * BYE *")
    await client.expect_close()


async def test_a_line_that_is_too_long_is_skipped(client: Transcript) -> None:
    await client.send(b"a NOOP " + b"x" * 100_000 + b"\r\nb NOOP\r\n")
    await client.run("""
        S: a BAD [TOOBIG] *
        S: b OK *
    """)


async def test_a_line_that_is_too_long_may_announce_a_literal(client: Transcript) -> None:
    # RFC 7888 3: every line may, and what is in the literal is no command
    head = b"a SEARCH " + b"x" * 70_000
    for raw in (b"b NOOP\r\n", b"b NOOP\r\n" * 100):
        await client.send(head + b"{%d+}\r\n" % len(raw) + raw + b" {1+}\r\nxy\r\nc NOOP\r\n")
        await client.run("S: a BAD [TOOBIG] *\nS: c OK *")
    await client.send(head + b"{5}\r\nc NOOP\r\n")  # this one waits, and hears BAD
    await client.run("S: a BAD [TOOBIG] *\nS: c OK *")


@pytest.mark.parametrize("line", ["+++", "", "a", "* x", "a NOSUCH", "a NOOP", "a IDLE\r\nDONE?"])
async def test_what_any_line_announces_is_no_command(client: Transcript, line: str) -> None:
    # RFC 7888 3: "MUST check the end of every received line"
    raw = b"x LOGOUT\r\n"
    head = f"{line} {{{len(raw)}+}}\r\n".encode()
    await client.send(head + raw + b" {3+}\r\nabc\r\nb NOOP\r\n")
    heard = await client.until("b OK *")
    assert not any("BYE" in one for one in heard)
    assert sum(" BAD " in one for one in heard) == 1


async def test_a_line_without_end_ends_the_connection(client: Transcript) -> None:
    for _ in range(20):
        await client.send(b"x" * 100_000)
    await client.run("S: * BYE [TOOBIG] *")


async def test_a_literal_that_is_too_large_is_not_asked_for(client: Transcript) -> None:
    await client.run("""
        C: a CREATE {100000}
        S: a BAD [TOOBIG] *
        C: b LIST {999999999999999}
        S: b BAD [TOOBIG] *
        C: c FOO {5}
        S: c BAD *
        C: d NOOP
        S: d OK *
    """)


async def test_a_literal_that_is_sent_anyway_is_dropped(client: Transcript) -> None:
    await client.send(b"a CREATE {100000+}\r\n" + b"x" * 100_000 + b"\r\nb NOOP\r\n")
    await client.run("""
        S: a BAD [TOOBIG] *
        S: b OK *
    """)
    await client.run("""
        C: c CREATE {900000000+}
        S: * BYE [TOOBIG] *
    """)
    await client.expect_close()


async def test_limits_are_small_before_login(rmail_server: RunningServer) -> None:
    async with rmail_server.connect("imap") as client:
        await client.run("""
            S: * OK *
            C: a LOGIN {9000}
            S: a BAD [TOOBIG] *
        """)
        await client.send(b"b NOOP " + b"x" * 9000 + b"\r\n")
        await client.run("""
            S: b BAD [TOOBIG] *
            C: c LOGIN {9000+}
            S: * BYE [TOOBIG] *
        """)


@pytest.mark.parametrize("rmail_settings", [{"imap": {"max_connections": 1}}])
async def test_connections_are_limited(rmail_server: RunningServer, client: Transcript) -> None:
    async with rmail_server.connect("imap") as other:
        await other.run("S: * BYE [UNAVAILABLE] Too many connections")
        await other.expect_close()
    await client.run("C: a NOOP\nS: a OK *")


@pytest.mark.parametrize(
    "rmail_settings", [{"rate_limit": {"whitelist": [], "connections_per_minute": 2}}]
)
async def test_connections_of_an_address_are_limited(rmail_server: RunningServer) -> None:
    for greeting in ("* OK *", "* OK *", "* BYE [LIMIT] *"):
        async with rmail_server.connect("imap") as client:
            await client.run(f"S: {greeting}")


@pytest.mark.parametrize("rmail_settings", [{"imap": {"login_timeout_s": 1.0}}])
async def test_silence_before_login_ends_the_connection(rmail_server: RunningServer) -> None:
    async with rmail_server.connect("imap") as client:
        await client.run("""
            S: * OK *
            S: * BYE You were silent for too long
        """)
        await client.expect_close()


@pytest.mark.parametrize("rmail_settings", [{"imap": {"idle_timeout_s": 1.0}}])
@pytest.mark.parametrize("before", ["C: b NOOP\nS: b OK *", "C: b IDLE\nS: + *"])
async def test_silence_after_login_ends_the_connection(
    rmail_server: RunningServer, before: str
) -> None:
    async with rmail_server.connect("imap") as client:
        await client.run(f"""
            S: * OK *
            C: a LOGIN alice secret
            S: a OK *
            {before}
            S: * BYE You were silent for too long
        """)
        await client.expect_close()


def test_a_client_may_be_silent_for_30_minutes_after_login() -> None:
    assert ImapSettings().idle_timeout_s >= 30 * 60  # RFC 9051 5.4


@pytest.mark.parametrize("before", ["C: a NOOP\nS: a OK *", "C: a IDLE\nS: + *"])
async def test_a_server_that_goes_down_says_so(
    rmail_server: RunningServer, client: Transcript, before: str
) -> None:
    await client.run(before)
    assert await rmail_server.kernel.drain()
    await client.run("S: * BYE [UNAVAILABLE] The server is shutting down")
    await client.expect_close()


async def test_whoever_comes_while_a_server_goes_down_is_told_so(
    rmail_server: RunningServer,
) -> None:
    assert await rmail_server.kernel.drain()
    async with rmail_server.connect("imaps") as client:
        await client.run("""
            S: * OK *
            S: * BYE [UNAVAILABLE] The server is shutting down
        """)


async def test_before_login_only_a_login_or_a_name_has_literals(
    rmail_server: RunningServer,
) -> None:
    async with rmail_server.connect("imap") as client:
        await client.run("""
            S: * OK *
            C: a NOOP {5}
            S: a BAD [TOOBIG] *
            C: b SELECT {5}
            S: b BAD *
        """)
        await client.send(b'c ID ("name" {1}\r\n')
        await client.expect("+ *")
        await client.send(b"x)\r\n")
        await client.run("""
            S: * ID (*)
            S: c OK *
        """)
        await client.send(b"d LOGIN {5}\r\n")
        await client.expect("+ *")
        await client.send(b"alice {6+}\r\nsecret\r\n")
        await client.expect("d OK *")
        await client.send(b"e NOOP {5+}\r\nabcde\r\n")
        await client.expect("e BAD *")


async def test_what_changes_nothing_ends_when_its_client_is_gone() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()
    connected: asyncio.Queue[Wire] = asyncio.Queue()

    async def search() -> None:
        try:
            begun.set()
            await asyncio.Event().wait()
        finally:
            ended.set()

    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Wire(connected.put_nowait), "127.0.0.1", 0)
    async with server, asyncio.timeout(10):
        host, port = server.sockets[0].getsockname()
        _, writer = await asyncio.open_connection(host, port)
        wire = await connected.get()
        working = asyncio.create_task(wire.unless_lost(search()))
        await begun.wait()
        writer.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )
        writer.transport.abort()  # with a reset, not with an end after which it may still read
        with pytest.raises(Disconnected):
            await working
        assert ended.is_set()


async def test_a_client_that_does_not_read_hears_no_farewell_amid_a_message() -> None:
    connected: asyncio.Queue[Wire] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Wire(connected.put_nowait), "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    reader, writer = await asyncio.open_connection(host, port)
    writer.transport.pause_reading()  # type: ignore[attr-defined] # a transport reads, too
    wire = await connected.get()
    wire.timeout_s = 0.05
    wire.write(b"x" * (32 << 20))
    try:
        async with asyncio.timeout(10):
            with pytest.raises(Disconnected):
                await wire.flush()
            wire.write(b"* BYE")
            wire.close()
            writer.transport.resume_reading()  # type: ignore[attr-defined] # as above
            with suppress(ConnectionError):
                while raw := await reader.read(1 << 20):
                    assert b"*" not in raw
    finally:
        wire.abort()
        writer.transport.abort()
        server.close()
