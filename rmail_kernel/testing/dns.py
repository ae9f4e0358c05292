"""A DNS server on loopback that answers from a table, or misbehaves as told: the internet's DNS for
tests.
"""

from __future__ import annotations

import asyncio
import struct
from types import TracebackType
from typing import cast

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

_SOA = ". . 1 7200 900 1209600 {ttl}"
_TRIES = 20  # to find a port that is free for UDP and TCP


class FakeDns:
    """Answers A, AAAA, MX, TXT and other queries from `records`, by UDP and TCP; unknown names get
    NXDOMAIN.

    Attributes:
        records: (lower-case name without final dot, type) -> record texts, for example
            `("example.net", "MX"): ["10 mx.example.net."]`. A "CNAME" is followed.
        failing: names that are answered with SERVFAIL.
        silent: names that get no answer.
        lying: names that are answered with records of another name.
        truncated: names whose answer comes by TCP only.
        ttl: of every record, and of negative answers.
        queries: what was asked, in order.
    """

    def __init__(self) -> None:
        self.records: dict[tuple[str, str], list[str]] = {}
        self.failing: set[str] = set()
        self.silent: set[str] = set()
        self.lying: set[str] = set()
        self.truncated: set[str] = set()
        self.ttl = 60
        self.queries: list[tuple[str, str]] = []
        self._transport: asyncio.DatagramTransport | None = None
        self._tcp: asyncio.Server | None = None

    async def __aenter__(self) -> FakeDns:
        loop = asyncio.get_running_loop()
        for _ in range(_TRIES):
            self._tcp = await asyncio.start_server(self._serve_tcp, "127.0.0.1", 0)
            port = self._tcp.sockets[0].getsockname()[1]
            try:
                self._transport, _protocol = await loop.create_datagram_endpoint(
                    lambda: _Protocol(self), local_addr=("127.0.0.1", port)
                )
            except OSError:
                self._tcp.close()
                continue
            return self
        raise OSError("no port is free for UDP and TCP")

    async def __aexit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        if self._transport is not None:
            self._transport.close()
        if self._tcp is not None:
            self._tcp.close()

    @property
    def server(self) -> str:
        """ "host:port", as `relay.dns_servers` takes it."""
        assert self._transport is not None, "not started"
        host, port = self._transport.get_extra_info("sockname")[:2]
        return f"{host}:{port}"

    def mx(self, domain: str, *hosts: str, address: str = "127.0.0.1") -> None:
        """Gives a domain mail exchangers, the first preferred, all at one address."""
        self.records[domain, "MX"] = [
            f"{place}0 {host}." for place, host in enumerate(hosts, start=1)
        ]
        for host in hosts:
            self.records[host, "A"] = [address]

    def answer(self, raw_query: bytes, *, is_tcp: bool = False) -> bytes | None:
        """The answer to one query in wire form; None: there is none."""
        query = dns.message.from_wire(raw_query)
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        kind = dns.rdatatype.to_text(question.rdtype)
        self.queries.append((name, kind))
        if name in self.silent:
            return None
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        if name in self.failing:
            response.set_rcode(dns.rcode.SERVFAIL)
        elif name in self.truncated and not is_tcp:
            response.flags |= dns.flags.TC
        else:
            self._fill(response, name, kind)
        return response.to_wire(max_size=65535)

    def _fill(self, response: dns.message.Message, name: str, kind: str) -> None:
        seen: set[str] = set()
        while name not in seen and (target := self.records.get((name, "CNAME"))):
            seen.add(name)
            response.answer.append(self._records(name, "CNAME", target))
            name = target[0].removesuffix(".").lower()
        if texts := self.records.get((name, kind)):
            owner = "lie.test" if name in self.lying else name
            response.answer.append(self._records(owner, kind, texts))
            return
        response.authority.append(self._records("", "SOA", [_SOA.format(ttl=self.ttl)]))
        if not any(known == name for known, _ in self.records):
            response.set_rcode(dns.rcode.NXDOMAIN)

    def _records(self, owner: str, kind: str, texts: list[str]) -> dns.rrset.RRset:
        return dns.rrset.from_text(f"{owner}.", self.ttl, "IN", kind, *texts)

    async def _serve_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Queries and answers behind their lengths (RFC 1035 4.2.2)."""
        try:
            while True:
                (length,) = struct.unpack("!H", await reader.readexactly(2))
                raw = self.answer(await reader.readexactly(length), is_tcp=True)
                if raw is not None:
                    writer.write(struct.pack("!H", len(raw)) + raw)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


class _Protocol(asyncio.DatagramProtocol):
    def __init__(self, server: FakeDns) -> None:
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's datagram transports are no subclass of asyncio's.
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:
        raw = self._server.answer(data)
        if raw is not None:
            self._transport.sendto(raw, addr)
