"""A connection that is ready for mail: dialling, greeting, EHLO, TLS, login.

RFC 5321 3.1, RFC 3207; it must never log in over a connection that others can read, unless the
settings say so for this peer.
"""

from __future__ import annotations

import asyncio

from rmail_relay.client.login import log_in
from rmail_relay.client.peer import Peer, Tls
from rmail_relay.client.session import Local, Session
from rmail_relay.client.verdict import UNREACHED, PeerFailure, Silent, TakesNoMail, TlsFailed
from rmail_relay.client.wire import Wire


async def connect(peer: Peer, address: str, local: Local) -> Session:
    """A session that is ready for mail.

    Raises:
        PeerFailure: there is none; nothing is left open.
    """
    try:
        return await _open(peer, address, local)
    except TlsFailed:
        if peer.tls is not Tls.OPPORTUNISTIC:
            raise
    # RFC 7435 3: what cannot be private is sent in the clear, as it would be without STARTTLS
    return await _open(peer, address, local, is_clear=True)


async def _open(peer: Peer, address: str, local: Local, *, is_clear: bool = False) -> Session:
    session = Session(await _dial(address, peer.port, local), peer, address, local)
    try:
        if peer.tls is Tls.IMPLICIT:
            await session.shake_hands()
        greeting = await session.reply(local.timeouts.greeting_s)
        if greeting.code == 521 and peer.is_exchange:
            raise TakesNoMail(f"The host takes no mail: {greeting.text}")
        if greeting.code != 220:  # RFC 5321 3.1: 554 and QUIT
            raise PeerFailure.of(greeting)
        await session.say_hello()
        if peer.tls in (Tls.OPPORTUNISTIC, Tls.STARTTLS) and not is_clear:
            await session.start_tls()
        if peer.username is not None:
            if not session.tls and peer.tls is not Tls.NONE:
                raise TlsFailed("No login without TLS", status="4.7.11")
            await log_in(session, peer.username, peer.password)
    except PeerFailure:
        session.end()
        raise
    except BaseException:
        session.wire.abort()
        raise
    return session


async def _dial(address: str, port: int, local: Local) -> Wire:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(local.timeouts.connect_s):
            _, wire = await loop.create_connection(Wire, address, port)
    except TimeoutError as error:
        raise Silent("No connection in time", status=UNREACHED) from error
    except OSError as error:
        reason = error.strerror or "unreachable"
        raise PeerFailure(f"No connection: {reason}", status=UNREACHED) from error
    return wire
