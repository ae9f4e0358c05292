"""PIPELINING: groups of commands, answered in order, and nothing lost behind a message."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from rmail_kernel.testing import RunningServer, Transcript

Greeter = Callable[[Transcript], Awaitable[list[str]]]


async def test_a_whole_transaction_in_one_packet(
    rmail_server: RunningServer, say_hello: Greeter
) -> None:
    async with rmail_server.connect("smtp") as client:
        await say_hello(client)
        await client.send(
            b"MAIL FROM:<carol@remote.test>\r\nRCPT TO:<alice@example.com>\r\n"
            b"RCPT TO:<nobody@example.com>\r\nDATA\r\nSubject: one\r\n\r\nbody\r\n.\r\n"
            b"MAIL FROM:<carol@remote.test>\r\nRCPT TO:<bob@example.com>\r\n"
            b"DATA\r\nSubject: two\r\n\r\n.\r\nQUIT\r\nNOOP\r\n"
        )
        await client.run("""
            S: 250 2.1.0 *
            S: 250 2.1.5 *
            S: 550 5.1.1 *
            S: 354 *
            S: 250 2.6.0 *
            S: 250 2.1.0 *
            S: 250 2.1.5 *
            S: 354 *
            S: 250 2.6.0 *
            S: 221 *
        """)
        await client.expect_close()
    assert (await rmail_server.messages("alice"))[0].endswith(b"Subject: one\r\n\r\nbody\r\n")
    assert (await rmail_server.messages("bob"))[0].endswith(b"Subject: two\r\n\r\n")


async def test_many_commands_in_one_packet_are_all_answered(
    rmail_server: RunningServer, say_hello: Greeter
) -> None:
    async with rmail_server.connect("smtp") as client:
        await say_hello(client)
        await client.send(b"NOOP\r\n" * 900)
        for _ in range(900):
            await client.expect("250 2.0.0 Ok")
