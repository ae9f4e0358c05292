"""A server with the API alone, and a client for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from yarl import URL

from rmail_kernel.testing import RunningServer


@dataclass(slots=True)
class Answer:
    """One answer: status, header fields, content."""

    status: int
    headers: Any
    body: bytes
    json: Any = None

    @property
    def error(self) -> str:
        text = self.json["error"]
        assert isinstance(text, str)
        return text


@dataclass(slots=True)
class Api:
    """A client that logs in once per user and remembers the token."""

    server: RunningServer
    session: aiohttp.ClientSession
    tokens: dict[str, str] = field(default_factory=dict)

    async def call(
        self,
        method: str,
        path: str,
        json: Any = None,
        *,
        user: str | None = "alice",
        headers: dict[str, str] | None = None,
        data: Any = None,
    ) -> Answer:
        """One request as `user` (None: as nobody)."""
        fields = dict(headers or {})
        if user is not None:
            fields["Authorization"] = f"Bearer {await self.token(user)}"
        url = URL(self.server.url(path), encoded=True)
        request = self.session.request(method, url, json=json, data=data, headers=fields)
        async with request as answer:
            body = await answer.read()
            parsed = await answer.json() if answer.content_type == "application/json" else None
            if method == "HEAD" or answer.status in (204, 304):
                parsed = None
            return Answer(answer.status, answer.headers, body, parsed)

    async def get(self, path: str, **options: Any) -> Answer:
        """GET."""
        return await self.call("GET", path, **options)

    async def post(self, path: str, json: Any = None, **options: Any) -> Answer:
        """POST, with JSON unless `data` is given."""
        return await self.call("POST", path, json, **options)

    async def token(self, user: str, password: str = "secret") -> str:
        """A token of a user at example.com."""
        if user not in self.tokens:
            body = {"username": user, "password": password, "domain": "example.com"}
            url = self.server.url("/auth/login")
            async with self.session.post(url, json=body) as answer:
                assert answer.status == 200, await answer.text()
                self.tokens[user] = (await answer.json())["token"]
        return self.tokens[user]

    async def append(self, raw: bytes, folder: str = "INBOX", user: str = "alice") -> int:
        """Appends a message; its UID."""
        answer = await self.post(f"/folders/{folder}/messages", data=raw, user=user)
        assert answer.status == 201, answer.body
        uid = answer.json["uid"]
        assert isinstance(uid, int)
        return uid


def message(subject: str = "Hello", body: str = "Body") -> bytes:
    """A small message."""
    return (
        f"From: Bob <bob@example.com>\r\nTo: alice@example.com\r\nSubject: {subject}\r\n"
        f"Date: Fri, 02 Jan 2026 03:04:05 +0100\r\nMessage-ID: <1@example.com>\r\n\r\n{body}\r\n"
    ).encode()


@pytest.fixture
def rmail_plugins() -> list[str]:
    """The API and nothing else."""
    return ["api"]


@pytest_asyncio.fixture
async def api(rmail_server: RunningServer) -> AsyncIterator[Api]:
    """A client; "admin" is an administrator beside alice and bob."""
    await rmail_server.add_user("admin", admin=True)
    async with aiohttp.ClientSession() as session:
        yield Api(rmail_server, session)
