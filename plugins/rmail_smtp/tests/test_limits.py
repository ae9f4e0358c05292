"""What ends a session: endless lines, errors, chatter, silence, haste, shutdown."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from rmail_smtp.wire import MAX_LINE_BYTES

from rmail_kernel import Delivery, hookimpl
from rmail_kernel.testing import RunningServer, Transcript

Greeter = Callable[[Transcript], Awaitable[list[str]]]


async def test_an_endless_line_ends_the_connection(rmail_server: RunningServer) -> None:
    async with rmail_server.connect("smtp") as client:
        await client.expect("220 *")
        await client.send(b"x" * 300_000)
        await client.expect("500 5.5.2 Line too long")
        await client.expect_close()


async def test_a_line_past_its_commands_limit_costs_the_line_only(
    rmail_server: RunningServer,
) -> None:
    async with rmail_server.connect("smtp") as client:
        await client.expect("220 *")
        await client.send(b"NOOP " + b"x" * 600 + b"\r\n")
        await client.run("S: 500 5.5.2 Line too long\nC: NOOP\nS: 250 *")


async def test_a_line_longer_than_any_command_ends_the_connection(
    rmail_server: RunningServer,
) -> None:
    async with rmail_server.connect("smtp") as client:
        await client.expect("220 *")
        await client.send(b"NOOP " + b"x" * MAX_LINE_BYTES + b"\r\n")
        await client.expect("500 5.5.2 Line too long")
        await client.expect_close()


async def test_ten_errors_end_the_session(rmail_server: RunningServer) -> None:
    async with rmail_server.connect("smtp") as client:
        await client.expect("220 *")
        await client.send(b"BOGUS\r\n" * 30)
        for _ in range(10):
            await client.expect("500 5.5.2 *")
        await client.expect("421 4.7.0 Too many errors")
        await client.expect_close()


class TestCrowd:
    @pytest.fixture
    def rmail_settings(self) -> dict[str, Any]:
        return {"smtp": {"max_sessions": 1, "min_silence_s": 60}}

    async def test_open_sessions_are_bounded(self, rmail_server: RunningServer) -> None:
        """Nobody was silent for long yet."""
        async with rmail_server.connect("smtp") as first:
            await first.expect("220 *")
            async with rmail_server.connect("smtps") as second:
                await second.expect("421 4.3.2 Too many sessions*")


class TestSilentCrowd:
    @pytest.fixture
    def rmail_settings(self) -> dict[str, Any]:
        return {"smtp": {"max_sessions": 3, "min_silence_s": 0}}

    async def test_who_is_silent_longest_makes_room_and_who_sends_a_message_stays(
        self, rmail_server: RunningServer, say_hello: Greeter
    ) -> None:
        async with (
            rmail_server.connect("smtp") as busy,
            rmail_server.connect("smtp") as longest,
            rmail_server.connect("smtp") as silent,
        ):
            await say_hello(busy)
            await busy.run("C: MAIL FROM:<carol@remote.test>\nS: 250 *")
            await say_hello(silent)
            await say_hello(longest)
            await silent.run("C: NOOP\nS: 250 *")
            async with rmail_server.connect("submission") as late:
                await late.expect("220 *")
                await longest.run("S: 421 4.3.2 *")
                await longest.expect_close()
                await silent.run("C: NOOP\nS: 250 *")
            await busy.run("C: RCPT TO:<alice@example.com>\nS: 250 *")


class TestCrowdWithMail:
    @pytest.fixture
    def rmail_settings(self) -> dict[str, Any]:
        return {"smtp": {"max_sessions": 1, "min_silence_s": 0}}

    async def test_messages_under_way_make_no_room(
        self, rmail_server: RunningServer, say_hello: Greeter
    ) -> None:
        async with rmail_server.connect("smtp") as busy:
            await say_hello(busy)
            await busy.run("C: MAIL FROM:<carol@remote.test>\nS: 250 *")
            async with rmail_server.connect("smtp") as late:
                await late.expect("421 4.3.2 Too many sessions*")
                await late.expect_close()


class TestChatter:
    @pytest.fixture
    def rmail_settings(self) -> dict[str, Any]:
        return {"smtp": {"max_idle_commands": 100}}

    async def test_commands_without_mail_are_counted(self, rmail_server: RunningServer) -> None:
        async with rmail_server.connect("smtp") as client:
            await client.expect("220 *")
            await client.send(b"NOOP\r\n" * 101)
            for _ in range(101):
                await client.expect("250 *")
            await client.expect("421 4.7.0 Too many commands without mail")
            await client.expect_close()


class TestSilence:
    @pytest.fixture
    def rmail_settings(self) -> dict[str, Any]:
        return {"smtp": {"idle_s": 1.0}}

    async def test_a_silent_client_is_dropped(
        self, rmail_server: RunningServer, say_hello: Greeter
    ) -> None:
        async with rmail_server.connect("smtp") as client:
            await say_hello(client)
            await client.expect("421 4.4.2 *")
            await client.expect_close()

    async def test_silence_within_a_message_drops_it(
        self, rmail_server: RunningServer, say_hello: Greeter
    ) -> None:
        async with rmail_server.connect("smtp") as client:
            await say_hello(client)
            await client.send(
                b"MAIL FROM:<c@remote.test>\r\nRCPT TO:<alice@example.com>\r\n"
                b"DATA\r\nSubject: x\r\n"
            )
            await client.run("S: 250 *\nS: 250 *\nS: 354 *\nS: 421 4.4.2 *")
            await client.expect_close()
        assert await rmail_server.messages("alice") == []


async def _trickled(client: Transcript, piece: bytes) -> bytes:
    """Sends a piece ever again, far more often than idle_s, until the server ends it; its words."""
    heard = b""
    async with asyncio.timeout(10):
        while True:
            client.writer.write(piece)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.02):
                    raw = await client.reader.read(4096)
                    if not raw:
                        return heard
                    heard += raw


class TestTrickle:
    @pytest.fixture
    def rmail_settings(self) -> dict[str, Any]:
        pace = {"idle_s": 1.0, "min_bytes_per_s": 1_000_000}
        return {"smtp": {**pace, "max_idle_commands": 100_000}}

    async def test_a_command_line_that_grows_byte_by_byte_is_cut_off(
        self, rmail_server: RunningServer, say_hello: Greeter
    ) -> None:
        async with rmail_server.connect("smtp") as client:
            await say_hello(client)
            assert (await _trickled(client, b"x")).startswith(b"421 4.4.2 ")

    @pytest.mark.parametrize("begin", ["DATA", "BDAT 60000 LAST", "BDAT 1"])
    async def test_a_message_slower_than_the_least_pace_is_cut_off(
        self, rmail_server: RunningServer, say_hello: Greeter, begin: str
    ) -> None:
        async with rmail_server.connect("smtp") as client:
            await say_hello(client)
            await client.run("""
                C: MAIL FROM:<c@remote.test>
                S: 250 *
                C: RCPT TO:<alice@example.com>
                S: 250 *
            """)
            await client.send(begin.encode() + b"\r\n")
            chunk = b"aBDAT 1\r\n" if begin == "BDAT 1" else b"a"
            assert b"421 4.4.2 " in await _trickled(client, chunk)
        assert await rmail_server.messages("alice") == []


class TestTooManyOfOneClient:
    @pytest.fixture
    def rmail_settings(self) -> dict[str, Any]:
        return {
            "rate_limit": {"whitelist": ["192.0.2.0/24"]},
            "smtp": {"max_sessions_per_address": 2},
        }

    async def test_open_sessions_of_one_client_are_bounded(
        self, rmail_server: RunningServer
    ) -> None:
        async with rmail_server.connect("smtp") as first:
            await first.expect("220 *")
            async with rmail_server.connect("submission") as second:
                await second.expect("220 *")
                async with rmail_server.connect("smtp") as third:
                    await third.expect("421 4.7.0 Too many connections *")
                    await third.expect_close()
                await second.run("C: QUIT\nS: 221 *")
                await second.expect_close()
            async with rmail_server.connect("smtp") as fourth:
                await fourth.expect("220 *")


class TestWhoIsExempt:
    @pytest.fixture
    def rmail_settings(self) -> dict[str, Any]:
        return {"smtp": {"max_sessions_per_address": 1}}

    async def test_whitelisted_clients_may_have_any_number_of_sessions(
        self, rmail_server: RunningServer
    ) -> None:
        async with rmail_server.connect("smtp") as first, rmail_server.connect("smtp") as second:
            await first.expect("220 *")
            await second.expect("220 *")


class SlowSorter:
    """Takes longer than a client may be silent."""

    @hookimpl
    async def on_deliver(self, delivery: Delivery) -> None:
        await asyncio.sleep(2.0)


class TestPatience:
    @pytest.fixture
    def rmail_settings(self) -> dict[str, Any]:
        return {"smtp": {"idle_s": 1.0}}

    @pytest.fixture
    def rmail_extra_plugins(self) -> dict[str, object]:
        return {"slow": SlowSorter()}

    async def test_a_slow_plugin_is_no_silence_of_the_client(
        self, rmail_server: RunningServer, say_hello: Greeter
    ) -> None:
        async with rmail_server.connect("smtp") as client:
            await say_hello(client)
            await client.send(
                b"MAIL FROM:<c@remote.test>\r\nRCPT TO:<alice@example.com>\r\nDATA\r\n"
            )
            await client.run("S: 250 *\nS: 250 *\nS: 354 *")
            await client.run("C: Subject: slow\nC: .\nS: 250 *")


class TestWholeLife:
    @pytest.fixture
    def rmail_settings(self) -> dict[str, Any]:
        return {"smtp": {"session_s": 1.0}}

    async def test_no_session_lasts_for_ever(self, rmail_server: RunningServer) -> None:
        async with rmail_server.connect("smtp") as client:
            await client.run("S: 220 *\nS: 421 4.4.2 *")
            await client.expect_close()


class TestHaste:
    @pytest.fixture
    def rmail_settings(self) -> dict[str, Any]:
        return {"rate_limit": {"whitelist": ["192.0.2.0/24"], "connections_per_minute": 2}}

    async def test_too_many_connections_in_a_minute(self, rmail_server: RunningServer) -> None:
        for _ in range(2):
            async with rmail_server.connect("smtp") as client:
                await client.expect("220 *")
        async with rmail_server.connect("smtp") as client:
            await client.expect("421 4.7.0 Too many connections *")
            await client.expect_close()


class TestGuessing:
    @pytest.fixture
    def rmail_settings(self) -> dict[str, Any]:
        return {
            "rate_limit": {"whitelist": ["192.0.2.0/24"]},
            "smtp": {"max_unknown_recipients": 3},
        }

    async def test_who_tries_names_learns_no_more_about_anybody(
        self, rmail_server: RunningServer, say_hello: Greeter, log_in: Greeter
    ) -> None:
        begin = "C: MAIL FROM:<carol@remote.test>\nS: 250 *\n"
        for names in (("a", "b"), ("c",)):
            async with rmail_server.connect("smtp") as client:
                await say_hello(client)
                await client.run(begin)
                for name in names:
                    await client.run(f"C: RCPT TO:<{name}@example.com>\nS: 550 5.1.1 *")
        for name in ("d", "alice"):
            async with rmail_server.connect("smtp") as client:
                await say_hello(client)
                await client.run(f"{begin}C: RCPT TO:<{name}@example.com>\nS: 421 4.7.0 *")
                await client.expect_close()
        async with rmail_server.connect("submission") as client:
            await log_in(client)
            await client.run("""
                C: MAIL FROM:<alice@example.com>
                S: 250 *
                C: RCPT TO:<bob@example.com>
                S: 250 *
            """)


class TestEarlyTalkers:
    @pytest.fixture
    def rmail_settings(self) -> dict[str, Any]:
        return {"smtp": {"greeting_delay_s": 1.0}}

    async def test_who_speaks_before_the_greeting_is_refused(
        self, rmail_server: RunningServer
    ) -> None:
        async with rmail_server.connect("smtp") as client:
            await client.run("C: EHLO hasty.test\nS: 554 5.5.1 *")
            await client.expect_close()

    async def test_who_waits_is_greeted(self, rmail_server: RunningServer) -> None:
        async with rmail_server.connect("smtp") as client:
            await client.expect("220 *")


async def test_shutdown_ends_idle_sessions_and_lets_transactions_finish(
    rmail_server: RunningServer, say_hello: Greeter
) -> None:
    async with rmail_server.connect("smtp") as idle, rmail_server.connect("smtp") as busy:
        await say_hello(idle)
        await say_hello(busy)
        await busy.run("C: MAIL FROM:<carol@remote.test>\nS: 250 *")
        rmail_server.kernel.draining.set()
        await idle.expect("421 4.3.2 *")
        await idle.expect_close()
        await busy.run("""
            C: RCPT TO:<alice@example.com>
            S: 250 *
            C: DATA
            S: 354 *
            C: Subject: last
            C: .
            S: 250 *
            S: 421 4.3.2 *
        """)
        await busy.expect_close()
        async with rmail_server.connect("smtp") as late:
            await late.expect("421 4.3.2 *")
            await late.expect_close()
    assert len(await rmail_server.messages("alice")) == 1
