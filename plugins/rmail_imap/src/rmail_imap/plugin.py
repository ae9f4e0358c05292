"""IMAP: hook implementations, nothing else."""

from __future__ import annotations

from rmail_imap import hookspecs
from rmail_imap.config import ImapSettings
from rmail_imap.service import ImapService
from rmail_kernel.hooks import hookimpl
from rmail_kernel.kernel import Kernel
from rmail_kernel.net.listeners import Listener


class ImapPlugin:
    """IMAP4rev1 and IMAP4rev2 (RFC 3501, RFC 9051) on two sockets: with STARTTLS, and with TLS from
    the first byte.
    """

    name = "imap"
    settings = ImapSettings
    hookspecs = hookspecs

    def __init__(self) -> None:
        self.service: ImapService | None = None

    @hookimpl
    def register_listeners(self, kernel: Kernel) -> list[Listener]:
        """`imap`, and `imaps` when TLS is on."""
        settings = kernel.section("imap", ImapSettings)
        service = self.service = self.service or ImapService(kernel)
        found = []
        if settings.port is not None:
            found.append(
                Listener(
                    "imap",
                    settings.host,
                    settings.port,
                    lambda: service.protocol("imap"),
                    is_lasting=True,
                )
            )
        if settings.imaps_port is not None and kernel.settings.tls.enabled:
            found.append(
                Listener(
                    "imaps",
                    settings.host,
                    settings.imaps_port,
                    lambda: service.protocol("imaps", is_tls=True),
                    implicit_tls=True,
                    has_own_tls=True,
                    is_lasting=True,
                )
            )
        return found

    @hookimpl
    async def on_start(self, kernel: Kernel) -> None:
        """Begins what runs beside the sessions."""
        self.service = self.service or ImapService(kernel)
        kernel.spawn(self.service.watch_drain(), "imap drain")
        kernel.spawn(self.service.watch_progress(), "imap progress")
        kernel.spawn(self.service.tell_metrics(), "imap metrics")
