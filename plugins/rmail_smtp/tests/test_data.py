"""DATA: what is stored is what was sent; what cannot be stored is refused after the final dot."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

import pytest

from rmail_kernel.testing import RunningServer, Transcript

Greeter = Callable[[Transcript], Awaitable[list[str]]]
BEGIN = """
    C: MAIL FROM:<carol@remote.test>
    S: 250 *
    C: RCPT TO:<alice@example.com>
    S: 250 *
    C: DATA
    S: 354 *
"""
LIMIT_BYTES = 3 << 20


@pytest.fixture
def rmail_settings() -> dict[str, Any]:
    return {"smtp": {"max_message_bytes": LIMIT_BYTES}}


async def test_data_needs_recipients(rmail_server: RunningServer, say_hello: Greeter) -> None:
    async with rmail_server.connect("smtp") as client:
        await say_hello(client)
        await client.run("""
            C: DATA
            S: 503 5.5.1 *
            C: MAIL FROM:<carol@remote.test>
            S: 250 *
            C: DATA
            S: 503 5.5.1 *
            C: RCPT TO:<nobody@example.com>
            S: 550 *
            C: DATA
            S: 554 5.5.1 No valid recipients
        """)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"Subject: x\r\n\r\n.leading dot\r\n..\r\n. \r\n",
        b"no header at all\r\n",
        b"Subject: nul\r\n\r\n\0\r\n",
        b"Subject: 8bit\r\n\r\n\xff\xfe\r\n",
        b"Subject: long\r\n\r\n" + b"x" * 1_000_000 + b"\r\n",
        b"Subject: large\r\n\r\n" + b"line of text\r\n" * 200_000,
    ],
    ids=["empty", "dots", "headerless", "nul", "8bit", "long line", "large"],
)
async def test_every_byte_arrives(
    rmail_server: RunningServer, say_hello: Greeter, raw: bytes
) -> None:
    async with rmail_server.connect("smtp") as client:
        await say_hello(client)
        await client.run(BEGIN)
        stuffed = (b"\r\n" + raw).replace(b"\r\n.", b"\r\n..")[2:]
        await client.send(stuffed + b".\r\n")
        await client.expect("250 2.6.0 *")
    (stored,) = await rmail_server.messages("alice")
    head, received, rest = stored.partition(b"Received: from client.test ([127.0.0.1])\r\n\tby ")
    assert head.count(b"\r\n") == 2
    assert received
    assert rest.endswith(b"+0000\r\n" + raw)


async def test_an_oversize_message_is_refused_after_its_end(
    rmail_server: RunningServer, say_hello: Greeter
) -> None:
    async with rmail_server.connect("smtp") as client:
        await say_hello(client)
        await client.run(BEGIN)
        await client.send(b"x" * 998 + b"\r\n" + (b"y" * 70 + b"\r\n") * (LIMIT_BYTES // 60))
        await client.run("C: .\nS: 552 5.3.4 *\nC: NOOP\nS: 250 *")
    assert await rmail_server.messages("alice") == []


async def test_a_line_without_end_is_refused_after_the_message(
    rmail_server: RunningServer, say_hello: Greeter
) -> None:
    async with rmail_server.connect("smtp") as client:
        await say_hello(client)
        await client.run(BEGIN)
        await client.send(b"x" * ((1 << 20) + 100_000) + b"\r\n.\r\n")
        await client.run("S: 500 5.6.0 *\nC: NOOP\nS: 250 *")


async def test_a_session_can_send_again_after_a_message(
    rmail_server: RunningServer, say_hello: Greeter
) -> None:
    async with rmail_server.connect("smtp") as client:
        await say_hello(client)
        for _ in range(3):
            await client.run(BEGIN)
            await client.run("C: Subject: again\nC: .\nS: 250 *")
    assert len(await rmail_server.messages("alice")) == 3


async def test_a_disk_that_is_full_amid_a_message_makes_no_commands_of_its_rest(
    rmail_server: RunningServer, say_hello: Greeter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> NoReturn:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "mkstemp", full)
    async with rmail_server.connect("smtp") as client:
        await say_hello(client)
        await client.run(BEGIN)
        await client.send(b"MAIL FROM:<evil@remote.test>\r\n" * 60_000 + b".\r\n")
        await client.expect("452 4.3.1 *")
        await client.run("C: NOOP\nS: 250 *")
    assert await rmail_server.messages("alice") == []
