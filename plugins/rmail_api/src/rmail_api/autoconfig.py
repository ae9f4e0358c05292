"""Thunderbird's autoconfig: GET /.well-known/autoconfig/mail/config-v1.1.xml (draft-ietf-mailmaint-
autoconfig).
"""

from __future__ import annotations

from functools import partial
from xml.etree import ElementTree as ET

from aiohttp import web

from rmail_api.mail_servers import MailServer, local_address, mail_servers
from rmail_kernel.http import Access, Route
from rmail_kernel.kernel import Kernel

_SOCKETS = {"ssl": "SSL", "starttls": "STARTTLS", "plain": "plain"}


def routes(kernel: Kernel) -> list[Route]:
    """The configuration."""
    return [
        Route(
            "GET",
            "/.well-known/autoconfig/mail/config-v1.1.xml",
            partial(get_autoconfig, kernel),
            Access.PUBLIC,
            summary="Settings for Thunderbird and others.",
        )
    ]


async def get_autoconfig(kernel: Kernel, request: web.Request) -> web.Response:
    """The servers, for the domain of `?emailaddress=` or the first one.

    Raises:
        Invalid, NotFound, Temporary: see `mail_servers`.
    """
    servers = await mail_servers(kernel)
    asked = request.query.get("emailaddress")
    if asked:
        domain = (await local_address(kernel, asked)).domain
    else:
        domain = next(iter(kernel.settings.domains), kernel.settings.hostname)
    body = ET.tostring(_document(domain, servers), "utf-8", xml_declaration=True)
    return web.Response(body=body, content_type="application/xml", charset="utf-8")


def _document(domain: str, servers: list[MailServer]) -> ET.Element:
    root = ET.Element("clientConfig", version="1.1")
    provider = ET.SubElement(root, "emailProvider", id=domain)
    for name, text in (("domain", domain), ("displayName", domain), ("displayShortName", domain)):
        ET.SubElement(provider, name).text = text
    # The schema wants incoming servers before outgoing ones; the list has them in this order.
    for server in servers:
        tag = "incomingServer" if server.protocol == "imap" else "outgoingServer"
        element = ET.SubElement(provider, tag, type=server.protocol)
        for name, text in (
            ("hostname", server.host),
            ("port", str(server.port)),
            ("socketType", _SOCKETS[server.security]),
            ("username", "%EMAILADDRESS%"),
            ("authentication", "password-cleartext"),
        ):
            ET.SubElement(element, name).text = text
    return root
