"""BDAT: chunks of announced length, whatever is in them and whatever becomes of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from rmail_kernel.testing import RunningServer, Transcript

Greeter = Callable[[Transcript], Awaitable[list[str]]]
LIMIT_BYTES = 3 << 20
BEGIN = b"MAIL FROM:<carol@remote.test>\r\nRCPT TO:<alice@example.com>\r\n"
GOOD = BEGIN + b"BDAT 15 LAST\r\nSubject: good\r\n"
BEGUN = "S: 250 2.1.0 *\nS: 250 2.1.5 *\n"


@pytest.fixture
def rmail_settings() -> dict[str, Any]:
    return {"smtp": {"max_message_bytes": LIMIT_BYTES}}


async def _subjects(server: RunningServer) -> list[bytes]:
    return [
        raw.partition(b"Subject: ")[2].split(b"\r\n")[0] for raw in await server.messages("alice")
    ]


async def test_chunks_make_a_message_in_one_packet(
    rmail_server: RunningServer, say_hello: Greeter
) -> None:
    async with rmail_server.connect("smtp") as client:
        await say_hello(client)
        await client.send(
            BEGIN + b"BDAT 13\r\nSubject: one\rbdat 8\r\n\n\r\n.\r\nx\rBDAT 1 last\r\n\n" + GOOD
        )
        await client.run(BEGUN)
        await client.run("S: 250 2.0.0 13 bytes taken\nS: 250 2.0.0 8 bytes taken\nS: 250 2.6.0 *")
        await client.run(BEGUN + "S: 250 2.6.0 *")
    one, _ = await rmail_server.messages("alice")
    assert one.endswith(b"Subject: one\r\n\r\n.\r\nx\r\n")
    assert await _subjects(rmail_server) == [b"one", b"good"]


async def test_a_large_message_goes_by_in_chunks(
    rmail_server: RunningServer, say_hello: Greeter
) -> None:
    body = b"Subject: big\r\n\r\n" + b"0123456789abcde\r\n" * 150_000
    async with rmail_server.connect("smtp") as client:
        await say_hello(client)
        half = len(body) // 2
        await client.send(BEGIN + b"BDAT %d\r\n" % half + body[:half])
        await client.send(b"BDAT %d\r\n" % (len(body) - half) + body[half:] + b"BDAT 0 LAST\r\n")
        await client.run(BEGUN + "S: 250 *\nS: 250 *\nS: 250 2.6.0 *")
    (raw,) = await rmail_server.messages("alice")
    assert raw.endswith(body)


@pytest.mark.parametrize("raw", [b"a\nb", b"a\rb", b"\n.\n", b"\r\n.\r", b"x\r"])
async def test_bare_line_ends_are_refused_unless_the_message_is_binary(
    rmail_server: RunningServer, say_hello: Greeter, raw: bytes
) -> None:
    message = b"Subject: bin\r\n\r\n" + raw
    chunk = b"BDAT %d LAST\r\n" % len(message) + message
    binary = BEGIN.replace(b"test>\r\n", b"test> BODY=BINARYMIME\r\n", 1)
    async with rmail_server.connect("smtp") as client:
        await say_hello(client)
        await client.send(BEGIN + chunk + binary + chunk)
        await client.run(BEGUN + "S: 550 5.6.11 *")
        await client.run(BEGUN + "S: 250 2.6.0 *")
    (stored,) = await rmail_server.messages("alice")
    assert stored.endswith(message)


@pytest.mark.parametrize(
    "header",
    [
        b"Subject: x\rFrom: boss@example.com\r\n\r\n",
        b"Subject: x\nFrom: boss@example.com\r\n\r\n",
        b"Subject: x\n\nFrom: boss@example.com\r\n\r\n",
        b"Subject: x\r\n\nFrom: boss@example.com\r\n\r\n",
        b"\nFrom: boss@example.com\r\n\r\n",
    ],
)
async def test_no_field_hides_behind_a_bare_line_end_of_a_binary_message(
    rmail_server: RunningServer, say_hello: Greeter, header: bytes
) -> None:
    async with rmail_server.connect("smtp") as client:
        await say_hello(client)
        await client.send(
            BEGIN.replace(b"test>\r\n", b"test> BODY=BINARYMIME\r\n", 1)
            + b"BDAT %d LAST\r\n" % len(header)
            + header
            + GOOD
        )
        await client.run(BEGUN + "S: 550 5.6.11 *\n" + BEGUN + "S: 250 2.6.0 *")
    assert await _subjects(rmail_server) == [b"good"]


@pytest.mark.parametrize(
    ("raw", "script"),
    [
        (b"BDAT 5 LAST\r\nRSET\n", "S: 503 5.5.1 *"),
        (
            b"MAIL FROM:<c@r.test>\r\nBDAT 6\r\nRSET\r\n",
            "S: 250 *\nS: 503 5.5.1 *\nC: RSET\nS: 250 *",
        ),
        (
            b"MAIL FROM:<c@r.test>\r\nRCPT TO:<nobody@example.com>\r\nBDAT 6 LAST\r\nQUIT\r\n"
            b"RSET\r\n",
            "S: 250 *\nS: 550 *\nS: 554 5.5.1 *\nS: 250 *",
        ),
        (BEGIN + b"BDAT 3\r\na\nbBDAT 6 LAST\r\nQUIT\r\n", BEGUN + "S: 550 5.6.11 *\nS: 503 *"),
        (
            BEGIN + b"BDAT 4\r\nQUITDATA\r\nRCPT TO:<bob@example.com>\r\nRSET\r\n",
            BEGUN + "S: 250 *\nS: 503 5.5.1 *\nS: 503 5.5.1 *\nS: 250 *",
        ),
        (
            BEGIN.replace(b"test>\r\n", b"test> BODY=BINARYMIME\r\n", 1) + b"DATA\r\nRSET\r\n",
            BEGUN + "S: 503 5.5.1 *\nS: 250 *",
        ),
        (BEGIN + b"BDAT 4\r\nQUITRSET\r\n", BEGUN + "S: 250 *\nS: 250 *"),
    ],
)
async def test_a_refused_chunk_is_never_read_as_commands(
    rmail_server: RunningServer, say_hello: Greeter, raw: bytes, script: str
) -> None:
    async with rmail_server.connect("smtp") as client:
        await say_hello(client)
        await client.send(raw)
        await client.run(script)
        await client.send(GOOD)
        await client.run(BEGUN + "S: 250 2.6.0 *")
    assert await _subjects(rmail_server) == [b"good"]


async def test_a_chunk_before_ehlo_is_dropped(rmail_server: RunningServer) -> None:
    async with rmail_server.connect("smtp") as client:
        await client.expect("220 *")
        await client.send(b"BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n")
        await client.run("S: 503 5.5.1 *\nS: 250 *")


@pytest.mark.parametrize(
    "argument",
    [b"", b"x", b"-1", b"1 FIRST", b"1 LAST LAST", b"0x10", b"9" * 21],
)
async def test_where_the_length_cannot_be_told_the_session_ends(
    rmail_server: RunningServer, say_hello: Greeter, argument: bytes
) -> None:
    async with rmail_server.connect("smtp") as client:
        await say_hello(client)
        await client.send(BEGIN + b"BDAT " + argument + b"\r\nMAIL FROM:<evil@remote.test>\r\n")
        await client.run(BEGUN + "S: 501 5.5.4 *")
        await client.expect_close()


async def test_a_chunk_far_beyond_the_limit_ends_the_session_and_chunks_may_not_add_up_to_more(
    rmail_server: RunningServer, say_hello: Greeter
) -> None:
    async with rmail_server.connect("smtp") as client:
        await say_hello(client)
        await client.send(BEGIN + b"BDAT %d\r\n" % (2 * LIMIT_BYTES + 1))
        await client.run(BEGUN + "S: 552 5.3.4 *")
        await client.expect_close()
    chunk = b"BDAT %d\r\n" % (2 << 20) + b"0123456789abcd\r\n" * (1 << 17)
    async with rmail_server.connect("smtp") as client:
        await say_hello(client)
        await client.send(BEGIN + chunk + chunk)
        await client.run(BEGUN + "S: 250 *\nS: 552 5.3.4 *")
        await client.send(GOOD)
        await client.run(BEGUN + "S: 250 2.6.0 *")


async def test_a_client_that_leaves_within_a_chunk_leaves_nothing(
    rmail_server: RunningServer, say_hello: Greeter
) -> None:
    async with rmail_server.connect("smtp") as client:
        await say_hello(client)
        await client.send(BEGIN + b"BDAT 100 LAST\r\nSubject: half")
        client.writer.write_eof()
        await client.run(BEGUN)
        await client.expect_close()
    assert await rmail_server.messages("alice") == []


class TestTinyChunks:
    @pytest.fixture
    def rmail_settings(self) -> dict[str, Any]:
        return {"smtp": {"max_idle_commands": 100}}

    async def test_chunks_without_progress_are_counted(
        self, rmail_server: RunningServer, say_hello: Greeter
    ) -> None:
        async with rmail_server.connect("smtp") as client:
            await say_hello(client)
            await client.send(BEGIN + b"BDAT 0\r\n" * 100)
            await client.until("421 4.7.0 *")
            await client.expect_close()


class TestEnoughMail:
    @pytest.fixture
    def rmail_settings(self) -> dict[str, Any]:
        return {"smtp": {"max_messages": 2}}

    async def test_the_mails_of_a_connection_are_bounded_as_ehlo_says(
        self, rmail_server: RunningServer, say_hello: Greeter
    ) -> None:
        async with rmail_server.connect("smtp") as client:
            assert "LIMITS MAILMAX=2 RCPTMAX=100" in await say_hello(client)
            await client.send(GOOD + GOOD + BEGIN)
            await client.run((BEGUN + "S: 250 2.6.0 *\n") * 2 + "S: 421 4.7.0 *")
            await client.expect_close()
