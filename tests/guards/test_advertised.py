"""What a server offers, against docs/rfc.toml and the READMEs."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from rmail_imap.capabilities import capabilities
from rmail_imap.catalog import Catalog
from rmail_imap.config import ImapSettings
from rmail_imap.session import Session
from rmail_imap.value_cache import ValueCache
from rmail_imap.wire import Wire

from rmail_kernel import SessionInfo
from rmail_kernel.lanes import Lanes
from rmail_kernel.testing import RunningServer

ROOT = Path(__file__).parents[2]
LIST = tomllib.loads((ROOT / "docs/rfc.toml").read_text("utf-8"))


async def _imap(server: RunningServer) -> set[str]:
    """What clients on this machine are offered: before and after login, with TLS and without."""
    found: set[str] = set()
    for listener in ("imap", "imaps"):
        async with server.connect(listener) as client:
            lines = await client.run("""
                S: * OK [CAPABILITY *] *
                C: a LOGIN alice@example.com secret
                S: a OK [CAPABILITY *] *
            """)
        for line in lines:
            found.update(line.partition("[CAPABILITY ")[2].partition("]")[0].split())
    return found


async def _smtp(server: RunningServer) -> set[str]:
    """EHLO keywords of all listeners, without their values."""
    found: set[str] = set()
    for listener in ("smtp", "submission", "smtps"):
        async with server.connect(listener) as client:
            await client.run("S: 220 *\nC: EHLO client.test\nS: 250-mail.example.com")
            lines = await client.until("250 *")
        found.update(line[4:].split()[0] for line in lines)
    return found


def _listed(protocol: str) -> list[str]:
    return [
        name for entry in LIST.values() for name in entry.get("advertises", {}).get(protocol, [])
    ]


async def test_every_imap_capability_comes_from_a_listed_rfc(rmail_server: RunningServer) -> None:
    elsewhere = SessionInfo("s1", "imap", peer_host="192.0.2.1")
    session = Session(
        rmail_server.kernel,
        ImapSettings(),
        Wire(lambda _: None),
        elsewhere,
        Catalog().offer,
        ValueCache(),
        Lanes(1),
    )
    offered = await _imap(rmail_server) | set(capabilities(session))
    assert sorted(_listed("imap")) == sorted(offered)


async def test_every_ehlo_keyword_comes_from_a_listed_rfc(rmail_server: RunningServer) -> None:
    assert sorted(_listed("smtp")) == sorted(await _smtp(rmail_server))


def test_what_is_advertised_is_done_and_by_that_plugin() -> None:
    for number, entry in LIST.items():
        for protocol in entry.get("advertises", {}):
            assert entry["status"] != "no", number
            assert protocol in entry["where"], number


def _row(protocol: str) -> set[str]:
    """The names in code font in a protocol's row of the README's table."""
    readme = (ROOT / "README.md").read_text("utf-8")
    (row,) = re.findall(rf"^\| {protocol} .*$", readme, re.M)
    return set(re.findall(r"`([^`]+)`", row))


def _paragraph(plugin: str, start: str) -> set[str]:
    """The words in code font in a paragraph of a plugin's README."""
    page = (ROOT / f"plugins/rmail_{plugin}/README.md").read_text("utf-8")
    (text,) = [part for part in page.split("\n\n") if part.startswith(start)]
    return {word for span in re.findall(r"`([^`]+)`", text) for word in span.split()}


async def test_readmes_name_the_imap_capabilities(rmail_server: RunningServer) -> None:
    offered = await _imap(rmail_server)
    assert _row("IMAP") == offered
    assert _paragraph("imap", "CAPABILITY lists") == offered | {"LOGINDISABLED"}


async def test_readmes_name_the_ehlo_keywords(rmail_server: RunningServer) -> None:
    offered = await _smtp(rmail_server)
    assert _row("SMTP") == offered
    assert _paragraph("smtp", "EHLO offers") - {"PLAIN", "LOGIN"} == offered
