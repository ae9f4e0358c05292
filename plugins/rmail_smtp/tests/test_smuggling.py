"""Only CR LF . CR LF ends a message, and nothing with a bare CR or LF in it is passed on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from rmail_kernel.testing import RunningServer, Transcript

Greeter = Callable[[Transcript], Awaitable[list[str]]]
SMUGGLED = (
    b"MAIL FROM:<admin@remote.test>\r\nRCPT TO:<bob@example.com>\r\nDATA\r\nSubject: evil\r\n"
)


@pytest.mark.parametrize(
    "end",
    [
        b"\n.\n",
        b"\n.\r\n",
        b"\r\n.\n",
        b"\r.\r",
        b"\r.\r\n",
        b"\r\n.\r",
        b"\n.\r",
        b"\r\r\n.\r\r\n",
        b"\r\n\x00.\r\n\n",
        b"\r\n.\r\r\n",
        b"\r\r\n.\r\n",
        b"x\ny\r\n.\r\n",
    ],
)
async def test_no_other_end_of_data_smuggles_a_message(
    rmail_server: RunningServer, say_hello: Greeter, end: bytes
) -> None:
    async with rmail_server.connect("smtp") as client:
        await say_hello(client)
        await client.run("""
            C: MAIL FROM:<carol@remote.test>
            S: 250 *
            C: RCPT TO:<alice@example.com>
            S: 250 *
            C: DATA
            S: 354 *
        """)
        await client.send(b"Subject: one\r\n\r\nbody" + end + SMUGGLED + b"\r\n.\r\n")
        await client.expect("550 5.6.11 *")
        await client.expect_close()
    assert await rmail_server.messages("alice") == []
    assert await rmail_server.messages("bob") == []


@pytest.mark.parametrize("raw", [b"NOOP\n", b"NO\rOP\r\n", b"NOOP\r\r\n", b"\n"])
async def test_a_command_with_a_bare_line_end_closes_the_session(
    rmail_server: RunningServer, say_hello: Greeter, raw: bytes
) -> None:
    async with rmail_server.connect("smtp") as client:
        await say_hello(client)
        await client.send(raw)
        await client.expect("500 5.5.2 *")
        await client.expect_close()
