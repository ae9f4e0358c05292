"""Clients that leave in the middle: a message is stored whole or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from rmail_kernel import Delivery, hookimpl
from rmail_kernel.testing import HookRecorder, RunningServer, Transcript

Greeter = Callable[[Transcript], Awaitable[list[str]]]
TRANSACTION = (
    b"MAIL FROM:<carol@remote.test>\r\nRCPT TO:<alice@example.com>\r\nDATA\r\nSubject: bye\r\n\r\n"
)


class Gate:
    """Holds a delivery until the test opens it."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.opened = asyncio.Event()

    @hookimpl
    async def on_deliver(self, delivery: Delivery) -> None:
        self.reached.set()
        await self.opened.wait()


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def rmail_extra_plugins(gate: Gate) -> dict[str, object]:
    return {"gate": gate}


async def test_half_close_behind_the_message_still_gets_the_answer(
    rmail_server: RunningServer, say_hello: Greeter, gate: Gate
) -> None:
    gate.opened.set()
    async with rmail_server.connect("smtp") as client:
        await say_hello(client)
        await client.send(TRANSACTION + b".\r\n")
        client.writer.write_eof()
        await client.run("S: 250 *\nS: 250 *\nS: 354 *\nS: 250 2.6.0 *")
        await client.expect_close()
    assert len(await rmail_server.messages("alice")) == 1


async def test_a_reset_during_delivery_does_not_stop_it(
    rmail_server: RunningServer, say_hello: Greeter, gate: Gate, rmail_hooks: HookRecorder
) -> None:
    client = rmail_server.connect("smtp")
    async with client:
        await say_hello(client)
        await client.send(TRANSACTION + b".\r\n")
        await client.run("S: 250 *\nS: 250 *\nS: 354 *")
        async with asyncio.timeout(10):
            await gate.reached.wait()
        client.writer.transport.abort()
    gate.opened.set()
    await rmail_hooks.wait_for("on_store")
    assert len(await rmail_server.messages("alice")) == 1


@pytest.mark.parametrize("last", [b"", b"body\r\n.", b"body\r\n.\r", b"body"])
async def test_a_message_without_its_end_is_not_stored(
    rmail_server: RunningServer, say_hello: Greeter, gate: Gate, last: bytes
) -> None:
    gate.opened.set()
    async with rmail_server.connect("smtp") as client:
        await say_hello(client)
        await client.send(TRANSACTION + last)
        client.writer.write_eof()
        await client.run("S: 250 *\nS: 250 *\nS: 354 *")
        await client.expect_close()
    assert await rmail_server.messages("alice") == []
