"""The mail servers that a client can be told of: those whose listeners accept now, on the ports
they really have.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from rmail_kernel.errors import Invalid, NotFound, Temporary
from rmail_kernel.kernel import Kernel
from rmail_kernel.model import Address

# Listener name -> protocol and TLS from the first byte, in the order of preference (RFC 8314 3).
_KNOWN = {
    "imaps": ("imap", True),
    "imap": ("imap", False),
    "smtps": ("smtp", True),
    "submission": ("smtp", False),
}


@dataclass(frozen=True, slots=True)
class MailServer:
    """One way to read or to send mail.

    Attributes:
        protocol: "imap" or "smtp".
        security: "ssl" (from the first byte), "starttls" or "plain".
    """

    protocol: str
    host: str
    port: int
    security: str


async def mail_servers(kernel: Kernel) -> list[MailServer]:
    """The servers, the best first.

    Raises:
        NotFound: no mail protocol is loaded. Temporary: the server is starting.
    """
    ports = await kernel.run(_ports, kernel)
    later = "starttls" if kernel.tls is not None else "plain"
    found = [
        MailServer(protocol, kernel.settings.hostname, ports[name], "ssl" if implicit else later)
        for name, (protocol, implicit) in _KNOWN.items()
        if name in ports
    ]
    if not found:
        raise NotFound("No mail protocol is served here")
    return found


async def local_address(kernel: Kernel, text: str) -> Address:
    """The address that a client asks settings for; whether the account exists is not told.

    Raises:
        Invalid: not an address. NotFound: its domain is not local.
    """
    try:
        address = Address.parse(text)
    except Invalid as error:
        raise Invalid("Not a mail address") from error
    if not await kernel.directory.has_domain(address.domain):
        raise NotFound("This domain is not served here")
    return address


def _ports(kernel: Kernel) -> dict[str, int]:
    """What the server has published of its listeners."""
    try:
        raw = (kernel.settings.mail_root / "run" / "ports.json").read_bytes()
        return msgspec.json.decode(raw, type=dict[str, int])
    except (OSError, msgspec.DecodeError) as error:
        raise Temporary("The server is starting") from error
