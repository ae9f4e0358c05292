"""New connections go to the worker that has fewest; while that one is busy, to any other."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import pytest

from rmail_kernel.net import accepting, crowd
from rmail_kernel.net.accepting import Acceptor, Terms
from rmail_kernel.net.crowd import Crowd


class _Greeting(asyncio.Protocol):
    """Says which worker it is of."""

    def __init__(self, worker: int, crowd: Crowd) -> None:
        self._worker = worker
        self._crowd = crowd

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.Transport", transport).write(b"%d" % self._worker)  # uvloop's is no subclass
        self._crowd.tell(self._crowd.told + 1)


@dataclass(frozen=True, slots=True)
class _Workers:
    """Two, on one socket."""

    listening: socket.socket
    crowds: tuple[Crowd, Crowd]

    def accept(self, worker: int) -> Acceptor:
        own = self.crowds[worker]
        listening = self.listening.dup()
        return Acceptor(listening, lambda: _Greeting(worker, own), Terms(), own)

    async def connect(self) -> tuple[int, asyncio.StreamWriter]:
        """Which worker takes a new connection."""
        reader, writer = await asyncio.open_connection(*self.listening.getsockname())
        return int(await reader.readexactly(1)), writer


@pytest.fixture
def workers() -> Iterator[_Workers]:
    descriptor = crowd.make(2)
    places = (Crowd(os.dup(descriptor), 0), Crowd(descriptor, 1))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield _Workers(listening, places)


async def test_connections_are_spread_evenly(workers: _Workers) -> None:
    acceptors = [workers.accept(0), workers.accept(1)]
    async with asyncio.timeout(10):
        taken = [await workers.connect() for _ in range(10)]
    assert sorted(worker for worker, _ in taken) == [0] * 5 + [1] * 5
    for _, writer in taken:
        writer.close()
    for acceptor in acceptors:
        acceptor.close()


async def test_who_has_more_takes_what_nobody_else_takes(workers: _Workers) -> None:
    workers.crowds[0].tell(100)
    acceptor = workers.accept(0)
    async with asyncio.timeout(10):
        worker, writer = await workers.connect()
    assert worker == 0
    writer.close()
    acceptor.close()


async def test_nobody_is_accepted_after_the_end(workers: _Workers) -> None:
    acceptor = workers.accept(0)
    acceptor.close()
    acceptor.close()
    address = workers.listening.getsockname()
    workers.listening.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(*address)


def test_what_was_accepted_counts_before_it_is_told(workers: _Workers) -> None:
    first, second = workers.crowds
    first.tell(1)
    assert first.is_ahead
    assert not second.is_ahead
    second.expect(2)
    assert second.is_ahead
    second.expect(-2)
    assert not second.is_ahead


async def test_those_without_a_header_are_so_many_and_no_more(
    workers: _Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accepting, "MAX_WAITING", 1)
    terms = Terms(trusted=("127.0.0.1",), header_s=10.0)
    own = workers.crowds[0]
    acceptor = Acceptor(workers.listening, lambda: _Greeting(0, own), terms, None)
    address = workers.listening.getsockname()
    async with asyncio.timeout(10):
        silent, silent_writer = await asyncio.open_connection(*address)
        reader, writer = await asyncio.open_connection(*address)
        writer.write(b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 25\r\n")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.2)
        silent_writer.close()
        assert await reader.readexactly(1) == b"0"
        assert await silent.read() == b""
    writer.close()
    acceptor.close()
