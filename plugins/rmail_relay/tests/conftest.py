"""A transport on fake DNS and fake mail exchangers, and a server whose outside is a table."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from rmail_relay.outcome import Attempt, RecipientOutcome
from rmail_relay.plugin import RelayPlugin
from rmail_relay.transport import SmtpTransport

from rmail_kernel import hookspecs
from rmail_kernel.bus import Bus
from rmail_kernel.content import Content
from rmail_kernel.kernel import Kernel
from rmail_kernel.model import Address, Envelope, SessionInfo
from rmail_kernel.net import certificate
from rmail_kernel.net.resolver import Resolver
from rmail_kernel.testing import (
    FakeClock,
    FakeDns,
    FakeMx,
    HookRecorder,
    RunningServer,
    make_settings,
)

from .outside import Peers, Relay

RAW = b"Subject: Hello\r\n\r\nBody\r\n"
PATIENT: dict[str, float] = {
    "connect_s": 20,
    "greeting_s": 20,
    "command_s": 20,
    "data_s": 20,
    "block_s": 20,
    "final_s": 30,
}
QUICK = dict.fromkeys(PATIENT, 1.5)
Send = Callable[..., Coroutine[Any, Any, dict[str, RecipientOutcome]]]
MakeTransport = Callable[..., SmtpTransport]


@pytest.fixture
def patience() -> dict[str, float]:
    """How long peers are waited for; override it with QUICK where they keep us waiting."""
    return PATIENT


@pytest_asyncio.fixture
async def make_transport(
    tmp_path: Path,
    rmail_dns: FakeDns,
    rmail_mx: FakeMx,
    rmail_clock: FakeClock,
    patience: dict[str, float],
) -> AsyncIterator[MakeTransport]:
    """Transports whose DNS and mail exchangers are the fake ones; arguments are settings of the
    section.
    """
    made: list[tuple[Kernel, SmtpTransport]] = []

    def make(**relay: Any) -> SmtpTransport:
        base = {"dns_servers": [rmail_dns.server], "mx_port": rmail_mx.port, "timeouts": patience}
        settings = make_settings(tmp_path / "store", ["relay"], {"relay": base | relay})
        settings.mail_root.mkdir(exist_ok=True)
        kernel = Kernel(settings, Bus(hookspecs), clock=rmail_clock)
        kernel.resolver = Resolver(settings.dns.servers)
        made.append((kernel, SmtpTransport(kernel)))
        return made[-1][1]

    yield make
    for kernel, transport in made:
        await transport.close()
        await kernel.stop()


@pytest.fixture
def attempt(rmail_clock: FakeClock) -> Callable[..., Attempt]:
    """An attempt for some recipients of one domain."""

    def make(
        *recipients: str, raw: bytes = RAW, sender: str | None = "alice@example.com", **fields: Any
    ) -> Attempt:
        addresses = tuple(map(Address.parse, recipients or ("bob@remote.test",)))
        envelope = Envelope(
            Address.parse(sender) if sender else None,
            addresses,
            SessionInfo("session-1", "submission"),
            rmail_clock.now(),
            **fields,
        )
        return Attempt("m1", addresses[0].domain, envelope, Content.of(raw))

    return make


@pytest.fixture
def send(
    make_transport: MakeTransport, attempt: Callable[..., Attempt], rmail_dns: FakeDns
) -> Send:
    """Sends by a transport, one MX for remote.test; the outcomes by recipient."""
    rmail_dns.mx("remote.test", "mx.remote.test")
    first: list[SmtpTransport] = []

    async def act(
        *recipients: str, transport: SmtpTransport | None = None, **fields: Any
    ) -> dict[str, RecipientOutcome]:
        if transport is None:
            transport = first[0] if first else make_transport()
            first[:] = [transport]
        outcomes = await transport.deliver(attempt(*recipients, **fields))
        return {str(outcome.recipient): outcome for outcome in outcomes}

    return act


@pytest.fixture
def certificate_file(tmp_path: Path) -> Path:
    """A self-signed certificate for mx.remote.test and localhost, with its key."""
    folder = tmp_path / "peer"
    folder.mkdir()
    return certificate.ensure(folder, "mx.remote.test", ["localhost"])


@pytest.fixture
def server_tls(certificate_file: Path) -> ssl.SSLContext:
    """The server's side of it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate_file)
    return context


@pytest.fixture
def relay_settings() -> dict[str, Any]:
    """Settings of the section `relay` in which a test differs."""
    return {}


@pytest.fixture
async def relay(
    tmp_path: Path,
    rmail_hooks: HookRecorder,
    rmail_clock: FakeClock,
    relay_settings: dict[str, Any],
) -> AsyncIterator[Relay]:
    """A started server; nothing leaves it before `peers.gate` is set, which it is."""
    peers = Peers()
    peers.gate.set()
    changes = {"relay": relay_settings, "http": {"port": None, "tls_port": None}}
    settings = make_settings(tmp_path / "mailstore", [], changes)
    plugins = {"recorder": rmail_hooks, "relay": RelayPlugin(lambda _: peers)}
    server = RunningServer(settings, plugins, rmail_clock)
    await server.start()
    try:
        yield Relay(server, peers, rmail_clock, rmail_hooks)
    finally:
        peers.gate.set()
        await server.stop()
