"""The webhook as an installed plugin of a whole server, against a real HTTP service."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer

from rmail_kernel.testing import HookRecorder, RunningServer


class Receiver:
    """Keeps signed bodies; answers with `status`."""

    def __init__(self) -> None:
        self.status = 204
        self.got: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()

    async def answer(self, request: web.Request) -> web.Response:
        await self.got.put((request.headers["X-Rmail-Signature"], await request.read()))
        return web.Response(status=self.status)


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


@pytest_asyncio.fixture
async def receiver_url(receiver: Receiver) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/mail", receiver.answer)
    async with TestServer(app) as server:
        yield str(server.make_url("/mail"))


@pytest.fixture
def rmail_plugins() -> list[str]:
    return ["smtp", "webhook"]


@pytest.fixture
def rmail_settings(receiver_url: str) -> dict[str, Any]:
    return {"webhook": {"url": receiver_url, "secret": "shared"}}


async def test_each_stored_message_is_told_and_signed(
    rmail_server: RunningServer, receiver: Receiver
) -> None:
    await rmail_server.deliver(b"Subject: Hello\r\nFrom: x@remote.test\r\n\r\nHi\r\n")
    async with asyncio.timeout(10):
        signature, body = await receiver.got.get()
    assert signature == hmac.new(b"shared", body, hashlib.sha256).hexdigest()
    event = json.loads(body)
    assert event["account"] == "alice@example.com"
    assert (event["mailbox"], event["uid"], event["subject"]) == ("INBOX", 1, "Hello")


async def test_a_receiver_that_fails_costs_the_sender_nothing(
    rmail_server: RunningServer, receiver: Receiver, rmail_hooks: HookRecorder
) -> None:
    receiver.status = 500
    report = await rmail_server.deliver(b"Subject: Hello\r\n\r\nHi\r\n")
    assert report.is_accepted
    await rmail_hooks.wait_for("on_store")
    assert len(await rmail_server.messages()) == 1
