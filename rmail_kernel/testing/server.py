"""A whole rmail server inside the test's process, on free loopback ports."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rmail_kernel import auth, config, plugins
from rmail_kernel.clock import Clock
from rmail_kernel.content import Content
from rmail_kernel.delivery.api import Report
from rmail_kernel.kernel import Kernel
from rmail_kernel.model import Address, Envelope, SessionInfo
from rmail_kernel.process.single import Server
from rmail_kernel.storage.ids import AccountId, Uid
from rmail_kernel.storage.mail import Field
from rmail_kernel.testing.transcript import Transcript

DOMAIN = "example.com"
PASSWORD = "secret"  # noqa: S105 - of test accounts
_TLS_LISTENERS = frozenset({"smtps", "imaps", "https"})
_BASE: dict[str, Any] = {
    "hostname": "mail.example.com",
    "domains": [DOMAIN],
    "auth": {"bcrypt_cost": 4},
    "storage": {"reserve_mb": 0},
    "http": {"host": "127.0.0.1", "port": 0, "tls_port": 0},
    "process": {"drain_s": 2, "threads": 4},
    "log": {"format": "console", "level": "warning"},
}
_PORTS: dict[str, dict[str, Any]] = {
    "smtp": {"host": "127.0.0.1", "port": 0, "submission_port": 0, "smtps_port": 0},
    "imap": {"host": "127.0.0.1", "port": 0, "imaps_port": 0},
}


def make_settings(
    mail_root: Path, names: list[str], changes: Mapping[str, Any] | None = None
) -> config.Settings:
    """Settings for a test server: loopback, free ports, cheap passwords.

    Args:
        mail_root: the store.
        names: plugins to load.
        changes: what differs, as in config.json; sections are merged key by key.
    """
    models = plugins.sections(plugins.installed())
    data: dict[str, Any] = {**_BASE, "mail_root": str(mail_root), "plugins": names}
    data |= {name: section for name, section in _PORTS.items() if name in models}
    for key, value in (changes or {}).items():
        data[key] = {**data.get(key, {}), **value} if isinstance(value, Mapping) else value
    return config.build(data, models, environ={})


class RunningServer:
    """A started server with two accounts, alice and bob at example.com, password "secret".

    Attributes:
        mail_root: the store. ports: real ports by listener name. kernel: the services.
    """

    def __init__(
        self,
        settings: config.Settings,
        extra_plugins: Mapping[str, object],
        clock: Clock | None = None,
    ) -> None:
        self.mail_root = settings.mail_root
        self._server = Server(settings, clock=clock, extra_plugins=extra_plugins)

    @property
    def kernel(self) -> Kernel:
        """The services of this server."""
        return self._server.kernel

    @property
    def ports(self) -> dict[str, int]:
        """Real ports by listener name."""
        return self._server.ports

    async def start(self) -> None:
        """Makes the accounts and serves."""
        await self._server.start()
        for user in ("alice", "bob"):
            if await self.kernel.directory.get(Address(user, DOMAIN)) is None:
                await self.add_user(user)

    async def stop(self) -> None:
        """Ends the server; its store stays."""
        await self._server.stop()

    async def add_user(self, user: str, password: str = PASSWORD, **fields: Any) -> AccountId:
        """Makes one more account at example.com, with `admin` or `quota_mb` if wanted."""
        await auth.create_user(self.mail_root, user, DOMAIN, password, bcrypt_cost=4, **fields)
        account = await self.kernel.directory.get(Address(user, DOMAIN))
        assert account is not None
        return account.id

    def connect(self, listener: str) -> Transcript:
        """A transcript client for a listener ("smtp", "imaps", ...)."""
        return Transcript("127.0.0.1", self.ports[listener], tls=listener in _TLS_LISTENERS)

    def url(self, path: str = "/") -> str:
        """An address on the plain HTTP port."""
        return f"http://127.0.0.1:{self.ports['http']}{path}"

    async def deliver(
        self, raw: bytes, *recipients: str, sender: str | None = "carol@remote.test"
    ) -> Report:
        """Submits a message as if it came in by SMTP from elsewhere."""
        envelope = Envelope(
            Address.parse(sender) if sender else None,
            tuple(map(Address.parse, recipients or (f"alice@{DOMAIN}",))),
            SessionInfo("test", "smtp", peer_host="192.0.2.1"),
            self.kernel.clock.now(),
        )
        return await self.kernel.delivery.submit(envelope, Content.of(raw))

    async def messages(self, user: str = "alice", mailbox: str = "INBOX") -> list[bytes]:
        """All messages of a mailbox, in UID order."""
        account = AccountId(f"{user}@{DOMAIN}")
        view = await self.kernel.mail.view(account, mailbox)
        uids = [Uid(uid) for uid in view.uids[: view.total]]
        found = []
        async for batch in self.kernel.mail.fetch(account, view.mailbox, uids, Field.CONTENT):
            for row in batch:
                assert row.content is not None
                found.append(await row.content.read())
                row.content.close()
        return found
