"""Tells a URL about each stored message.

The request body is JSON; `X-Rmail-Signature` is the hex HMAC-SHA256 of the body under the shared
secret (RFC 2104). A URL that is down costs a log line: the message is stored whatever happens here.
"""

from __future__ import annotations

import hashlib
import hmac
import json

import aiohttp
from pydantic import SecretStr

from rmail_kernel import Kernel, Section, Stored, hookimpl


class WebhookSettings(Section):
    """Whom to tell about new mail."""

    url: str = ""
    """Where to POST; empty: nowhere."""
    secret: SecretStr = SecretStr("")
    """Shared secret of the signature."""


class Webhook:
    """One POST per stored message."""

    name = "webhook"
    settings = WebhookSettings

    @hookimpl
    async def on_start(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._client = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10))

    @hookimpl
    async def on_stop(self) -> None:
        await self._client.close()

    @hookimpl
    async def on_store(self, stored: Stored) -> None:
        settings = self._kernel.section("webhook", WebhookSettings)
        if not settings.url:
            return
        delivery = stored.delivery
        event = {
            "account": delivery.account,
            "mailbox": delivery.mailbox,
            "uid": stored.uid,
            "from": delivery.header("From"),
            "subject": delivery.header("Subject"),
        }
        body = json.dumps(event).encode()
        key = settings.secret.get_secret_value().encode()
        headers = {
            "Content-Type": "application/json",
            "X-Rmail-Signature": hmac.new(key, body, hashlib.sha256).hexdigest(),
        }
        async with self._client.post(settings.url, data=body, headers=headers) as answer:
            answer.raise_for_status()
