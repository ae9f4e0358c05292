"""A DNS server on loopback that answers from a table: the internet's DNS for tests."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import cast

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset


class FakeDns:
    """Answers A, AAAA, MX, TXT and other queries from `records`; unknown names get NXDOMAIN.

    Attributes:
        records: (lower-case name without final dot, type) -> record texts, for example
            `("example.net", "MX"): ["10 mx.example.net."]`.
        failing: names that are answered with SERVFAIL.
        queries: what was asked, in order.
    """

    def __init__(self) -> None:
        self.records: dict[tuple[str, str], list[str]] = {}
        self.failing: set[str] = set()
        self.queries: list[tuple[str, str]] = []
        self._transport: asyncio.DatagramTransport | None = None

    async def __aenter__(self) -> FakeDns:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(
            lambda: _Protocol(self), local_addr=("127.0.0.1", 0)
        )
        return self

    async def __aexit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        if self._transport is not None:
            self._transport.close()

    @property
    def server(self) -> str:
        """ "host:port", as `relay.dns_servers` takes it."""
        assert self._transport is not None, "not started"
        host, port = self._transport.get_extra_info("sockname")[:2]
        return f"{host}:{port}"

    def answer(self, raw_query: bytes) -> bytes:
        """The answer to one query in wire form."""
        query = dns.message.from_wire(raw_query)
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        kind = dns.rdatatype.to_text(question.rdtype)
        self.queries.append((name, kind))
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        texts = self.records.get((name, kind))
        if name in self.failing:
            response.set_rcode(dns.rcode.SERVFAIL)
        elif texts is not None:
            response.answer.append(dns.rrset.from_text(question.name, 60, "IN", kind, *texts))
        elif not any(known == name for known, _ in self.records):
            response.set_rcode(dns.rcode.NXDOMAIN)
        return response.to_wire()


class _Protocol(asyncio.DatagramProtocol):
    def __init__(self, server: FakeDns) -> None:
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's datagram transports are no subclass of asyncio's.
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:
        self._transport.sendto(self._server.answer(data), addr)
