"""The hub and the event bus of a worker, over a real Unix socket."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest_asyncio

from rmail_kernel.process import listening
from rmail_kernel.process.hub import SOCKET_FILE, Hub
from rmail_kernel.process.hub_events import HubEvents
from rmail_kernel.process.listening import Listening
from rmail_kernel.storage.events import Change
from rmail_kernel.storage.ids import AccountId

ALICE = AccountId("alice@example.com")


@pytest_asyncio.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Hub]:
    hub = Hub()
    await hub.start(tmp_path)
    yield hub
    hub.close()


class Peer:
    """One worker's bus with what it heard about alice."""

    def __init__(self, mail_root: Path, place: Listening | None = None) -> None:
        self.events = HubEvents(mail_root / "run" / SOCKET_FILE, place)
        self.heard: asyncio.Queue[Change] = asyncio.Queue()

    async def __aenter__(self) -> Peer:
        self._subscription = self.events.subscribe(ALICE, self.heard.put_nowait)
        self._subscription.__enter__()
        self.events.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._subscription.__exit__(None, None, None)
        await self.events.stop()


async def meet(one: Peer, other: Peer) -> None:
    """Returns when a change of `one` reached `other`, so that both are connected."""
    hello = Change(ALICE, "account", 0, 1)
    while other.heard.empty():
        one.events.publish(hello)
        try:
            async with asyncio.timeout(0.05):
                other.heard.put_nowait(await other.heard.get())
        except TimeoutError:
            continue
    for peer in (one, other):
        while not peer.heard.empty():
            peer.heard.get_nowait()


async def next_of_kind(peer: Peer, kind: str) -> Change:
    while True:
        found = await peer.heard.get()
        if found.kind == kind:
            return found


async def test_a_change_reaches_others_once_and_its_own_process_once(
    hub: Hub, tmp_path: Path
) -> None:
    async with Peer(tmp_path) as one, Peer(tmp_path) as other:
        await meet(one, other)
        change = Change(ALICE, "mail", 4, 17)
        one.events.publish(change)
        assert await next_of_kind(one, "mail") == change
        assert await next_of_kind(other, "mail") == change
        other.events.publish(Change(ALICE, "file"))
        assert await next_of_kind(one, "file") == Change(ALICE, "file")
        assert one.heard.empty()


async def test_the_socket_is_for_its_owner_only(hub: Hub, tmp_path: Path) -> None:
    assert (tmp_path / "run" / SOCKET_FILE).stat().st_mode & 0o777 == 0o600


async def test_a_store_deep_in_the_tree_has_a_hub_too(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    hub = Hub()
    await hub.start(deep)
    async with Peer(deep) as one, Peer(deep) as other:
        await meet(one, other)
    hub.close()


async def test_a_process_finds_the_hub_again(tmp_path: Path) -> None:
    first = Hub()
    await first.start(tmp_path)
    async with Peer(tmp_path) as one, Peer(tmp_path) as other:
        await meet(one, other)
        first.close()
        second = Hub()
        await second.start(tmp_path)
        await meet(one, other)
        second.close()


async def test_publishing_without_a_hub_neither_fails_nor_grows(tmp_path: Path) -> None:
    async with Peer(tmp_path) as alone:
        for modseq in range(10):
            alone.events.publish(Change(ALICE, "mail", 1, modseq))
        assert alone.heard.qsize() == 10


async def test_a_client_that_talks_rubbish_is_dropped_and_others_go_on(
    hub: Hub, tmp_path: Path
) -> None:
    reader, writer = await asyncio.open_unix_connection(tmp_path / "run" / SOCKET_FILE)
    writer.write(b"x" * 10_000)
    with suppress(ConnectionError):
        assert await reader.read(1) == b""
    writer.close()
    async with Peer(tmp_path) as one, Peer(tmp_path) as other:
        await meet(one, other)


async def test_a_slow_process_gets_merged_changes_and_holds_up_nobody(
    hub: Hub, tmp_path: Path
) -> None:
    last, containers = 20_000, 10
    slow = socket.socket(socket.AF_UNIX)
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.connect(str(tmp_path / "run" / SOCKET_FILE))
    async with Peer(tmp_path) as one, Peer(tmp_path) as other:
        await meet(one, other)
        heard: dict[int, int] = {}
        for modseq in range(1, last + 1):
            one.events.publish(Change(ALICE, "mail", modseq % containers, modseq))
            if modseq % 20 == 0:
                await asyncio.sleep(0)  # let the hub pass them on in many portions
        while min(heard.values(), default=0) <= last - containers or len(heard) < containers:
            change = await next_of_kind(other, "mail")
            heard[change.container] = change.modseq
        received = await read_until(slow, last)
    slow.close()
    assert len(received) < last / 2
    assert {item.container: item.modseq for item in received if item.kind == "mail"} == heard


async def read_until(slow: socket.socket, modseq: int) -> list[Change]:
    """What a process reads that begins only now, up to the last change of each container."""
    slow.setblocking(False)
    reader, writer = await asyncio.open_unix_connection(sock=slow)
    found: list[Change] = []
    last: dict[int, int] = {}
    while len(last) < 10 or min(last.values()) <= modseq - 10:
        change = msgspec.json.decode(await reader.readline(), type=Change)
        found.append(change)
        if change.kind == "mail":
            last[change.container] = change.modseq
    writer.close()
    return found


async def test_a_change_that_no_other_process_waits_for_is_not_sent(
    hub: Hub, tmp_path: Path
) -> None:
    descriptor = listening.make(2)
    places = [Listening(os.dup(descriptor), place) for place in range(2)]
    os.close(descriptor)
    reader, writer = await asyncio.open_unix_connection(tmp_path / "run" / SOCKET_FILE)
    async with Peer(tmp_path, places[0]) as one, Peer(tmp_path, places[1]) as other:
        await meet(one, other)
        one.events.publish(Change(AccountId("bob@example.com"), "mail", 3, 16))
        one.events.publish(Change(ALICE, "mail", 4, 17))
        assert await next_of_kind(other, "mail") == Change(ALICE, "mail", 4, 17)
        passed = msgspec.json.decode(await reader.readline(), type=Change)
        while passed.kind != "mail":
            passed = msgspec.json.decode(await reader.readline(), type=Change)
        assert passed.account == ALICE
    writer.close()
