"""Outlook's autodiscover: POST /autodiscover/autodiscover.xml (MS-OXDSCLI, POX). The request is
searched for the address only; it is never parsed as XML.
"""

from __future__ import annotations

import html
import re
from functools import partial
from xml.etree import ElementTree as ET

from aiohttp import web

from rmail_api.mail_servers import MailServer, local_address, mail_servers
from rmail_kernel.errors import Invalid
from rmail_kernel.http import Access, Route
from rmail_kernel.kernel import Kernel

MAX_REQUEST_BYTES = 16384
_ADDRESS = re.compile(rb"<(?:\w+:)?EMailAddress>\s*([^<]{3,320}?)\s*</")
_OUTER = "http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006"
_INNER = "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a"


def routes(kernel: Kernel) -> list[Route]:
    """The configuration."""
    return [
        Route(
            "POST",
            "/autodiscover/autodiscover.xml",
            partial(post_autodiscover, kernel),
            Access.PUBLIC,
            max_body_bytes=MAX_REQUEST_BYTES,
            summary="Settings for Outlook.",
        )
    ]


async def post_autodiscover(kernel: Kernel, request: web.Request) -> web.Response:
    """The best IMAP and SMTP server for the address in the request.

    Raises:
        Invalid, NotFound, Temporary: see `mail_servers`.
    """
    found = _ADDRESS.search(await request.read())
    if found is None:
        raise Invalid("The request holds no EMailAddress")
    text = html.unescape(found[1].decode("utf-8", "replace"))
    address = await local_address(kernel, text)
    servers = await mail_servers(kernel)
    body = ET.tostring(_document(str(address), servers), "utf-8", xml_declaration=True)
    return web.Response(body=body, content_type="application/xml", charset="utf-8")


def _document(login: str, servers: list[MailServer]) -> ET.Element:
    root = ET.Element("Autodiscover", xmlns=_OUTER)
    response = ET.SubElement(root, "Response", xmlns=_INNER)
    ET.SubElement(ET.SubElement(response, "User"), "DisplayName").text = login
    account = ET.SubElement(response, "Account")
    ET.SubElement(account, "AccountType").text = "email"
    ET.SubElement(account, "Action").text = "settings"
    for protocol in ("imap", "smtp"):
        # One protocol element of each type counts: the best, which comes first.
        server = next((one for one in servers if one.protocol == protocol), None)
        if server is not None:
            _protocol(account, login, server)
    return root


def _protocol(account: ET.Element, login: str, server: MailServer) -> None:
    element = ET.SubElement(account, "Protocol")
    fields = {
        "Type": server.protocol.upper(),
        "Server": server.host,
        "Port": str(server.port),
        "LoginName": login,
        "DomainRequired": "off",
        "SPA": "off",
        "SSL": "off" if server.security == "plain" else "on",
        "Encryption": {"ssl": "SSL", "starttls": "TLS", "plain": "None"}[server.security],
        "AuthRequired": "on",
    }
    for name, text in fields.items():
        ET.SubElement(element, name).text = text
