"""Refuses, or marks, clients that DNS block lists name. RFC 5782 2.1 (IPv4), 2.4 (IPv6).

Lists fail open: one that does not answer stops nobody.
"""

from __future__ import annotations

from pydantic import Field

from rmail_kernel import Annotate, Kernel, Reject, Section, SessionInfo, hookimpl
from rmail_kernel.errors import RmailError
from rmail_kernel.net.networks import ip_of


class BlockListSettings(Section):
    """DNS block lists."""

    reject: list[str] = Field(default_factory=list)
    """Zones whose entries are refused."""
    mark: list[str] = Field(default_factory=list)
    """Zones whose entries only get a header field X-Listed."""


class DnsBlockList:
    """Looks clients of port 25 up when they connect."""

    name = "dns_block_list"
    settings = BlockListSettings

    _kernel: Kernel

    @hookimpl
    def on_start(self, kernel: Kernel) -> None:
        self._kernel = kernel

    @hookimpl
    async def on_connect(self, session: SessionInfo) -> Reject | Annotate | None:
        """Users may come from anywhere: only other servers are looked up."""
        if session.protocol != "smtp":
            return None
        lists = self._kernel.section(self.name, BlockListSettings)
        for zone in lists.reject:
            if await self._is_listed(session.peer_host, zone):
                return Reject(f"{session.peer_host} is listed by {zone}", 554, "5.7.1")
        for zone in lists.mark:
            if await self._is_listed(session.peer_host, zone):
                return Annotate("X-Listed", f"{session.peer_host} by {zone}")
        return None

    async def _is_listed(self, host: str, zone: str) -> bool:
        address = ip_of(host)
        if address is None:
            return False
        # The name of reverse lookups without its own zone: digits in reverse, dots between.
        reverse = address.reverse_pointer.rpartition(".")[0].rpartition(".")[0]
        try:
            answer = await self._kernel.resolver.lookup(f"{reverse}.{zone}", "A")
        except RmailError:  # not listed, or nobody can say
            return False
        # RFC 5782 2.1: entries are in 127.0.0.0/8; a parked domain answers with something else.
        return any(str(record).startswith("127.") for record in answer.records)
