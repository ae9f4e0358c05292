"""`rmail dev`: a server to try things with, on this machine only; no root rights, no questions.

It writes ./config.json and ./mailstore when they are absent, and changes neither later.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from rmail_kernel import plugins
from rmail_kernel.auth.passwords import Passwords
from rmail_kernel.cli import config_file, user
from rmail_kernel.cli.addresses import accounts_of
from rmail_kernel.cli.options import DEFAULT_CONFIG, Config
from rmail_kernel.cli.run import Workers
from rmail_kernel.cli.serving import warn
from rmail_kernel.cli.session import open_session
from rmail_kernel.config import Settings, build, read_file
from rmail_kernel.model import Address
from rmail_kernel.net.listeners import Listener

HOST = "127.0.0.1"
DOMAIN = "example.com"  # reserved for examples, RFC 2606 3
LOGIN = f"alice@{DOMAIN}"
PASSWORD = "wonderland"  # noqa: S105 - of the demo account, reachable from this machine only
PORTS: dict[str, dict[str, int]] = {
    "smtp": {"port": 2525, "submission_port": 2587, "smtps_port": 2465},
    "imap": {"port": 2143, "imaps_port": 2993},
    "http": {"port": 9002, "tls_port": 9003},
}
_WEB = ("http", "https")
_SEND = f"printf 'Subject: Hello\\n\\nIt works.\\n' | curl -sS --crlf -T - --mail-rcpt {LOGIN} smtp://{{}}"
_READ = f"curl -sS -u {LOGIN}:{PASSWORD} 'imap://{{}}/INBOX;UID=*'  (the newest message)"


def dev(config: Config = DEFAULT_CONFIG, workers: Workers = None) -> int:
    """Serve a demo store on this machine, made when absent; prints where and how to log in."""
    is_new = not os.path.lexists(config)
    data = demo() if is_new else read_file(config)
    settings = build(data, plugins.sections(plugins.installed()), base=config.parent)
    listeners = _free_listeners(settings)
    warn(settings)
    if is_new:
        config_file.write_new(config, data)
    is_demo = asyncio.run(_prepare(settings))
    hosts = {listener.name: listener.host for listener in listeners}

    def announce(ports: Mapping[str, int]) -> None:
        typer.echo(announcement(settings, hosts, ports, config, is_demo=is_demo))

    from rmail_kernel.process.main import run as serve

    workers = settings.workers if workers is None else workers
    return serve(settings, config, workers, announce)


def _free_listeners(settings: Settings) -> list[Listener]:
    """The listeners of the plugins, after a look whether each can be opened.

    Raises:
        PluginError: a plugin cannot be loaded. ConfigError: a port is in use.
    """
    from rmail_kernel.net.sockets import open_listeners
    from rmail_kernel.process.node import load_kernel, possible_listeners

    listeners = possible_listeners(load_kernel(settings))
    for opened in open_listeners(listeners, {}).values():
        opened.close()
    return listeners


def announcement(
    settings: Settings,
    hosts: Mapping[str, str],
    ports: Mapping[str, int],
    config: Path,
    *,
    is_demo: bool,
) -> str:
    """What a newcomer needs: where the server listens and how to log in.

    Args:
        hosts: address by listener name.
        ports: real port by listener name.
        is_demo: whether the demo account is there.
    """
    rows = {
        name: f"{name}://{hosts[name]}:{port}/" if name in _WEB else f"{hosts[name]}:{port}"
        for name, port in ports.items()
    }
    if "http" in ports and "webmail" in settings.plugins:
        rows["web"] = f"{rows['http']}webmail"
    rows["store"] = str(settings.mail_root)
    rows["settings"] = str(config.resolve())
    demo_login = f"{LOGIN}, password {PASSWORD}"
    rows["login"] = demo_login if is_demo else "`rmail user list` shows the accounts"
    if is_demo and {"smtp", "imap"} <= ports.keys():
        rows["send"] = _SEND.format(rows["smtp"])
        rows["read"] = _READ.format(rows["imap"])
    if "http" in ports and "api" in settings.plugins:
        rows["http"] += "  (the REST API: docs/api.md)"
    width = max(map(len, rows))
    lines = [f"  {name.ljust(width)}  {value}" for name, value in rows.items()]
    return "\n".join(["rmail serves on this machine only; Ctrl-C ends it.", *lines])


def demo() -> dict[str, Any]:
    """The configuration of a demo server: loopback, high ports."""
    names = config_file.shipped_plugins()
    sections = {
        name: {"host": HOST, **ports}
        for name, ports in PORTS.items()
        if name == "http" or name in names
    }
    return {
        "mail_root": "./mailstore",
        "hostname": "localhost",
        "domains": [DOMAIN],
        "plugins": names,
        **sections,
        "exchange_api": {"token_secret": config_file.new_secret()},
    }


async def _prepare(settings: Settings) -> bool:
    """Makes the demo account in a store without accounts; whether it has the demo password."""
    async with open_session(settings, create=True) as session:
        directory = session.directory
        for domain in settings.domains:
            if not await directory.has_domain(domain):
                await directory.add_domain(domain)
        if not await accounts_of(directory) and await directory.has_domain(DOMAIN):
            await user.create(session, LOGIN, PASSWORD, quota_mb=user.DEFAULT_QUOTA_MB)
        account = await directory.get(Address.parse(LOGIN))
        check = Passwords(settings.auth.bcrypt_cost).check
        return account is not None and check(PASSWORD, account.password_hash)
