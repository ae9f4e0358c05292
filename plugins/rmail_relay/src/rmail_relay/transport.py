"""One attempt: the route of a domain, its hosts in turn, an outcome for each recipient.

It must end in bounded time and never raise but when cancelled. Another host is tried only for
recipients whose message cannot have been taken by the one before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import structlog

from rmail_kernel.errors import RmailError, Temporary
from rmail_kernel.kernel import Kernel
from rmail_kernel.model import Address
from rmail_kernel.net.resolver import Resolver
from rmail_relay.client import seven_bit
from rmail_relay.client.connect import connect
from rmail_relay.client.farewells import Farewells
from rmail_relay.client.parcel import (
    Parcel,
    encoded,
    must_be_encoded,
    must_be_private,
    parcel_of,
    refusal,
)
from rmail_relay.client.peer import Peer, Tls
from rmail_relay.client.session import Local, Session
from rmail_relay.client.transaction import batch_of, transact
from rmail_relay.client.verdict import UNREACHED, LoopsBack, PeerFailure, Silent, Verdict
from rmail_relay.config import RelaySettings
from rmail_relay.metrics import ATTEMPT_SECONDS, CONNECTIONS, COUNTERS
from rmail_relay.outcome import Attempt, Kind, RecipientOutcome, Route
from rmail_relay.pool import Pool
from rmail_relay.progress import Progress
from rmail_relay.routing.failures import RecentFailures
from rmail_relay.routing.router import Hop, Router, Unroutable

_log = structlog.get_logger("rmail.relay")
_BIG_BYTES = 1 << 20  # from here on, a message is looked through in a thread


class SmtpTransport:
    """Sends mail by SMTP.

    Args:
        kernel: settings, resolver, clock, threads.
    """

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._failures = RecentFailures(kernel.clock)
        self._farewells = Farewells()
        self._take_settings()

    def reload(self) -> None:
        """Takes new settings for new attempts; those under way end with the old ones."""
        self._pool.dismiss()
        self._take_settings()

    def _take_settings(self) -> None:
        kernel = self._kernel
        settings = kernel.section("relay", RelaySettings)
        self._settings = settings
        self._local = Local(kernel.settings.hostname, settings.timeouts, self._farewells)
        servers = settings.dns_servers
        resolver = kernel.resolver
        if servers is not None:
            resolver = Resolver(
                servers, timeout_s=kernel.settings.dns.timeout_s, clock=kernel.clock
            )
        is_system = servers is None and kernel.settings.dns.servers is None
        self._router = Router(settings, kernel.settings.hostname, resolver, is_system_dns=is_system)
        self._pool = Pool(
            settings.idle_s,
            settings.max_messages_per_connection,
            settings.max_connections_per_host,
        )

    async def close(self) -> None:
        """See `Transport.close`."""
        self._pool.dismiss()
        await self._farewells.finish()

    def destination(self, domain: str) -> str:
        """See `Transport.destination`."""
        return self._router.destination(domain)

    async def route(self, domain: str) -> Route:
        """See `Transport.route`."""
        kind = self._router.kind(domain)
        try:
            hops = await self._router.hops(domain)
        except Unroutable as error:
            return Route(kind, refusal=error.verdict.text)
        return Route(kind, tuple(str(hop.peer) for hop in hops))

    async def deliver(self, attempt: Attempt) -> list[RecipientOutcome]:
        """See `Transport.deliver`."""
        with ATTEMPT_SECONDS.time():
            state = await self._tried(attempt)
        self._close_open(state)
        outcomes = state.outcomes(self._kernel.clock.now(), attempt.envelope.recipients)
        for outcome in outcomes:
            COUNTERS[outcome.kind].inc()
            _tell(attempt, outcome)
        return outcomes

    async def _tried(self, attempt: Attempt) -> Progress:
        state = Progress(attempt, Parcel(attempt.envelope, attempt.content))
        try:
            async with asyncio.timeout(self._settings.timeouts.attempt_s):
                await self._try(state)
        except TimeoutError:
            state.failure = PeerFailure("The attempt took too long", status="4.4.7")
        except Unroutable as error:
            state.settle(error.verdict)
        except RmailError as error:
            _log.warning("attempt failed", message=attempt.id, reason=error.safe, **error.fields)
            state.give_up("The message could not be read")
        except Exception:  # noqa: BLE001 - whatever it is, the message waits and others go on
            _log.exception("attempt failed", message=attempt.id)
            state.give_up("An error of this server")
        return state

    def _close_open(self, state: Progress) -> None:
        failure = state.failure or PeerFailure("No host could be reached", status=UNREACHED)
        state.settle(failure.verdict)

    async def _try(self, state: Progress) -> None:
        content, envelope = state.attempt.content, state.attempt.envelope
        look = partial(parcel_of, envelope, content)
        state.parcel = await self._kernel.run(look) if content.size > _BIG_BYTES else look()
        hops = await self._router.hops(state.attempt.domain)
        worst: int | None = None  # RFC 5321 5.1: of no use are we, and those behind us
        left = self._settings.max_addresses
        for hop in hops:
            if worst is not None and hop.preference >= worst:
                break
            try:
                left -= await self._try_hop(state, _terms(hop, state.parcel), left)
            except LoopsBack:
                worst = hop.preference
            if not state.pending or left <= 0:
                return
        if state.failure is not None:
            return
        if worst is not None:
            state.settle(Verdict(Kind.FAILED, 554, "5.4.6", "Mail loops back to this server"))
        elif not state.has_address:  # RFC 5321 5.1: none of them is usable
            text = f"No mail exchanger of {state.attempt.domain} has an address"
            state.settle(Verdict(Kind.FAILED, 550, "5.1.2", text))

    async def _try_hop(self, state: Progress, peer: Peer, left: int) -> int:
        """Tries one server at all its addresses; how many were tried.

        Raises:
            LoopsBack: it is this server.
        """
        async with self._pool.turn(peer):
            while state.pending and (session := self._pool.take(peer)) is not None:
                CONNECTIONS.labels("reused").inc()
                await self._hand_over(state, session)
            if not state.pending:
                return 0
            try:
                found = await self._addresses(state, peer)
            except Temporary as error:
                state.fail(peer.host, PeerFailure(error.safe, status="4.4.3"))
                return 1  # it may have taken as long as an address that does not answer
            tried = 0
            for address in found[:left]:
                tried += 1
                is_useful = True
                while state.pending and is_useful:  # a peer may want few messages a connection
                    is_useful = await self._try_address(state, peer, address)
                if not state.pending:
                    break
            return tried

    async def _try_address(self, state: Progress, peer: Peer, address: str) -> bool:
        """Tries one address by a new connection; whether it decided the fate of somebody.

        Raises:
            LoopsBack: it is this server.
        """
        within_s = self._settings.host_failure_s
        with self._failures.probe(address, peer.port, within_s) as is_tried:
            if not is_tried:
                text = "The host did not answer lately; another message waits for it now"
                state.fail(peer.host, PeerFailure(text, status=UNREACHED))
                return False
            session = await self._connected(state, peer, address)
        return session is not None and await self._hand_over(state, session)

    async def _connected(self, state: Progress, peer: Peer, address: str) -> Session | None:
        try:
            session = await connect(peer, address, self._local)
        except LoopsBack:
            raise
        except PeerFailure as failure:
            CONNECTIONS.labels("failed").inc()
            self._note(state, peer, address, failure)
            return None
        CONNECTIONS.labels("tls" if session.tls else "clear").inc()
        self._failures.forget(address, peer.port)
        return session

    async def _addresses(self, state: Progress, peer: Peer) -> list[str]:
        found = await self._router.addresses(peer)
        state.has_address |= bool(found)
        if not found and not peer.is_exchange:  # a name in the settings, which can be mended
            state.fail(peer.host, PeerFailure("The name has no address", status="4.4.4"))
        return self._failures.last(found, peer.port, self._settings.host_failure_s)

    def _note(self, state: Progress, peer: Peer, address: str, failure: PeerFailure) -> None:
        self._failures.note(address, peer.port, is_silent=isinstance(failure, Silent))
        state.fail(peer.host, failure)
        _log.info(
            "host failed",
            session=state.attempt.envelope.session.id,
            message=state.attempt.id,
            remote=peer.host,
            address=address,
            code=failure.code,
            status=failure.status,
            text=failure.safe,
        )

    async def _hand_over(self, state: Progress, session: Session) -> bool:
        """Sends the message over a session; whether that went well as far as it went."""
        state.was_reached = True
        try:
            await self._send(state, session)
        except PeerFailure as failure:
            session.wire.abort()
            if not failure.is_stale:
                self._note(state, session.peer, session.address, failure)
            return False
        except BaseException:
            session.wire.abort()
            raise
        self._pool.give(session)
        return True

    async def _send(self, state: Progress, session: Session) -> None:
        """Decides the fate of at least one recipient.

        Raises:
            PeerFailure: or of none; the session is over.
        """
        if not session.is_usable:
            raise PeerFailure("The peer ended the session at once")
        verdict = refusal(state.parcel, session.extensions, is_private=session.is_verified)
        if verdict is not None:
            state.settle(verdict, session)
            return
        if must_be_encoded(state.parcel, session.extensions):
            state.parcel = await encoded(state.parcel, partial(seven_bit.encode, self._kernel))
        while (pending := state.pending) and session.is_usable:
            batch = batch_of(session, pending)
            verdicts: dict[Address, Verdict] = {}
            try:
                await transact(session, state.parcel, batch, verdicts)
            finally:
                state.verdicts |= verdicts
                state.told_by |= dict.fromkeys(verdicts, session)
            await self._keep(state, verdicts)
            if not verdicts:  # the peer takes none of them and refuses none
                raise PeerFailure("The peer takes no more recipients", code=452, status="4.5.3")

    async def _keep(self, state: Progress, verdicts: Mapping[Address, Verdict]) -> None:
        """Has it written down who was served, before others are."""
        attempt = state.attempt
        is_served = any(verdict.kind is Kind.DELIVERED for verdict in verdicts.values())
        if attempt.keep is not None and is_served and state.pending:
            known = [each for each in attempt.envelope.recipients if each in state.verdicts]
            await attempt.keep(state.outcomes(self._kernel.clock.now(), known))


def _terms(hop: Hop, parcel: Parcel) -> Peer:
    """REQUIRETLS makes TLS with a verified certificate required (RFC 8689 4.2.1)."""
    if not must_be_private(parcel.envelope):
        return hop.peer
    if not hop.peer.tls.is_required:
        return replace(hop.peer, tls=Tls.STARTTLS, is_verified=True)
    return replace(hop.peer, is_verified=True)


def _tell(attempt: Attempt, outcome: RecipientOutcome) -> None:
    _log.info(
        "relayed" if outcome.kind is Kind.DELIVERED else "not relayed",
        session=attempt.envelope.session.id,
        message=attempt.id,
        recipient=str(outcome.recipient),
        outcome=outcome.kind.value,
        remote=outcome.remote,
        code=outcome.code,
        status=outcome.status,
        text=outcome.text,
        tls=outcome.tls,
    )
