"""DNS for all parts of the server: one resolver of a process, cached, single-flight, bounded.

It tells "not there" (NotFound, or an empty answer) from "not known now" (Temporary) and must never
take one for the other. RFC 1034 3.6.2 (CNAME), RFC 2308 (negative answers), RFC 5321 5.1, RFC 7505.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Any

import structlog

from rmail_kernel.clock import Clock
from rmail_kernel.errors import NotFound, RmailError, Temporary
from rmail_kernel.name_servers import parse_server

if TYPE_CHECKING:
    import dns.asyncresolver
    import dns.message
    import dns.resolver

MAX_RECORDS = 100
"""Records of one answer that are kept."""
MAX_CACHED = 10_000
MAX_TTL_S = 3600.0
MAX_NEGATIVE_TTL_S = 300.0  # RFC 2308 5 lets hours pass; a new domain should be seen sooner
MIN_TTL_S = 1.0  # enough for what is asked for one message
MAX_UNDER_WAY = 500
"""Questions to the name servers at a time; others wait."""
_PAYLOAD_BYTES = 1232  # what passes every path without fragments
_log = structlog.get_logger("rmail.dns")


@dataclass(frozen=True, slots=True)
class Answer:
    """What there is of one type under one name.

    Attributes:
        name: the owner after CNAMEs, lower case, without the final dot.
        records: dnspython's records, at most MAX_RECORDS; empty: the name has none of this type.
        is_authenticated: the name server vouches for it by DNSSEC (the AD bit, RFC 4035 3.2.3);
            worth something only when that server is ours.
    """

    name: str
    records: tuple[Any, ...]
    is_authenticated: bool = False


@dataclass(frozen=True, slots=True)
class MailExchange:
    """One MX record; `host` "" is the null MX of a domain that takes no mail (RFC 7505 3)."""

    preference: int
    host: str


@dataclass(slots=True)
class _Cached:
    """A question's result until `expires_at`, by the monotonic clock."""

    expires_at: float
    result: Answer | NotFound


