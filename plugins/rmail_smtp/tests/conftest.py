"""What the SMTP tests share: a server with this plugin alone, and the ways into a session."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable

import pytest

from rmail_kernel.testing import Transcript

Greeter = Callable[[Transcript], Awaitable[list[str]]]


@pytest.fixture
def rmail_plugins() -> list[str]:
    return ["smtp"]


@pytest.fixture
def say_hello() -> Greeter:
    """Reads the greeting and says EHLO; the keyword lines."""

    async def greet(client: Transcript) -> list[str]:
        await client.expect("220 mail.example.com ESMTP*")
        return await _ehlo(client)

    return greet


@pytest.fixture
def log_in() -> Greeter:
    """As alice: greeting, EHLO, STARTTLS where it is offered, AUTH; the keyword lines."""

    async def greet(client: Transcript) -> list[str]:
        await client.expect("220 mail.example.com ESMTP*")
        keywords = await _ehlo(client)
        if "STARTTLS" in keywords:
            await client.run("C: STARTTLS\nS: 220 *")
            await client.start_tls()
            keywords = await _ehlo(client)
        token = base64.b64encode(b"\0alice@example.com\0secret").decode()
        await client.run(f"C: AUTH PLAIN {token}\nS: 235 2.7.0 *")
        return keywords

    return greet


async def _ehlo(client: Transcript) -> list[str]:
    await client.send(b"EHLO client.test\r\n")
    await client.expect("250-mail.example.com")
    return [line[4:] for line in await client.until("250 *")]
