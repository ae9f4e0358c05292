"""Autoconfig and autodiscover tell of what is served, and of nothing else."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from .conftest import Api

AUTOCONFIG = "/.well-known/autoconfig/mail/config-v1.1.xml"
AUTODISCOVER = "/autodiscover/autodiscover.xml"
REQUEST = (
    '<?xml version="1.0" encoding="utf-8"?><Autodiscover xmlns="http://schemas.microsoft.com/'
    'exchange/autodiscover/outlook/requestschema/2006"><Request><EMailAddress>%s</EMailAddress>'
    "</Request></Autodiscover>"
)
NS = "{http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a}"
with_mail = pytest.mark.parametrize("rmail_plugins", [["api", "imap", "smtp"]])


async def _ask(api: Api, address: str) -> tuple[int, bytes]:
    answer = await api.post(AUTODISCOVER, data=REQUEST % address, user=None)
    return answer.status, answer.body


@with_mail
async def test_autoconfig_names_the_real_ports_and_their_security(api: Api) -> None:
    answer = await api.get(AUTOCONFIG + "?emailaddress=alice@example.com", user=None)
    assert (answer.status, answer.headers["Content-Type"]) == (
        200,
        "application/xml; charset=utf-8",
    )
    provider = ET.fromstring(answer.body).find("emailProvider")
    assert provider is not None
    assert provider.findtext("domain") == "example.com"
    found = {
        (server.get("type"), server.findtext("socketType")): int(server.findtext("port") or 0)
        for server in (*provider.findall("incomingServer"), *provider.findall("outgoingServer"))
    }
    ports = api.server.ports
    assert found == {
        ("imap", "SSL"): ports["imaps"],
        ("imap", "STARTTLS"): ports["imap"],
        ("smtp", "SSL"): ports["smtps"],
        ("smtp", "STARTTLS"): ports["submission"],
    }


@with_mail
@pytest.mark.parametrize("rmail_settings", [{"tls": {"enabled": False}}])
async def test_without_tls_only_plain_servers_are_named(api: Api) -> None:
    body = (await api.get(AUTOCONFIG, user=None)).body
    assert body.count(b"<socketType>plain</socketType>") == 2
    assert b"SSL" not in body


@with_mail
async def test_autodiscover_names_the_best_server_of_each_protocol(api: Api) -> None:
    status, body = await _ask(api, "Alice@Example.com")
    assert status == 200
    found = {
        element.findtext(NS + "Type"): (
            int(element.findtext(NS + "Port") or 0),
            element.findtext(NS + "Encryption"),
            element.findtext(NS + "LoginName"),
        )
        for element in ET.fromstring(body).iter(NS + "Protocol")
    }
    ports = api.server.ports
    assert found == {
        "IMAP": (ports["imaps"], "SSL", "Alice@example.com"),
        "SMTP": (ports["smtps"], "SSL", "Alice@example.com"),
    }


@with_mail
async def test_foreign_domains_and_rubbish_are_refused(api: Api) -> None:
    for path in ("?emailaddress=a@example.net", "?emailaddress=x"):
        assert (await api.get(AUTOCONFIG + path, user=None)).status in (400, 404)
    assert (await _ask(api, "a@example.net"))[0] == 404
    assert (await _ask(api, "rubbish"))[0] == 400
    for raw in (b"", b"\xff\x00", b"<EMailAddress>" * 100, b"x" * 20_000):
        answer = await api.post(AUTODISCOVER, data=raw, user=None)
        assert answer.status in (400, 413)


@with_mail
async def test_an_address_with_markup_stays_text(api: Api) -> None:
    status, body = await _ask(api, "a&amp;b'x@example.com")
    assert status == 200
    assert ET.fromstring(body).findtext(f".//{NS}LoginName") == "a&b'x@example.com"


@with_mail
async def test_whether_an_account_exists_is_not_told(api: Api) -> None:
    known, unknown = await _ask(api, "alice@example.com"), await _ask(api, "nobod@example.com")
    assert known[0] == unknown[0] == 200
    assert known[1].replace(b"alice", b"") == unknown[1].replace(b"nobod", b"")


async def test_the_api_alone_has_no_mail_server_to_name(api: Api) -> None:
    assert (await api.get(AUTOCONFIG, user=None)).status == 404
    assert (await _ask(api, "alice@example.com"))[0] == 404
