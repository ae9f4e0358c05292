"""Long commands wait for their turn, short ones for nobody."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import AsyncExitStack
from threading import get_ident
from typing import TYPE_CHECKING

import pytest
from rmail_imap.catalog import Catalog
from rmail_imap.config import ImapSettings
from rmail_imap.long_work import beside
from rmail_imap.ordering import AT_ONCE
from rmail_imap.plugin import ImapPlugin
from rmail_imap.service import LONG_COMMANDS
from rmail_imap.session import Session
from rmail_imap.value_cache import ValueCache
from rmail_imap.wire import Wire

from rmail_kernel.lanes import Lanes
from rmail_kernel.model import SessionInfo
from rmail_kernel.testing import RunningServer

if TYPE_CHECKING:
    from plugins.rmail_imap.tests.conftest import Connect, Fill


@pytest.fixture
def lanes(rmail_server: RunningServer) -> Lanes:
    """Where long commands of the server wait."""
    plugin = rmail_server.kernel.plugins["imap"]
    assert isinstance(plugin, ImapPlugin)
    assert plugin.service is not None
    return plugin.service.lanes


async def test_what_may_take_long_waits_and_what_is_short_does_not(
    connect: Connect, fill: Fill, lanes: Lanes
) -> None:
    await fill(3)
    crowd = [await connect("INBOX") for _ in range(5)]
    other = await connect("INBOX")
    async with AsyncExitStack() as stack:
        for place in range(LONG_COMMANDS):
            await stack.enter_async_context(lanes.place(place))
        for client in crowd:
            await client.send(b"a SEARCH TEXT hello\r\n")
        while lanes.waiting < len(crowd):
            await asyncio.sleep(0)
        await other.run("""
            C: b NOOP
            S: b OK *
            C: c SEARCH UNSEEN SINCE 1-Jan-2020 LARGER 1 2:*
            S: * SEARCH 2 3
            S: c OK *
            C: d SORT (REVERSE DATE) UTF-8 ALL
            S: * SORT *
            S: d OK *
            C: e THREAD REFERENCES UTF-8 ALL
            S: * THREAD *
            S: e OK *
            C: f FETCH 1:* FLAGS
            S: * 1 FETCH *
            S: * 2 FETCH *
            S: * 3 FETCH *
            S: f OK *
        """)
        assert lanes.waiting == len(crowd)
    for client in crowd:
        await client.run("S: * SEARCH 1 2 3\nS: a OK *")


async def test_sorting_very_many_messages_waits_also_where_looking_at_them_does_not(
    connect: Connect, fill: Fill, lanes: Lanes
) -> None:
    await fill(AT_ONCE + 1)
    waiting, other = await connect("INBOX"), await connect("INBOX")
    async with AsyncExitStack() as stack:
        for place in range(LONG_COMMANDS):
            await stack.enter_async_context(lanes.place(place))
        await waiting.send(b"a UID SORT (REVERSE ARRIVAL SIZE) UTF-8 2:3\r\n")
        await waiting.send(b"b THREAD REFS UTF-8 UID 4\r\n")
        while not lanes.waiting:
            await asyncio.sleep(0)
        await other.run(f"""
            C: c UID SEARCH RETURN (COUNT MAX SAVE) UNSEEN UNDELETED
            S: * ESEARCH (TAG "c") UID MAX {AT_ONCE + 1} COUNT {AT_ONCE + 1}
            S: c OK *
            C: d UID SEARCH RETURN (ALL) $ NOT UID 5
            S: * ESEARCH (TAG "d") UID ALL 1:4,6:{AT_ONCE + 1}
            S: d OK *
        """)
        assert lanes.waiting == 1
    await waiting.run("""
        S: * SORT *
        S: a OK *
        S: * THREAD (4)
        S: b OK *
    """)


async def test_much_is_computed_beside_the_event_loop(rmail_server: RunningServer) -> None:
    session = Session(
        rmail_server.kernel,
        ImapSettings(),
        Wire(lambda _: None),
        SessionInfo(id="x", protocol="imap"),
        Catalog().offer,
        ValueCache(),
        Lanes(1),
    )
    assert await beside(session, AT_ONCE, get_ident) == get_ident()
    assert await beside(session, AT_ONCE + 1, get_ident) != get_ident()


async def test_one_who_waits_and_goes_away_is_forgotten(
    connect: Connect, fill: Fill, lanes: Lanes, rmail_server: RunningServer
) -> None:
    await fill(1)
    other = await connect("INBOX")
    async with asyncio.timeout(10), AsyncExitStack() as stack:
        for place in range(LONG_COMMANDS):
            await stack.enter_async_context(lanes.place(place))
        port = rmail_server.ports["imap"]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"a LOGIN alice secret\r\nb SELECT INBOX\r\nc SEARCH TEXT hello\r\n")
        await reader.readuntil(b"b OK ")
        while not lanes.waiting:
            await asyncio.sleep(0)
        client = writer.get_extra_info("socket")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()  # with a reset: whoever just ends its side may still listen
        while lanes.waiting:
            await asyncio.sleep(0)
    await other.run("""
        C: a SEARCH TEXT hello
        S: * SEARCH 1
        S: a OK *
    """)