class Resolver:
    """Asks the name servers, once for equal questions at a time.

    Args:
        servers: "address" or "address:port" ("[address]:port" for IPv6); None: the system's.
        timeout_s: for one question, with all retries and servers.
        clock: what the cache lives by.
    """

    def __init__(
        self,
        servers: Sequence[str] | None = None,
        *,
        timeout_s: float = 10.0,
        clock: Clock | None = None,
    ) -> None:
        self._servers = None if servers is None else [parse_server(text) for text in servers]
        self._timeout_s = timeout_s
        self._clock = clock or Clock()
        self._cache: OrderedDict[tuple[str, str], _Cached] = OrderedDict()
        self._under_way: dict[tuple[str, str], asyncio.Task[Answer | RmailError]] = {}
        self._room = asyncio.Semaphore(MAX_UNDER_WAY)
        self._stub: dns.asyncresolver.Resolver | None = None

    async def lookup(self, name: str, kind: str) -> Answer:
        """The records of one type ("A", "MX", "TXT", ...) under a name; CNAMEs are followed.

        Raises:
            NotFound: no such name (NXDOMAIN), or it is no domain name.
            Temporary: no usable answer now: SERVFAIL, nobody answered, a loop of CNAMEs.
        """
        key = (name.rstrip(".").lower(), kind)
        cached = self._cache.get(key)
        if cached is not None and cached.expires_at > self._clock.monotonic():
            self._cache.move_to_end(key)
            return _given(cached.result)
        task = self._under_way.get(key)
        if task is None:
            task = asyncio.create_task(self._ask(key), name=f"dns {kind}")
            self._under_way[key] = task
            task.add_done_callback(lambda _: self._under_way.pop(key, None))
        return _given(await asyncio.shield(task))  # one who leaves does not end it for others

    async def mx(self, domain: str) -> tuple[MailExchange, ...]:
        """The MX records of a domain, unsorted; none: the name exists without.

        Raises:
            NotFound, Temporary: as `lookup`.
        """
        answer = await self.lookup(domain, "MX")
        return tuple(
            MailExchange(record.preference, _text_of(record.exchange)) for record in answer.records
        )

    async def addresses(self, host: str) -> tuple[str, ...]:
        """The IPv6 and IPv4 addresses of a host in turns; none: it has none.

        Raises:
            NotFound: no such name.
            Temporary: none is known, and one of the two questions found no answer.
        """
        kinds = ("AAAA", "A")
        results = await asyncio.gather(
            *(self.lookup(host, kind) for kind in kinds), return_exceptions=True
        )
        found = [_addresses(result) for result in results]
        paired = chain.from_iterable(zip_longest(*found))
        addresses = tuple(address for address in paired if address is not None)
        if not addresses:
            for result in sorted(filter(_is_error, results), key=_is_not_found):
                raise result  # type: ignore[misc]  # filter has left errors only
        return addresses

    async def txt(self, name: str) -> tuple[bytes, ...]:
        """The TXT records under a name, the strings of each put together (RFC 7208 3.3).

        Raises:
            NotFound, Temporary: as `lookup`.
        """
        answer = await self.lookup(name, "TXT")
        return tuple(b"".join(record.strings) for record in answer.records)

    async def _ask(self, key: tuple[str, str]) -> Answer | RmailError:
        """The result, or the error as a value: nobody may be left to take an exception."""
        async with self._room:
            result, ttl_s = await self._query(*key)
        if not isinstance(result, Answer | NotFound):
            _log.warning("no answer from the name servers", name=key[0], kind=key[1])
            return result
        self._cache[key] = _Cached(self._clock.monotonic() + ttl_s, result)
        while len(self._cache) > MAX_CACHED:
            self._cache.popitem(last=False)
        return result

    async def _query(self, name: str, kind: str) -> tuple[Answer | RmailError, float]:
        import dns.exception
        import dns.name
        import dns.resolver

        try:
            question = dns.name.from_text(name or ".")
        except (dns.exception.DNSException, UnicodeError):
            return NotFound("Not a domain name", name=name), MAX_NEGATIVE_TTL_S
        try:
            found = await self._resolver().resolve(
                question, kind, raise_on_no_answer=False, lifetime=self._timeout_s
            )
        except dns.resolver.NXDOMAIN as error:
            return NotFound("No such domain name", name=name), _negative_ttl_s(
                error.kwargs["responses"].values()
            )
        except (dns.exception.DNSException, OSError, EOFError) as error:
            return Temporary("No answer from the name servers", name=name, reason=str(error)), 0.0
        return _answer(found)

    def _resolver(self) -> dns.asyncresolver.Resolver:
        """Made at the first question: dnspython is slow to import."""
        if self._stub is not None:
            return self._stub
        import dns.asyncresolver
        import dns.nameserver
        import dns.resolver

        try:
            stub = dns.asyncresolver.Resolver(configure=self._servers is None)
        except dns.resolver.NoResolverConfiguration as error:
            raise Temporary("The system names no name server", reason=str(error)) from error
        if self._servers is not None:
            stub.nameservers = [
                dns.nameserver.Do53Nameserver(host, port) for host, port in self._servers
            ]
        stub.timeout = min(2.0, self._timeout_s / 2)  # one server; the next is tried after it
        stub.use_edns(0, 0, _PAYLOAD_BYTES)
        stub.cache = None
        self._stub = stub
        return stub


def _given(result: Answer | RmailError) -> Answer:
    if isinstance(result, Answer):
        return result
    raise type(result)(result.safe, **result.fields)  # one object must not be raised twice


def _text_of(name: Any) -> str:
    text: str = name.to_text(omit_final_dot=True).lower()
    return "" if text == "." else text


def _addresses(result: Answer | BaseException) -> list[str]:
    return [record.address for record in result.records] if isinstance(result, Answer) else []


def _is_error(result: object) -> bool:
    return isinstance(result, BaseException)


def _is_not_found(result: object) -> bool:
    return isinstance(result, NotFound)


def _answer(found: dns.resolver.Answer) -> tuple[Answer, float]:
    import dns.flags

    records: Iterable[Any] = found.rrset or ()
    kept = tuple(record for record, _ in zip(records, range(MAX_RECORDS), strict=False))
    is_authenticated = bool(found.response.flags & dns.flags.AD)
    answer = Answer(_text_of(found.canonical_name), kept, is_authenticated)
    if kept:
        ttl_s = float(found.chaining_result.minimum_ttl)
        return answer, max(MIN_TTL_S, min(ttl_s, MAX_TTL_S))
    return answer, _negative_ttl_s([found.response])


def _negative_ttl_s(responses: Iterable[dns.message.Message]) -> float:
    """How long something is known to be absent: by the SOA beside the answer; without one it is not
    kept (RFC 2308 3, 5).
    """
    lives_s: list[float] = [
        response.resolve_chaining().minimum_ttl  # type: ignore[attr-defined]  # all are answers
        for response in responses
        if response.authority
    ]
    return max(MIN_TTL_S, min([*lives_s, MAX_NEGATIVE_TTL_S])) if lives_s else MIN_TTL_S
