"""Asks an HTTP service whether a login is right.

The service gets `{"login", "secret", "protocol", "peer"}` as JSON and answers 200 (let in), 403
(refuse) or 404 (not mine: rmail looks at its own password). Anything else is a temporary failure:
nobody is let in, nobody is locked out.
"""

from __future__ import annotations

import aiohttp

from rmail_kernel import Address, Kernel, Principal, Reject, Section, SessionInfo, hookimpl
from rmail_kernel.errors import Invalid


class HttpAuthSettings(Section):
    """Where to ask about logins."""

    url: str = ""
    """Address of the service; empty: not asked."""


class HttpAuth:
    """An authenticator outside rmail."""

    name = "http_auth"
    settings = HttpAuthSettings

    @hookimpl
    async def on_start(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._client = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5))

    @hookimpl
    async def on_stop(self) -> None:
        await self._client.close()

    @hookimpl
    async def on_auth(
        self, login: str, secret: str, session: SessionInfo
    ) -> Principal | Reject | None:
        url = self._kernel.section("http_auth", HttpAuthSettings).url
        domains = self._kernel.settings.domains
        if not url:
            return None
        if "@" not in login and domains:
            login = f"{login}@{domains[0]}"
        question = {"login": login, "secret": secret}
        question |= {"protocol": session.protocol, "peer": session.peer_host}
        async with self._client.post(url, json=question) as answer:
            if answer.status == 404:
                return None
            if answer.status == 403:
                return Reject("Refused by the login service")
            answer.raise_for_status()
        try:
            account = await self._kernel.directory.get(Address.parse(login))
        except Invalid:
            account = None
        return account.principal() if account else Reject("No such account")
