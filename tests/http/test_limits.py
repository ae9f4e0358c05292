"""Every limit of the host, reached; and clients that mean harm."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from functools import partial

import pytest
from aiohttp import web

from rmail_kernel.errors import RateLimited
from rmail_kernel.http import connection_rate, protocol, slow_body
from rmail_kernel.http.connection_rate import ConnectionRate
from rmail_kernel.testing import FakeClock
from tests.http.conftest import OpenHost
from tests.http.site import Site, echo, error_of, hello, public, read_answer, settings


async def _one_kilobyte_at_a_time(count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b"x" * 1024


async def test_a_body_over_the_limit_is_413(open_host: OpenHost) -> None:
    site = await open_host(public("POST", "/a", echo, max_body_bytes=1000), public("POST", "/b"))
    for size, status in ((1000, 200), (1001, 413)):
        async with site.client.post(site.url + "/a", data=b"x" * size) as answer:
            assert answer.status == status


async def test_a_chunked_body_over_the_limit_is_413(open_host: OpenHost) -> None:
    site = await open_host(public("POST", "/a", echo, max_body_bytes=2000), public("POST", "/b"))
    for count, status in ((1, 200), (2, 413)):
        data = _one_kilobyte_at_a_time(count)
        async with site.client.post(site.url + "/a", data=data) as answer:
            assert answer.status == status
            if status == 413:
                assert await answer.json() == {"error": "The body is too large"}


async def test_a_compressed_body_counts_as_what_it_unpacks_to(open_host: OpenHost) -> None:
    site = await open_host(public("POST", "/a", echo, max_body_bytes=2000), public("POST", "/b"))
    bomb = gzip.compress(b"0" * 10_000_000)
    headers = {"Content-Encoding": "gzip"}
    async with site.client.post(site.url + "/a", data=bomb[:1900], headers=headers) as answer:
        assert answer.status == 413


async def test_a_large_body_is_not_asked_for_with_100_continue(open_host: OpenHost) -> None:
    site = await open_host(public("POST", "/a", echo, max_body_bytes=1000))
    head = b"POST /a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n"
    status, _, _ = await site.raw(head % 5000)
    assert status == 413
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(head % 2)
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(b"hi")
    assert (await read_answer(reader))[::2] == (200, b"hi")
    writer.close()


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /a HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 20_000 + b"\r\n\r\n",
        b"GET /a HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 200 + b"\r\n",
        b"GET /a HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"GET /a HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 tls on a plain port\r\n\r\n",
        b"EHLO mail.example.net\r\n\r\n",
    ],
)
async def test_what_is_not_http_or_too_long_is_400_and_the_end(
    open_host: OpenHost, request_: bytes
) -> None:
    site = await open_host(public("GET", "/a"), public("POST", "/a"))
    status, _, body = await site.raw(request_)
    assert (status, error_of(body)) == (400, "Malformed HTTP request")
    await _still_answers(site, "/a")


async def test_endless_headers_are_cut_off(open_host: OpenHost) -> None:
    site = await open_host(public("GET", "/a"))
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(b"GET /a HTTP/1.1\r\nHost: x\r\n")
    for number in range(2000):
        writer.write(b"X-%d: y\r\n" % number)
    status, _, _ = await read_answer(reader)
    assert status == 400
    writer.close()
    await _still_answers(site, "/a")


async def test_a_body_shorter_than_its_length_harms_nobody(open_host: OpenHost) -> None:
    site = await open_host(public("POST", "/a", echo), public("GET", "/a"))
    _, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf")
    writer.close()
    await writer.wait_closed()
    await _still_answers(site, "/a")


@pytest.mark.parametrize("chunk", [b"zz\r\nhello\r\n", b"5\r\nhelloX"])
async def test_a_malformed_chunked_body_is_400(open_host: OpenHost, chunk: bytes) -> None:
    site = await open_host(public("POST", "/a", echo), public("GET", "/a"))
    head = b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    status, _, body = await site.raw(head + chunk)
    assert status == 400
    assert error_of(body).startswith("Malformed")
    await _still_answers(site, "/a")


async def test_a_body_that_is_not_gzip_is_400_and_no_traceback(
    open_host: OpenHost, caplog: pytest.LogCaptureFixture
) -> None:
    site = await open_host(public("POST", "/a", echo))
    headers = {"Content-Encoding": "gzip"}
    async with site.client.post(site.url + "/a", data=b"no gzip", headers=headers) as answer:
        assert answer.status == 400
        assert await answer.read()
    await site.client.close()
    assert [one for one in caplog.records if one.name == "aiohttp.server"] == []


async def test_a_body_that_does_not_come_is_408(
    open_host: OpenHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = partial(slow_body.watched_body, interval_s=0.05)
    monkeypatch.setattr("rmail_kernel.http.host.watched_body", watched)
    site = await open_host(public("POST", "/a", echo), public("GET", "/a"))
    request = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf"
    status, _, body = await site.raw(request)
    assert (status, error_of(body)) == (408, "The request took too long")
    await _still_answers(site, "/a")


async def test_a_slow_handler_with_its_whole_body_is_left_alone(
    open_host: OpenHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    watches: list[bool] = []

    @contextmanager
    def watched(request: web.Request) -> Iterator[None]:
        watches.append(request.content.is_eof())
        with slow_body.watched_body(request, interval_s=0.0):
            yield

    async def slow(request: web.Request) -> web.Response:
        body = await request.read()
        for _ in range(20):
            await asyncio.sleep(0)
        return web.Response(body=body)

    monkeypatch.setattr("rmail_kernel.http.host.watched_body", watched)
    site = await open_host(public("POST", "/a", slow))
    async with site.client.post(site.url + "/a", data=b"x" * 10) as answer:
        assert (answer.status, await answer.read()) == (200, b"x" * 10)
    assert len(watches) == 1


async def test_a_client_that_stops_reading_is_cut_off(
    open_host: OpenHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "STALL_S", 0.05)
    ended = asyncio.Event()

    async def flood(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x" * 65536)
        finally:
            ended.set()

    site = await open_host(public("GET", "/flood", flood), public("GET", "/a"))
    _, writer = await asyncio.open_connection("127.0.0.1", site.port, limit=1024)
    writer.write(b"GET /flood HTTP/1.1\r\nHost: x\r\n\r\n")
    async with asyncio.timeout(10):
        await ended.wait()
    writer.close()
    await _still_answers(site, "/a")


async def test_an_idle_connection_ends(
    open_host: OpenHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "KEEPALIVE_S", 0.05)
    site = await open_host(public("GET", "/a"))
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(b"GET /a HTTP/1.1\r\nHost: x\r\nX-Slow: ")
    async with asyncio.timeout(10):
        assert await reader.read() == b""
    writer.close()


async def test_too_many_connections_of_an_address_are_429_with_retry_after(
    open_host: OpenHost,
) -> None:
    clock = FakeClock()
    limits = {"connections_per_minute": 3, "whitelist": []}
    site = await open_host(public("GET", "/a"), clock=clock, rate_limit=limits)
    request = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
    assert [(await site.raw(request))[0] for _ in range(4)] == [200, 200, 200, 429]
    status, fields, body = await site.raw(request)
    assert (status, error_of(body)) == (429, "Too many connections")
    assert fields["retry-after"] == "60"
    assert fields["connection"] == "close"
    clock.advance(121)
    assert (await site.raw(request))[0] == 200


async def test_requests_on_one_connection_count_once(open_host: OpenHost) -> None:
    limits = {"connections_per_minute": 1, "whitelist": []}
    site = await open_host(public("GET", "/a"), rate_limit=limits)
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    for _ in range(3):
        writer.write(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await read_answer(reader))[0] == 200
    writer.close()


async def test_clients_behind_a_proxy_count_by_their_own_address(open_host: OpenHost) -> None:
    limits = {"connections_per_minute": 1, "whitelist": []}
    http = {"trusted_proxies": ["127.0.0.1"]}
    site = await open_host(public("GET", "/a"), rate_limit=limits, http=http)
    found = []
    for last in (1, 2, 1):
        headers = {"X-Forwarded-For": f"192.0.2.{last}"}
        async with site.client.get(site.url + "/a", headers=headers) as answer:
            found.append(answer.status)
    assert found == [200, 200, 429]


async def test_connections_that_stay_open_are_limited_per_address(
    open_host: OpenHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_rate, "MAX_OPEN", 2)
    site = await open_host(public("GET", "/a"), rate_limit={"whitelist": []})
    request = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
    kept = [await asyncio.open_connection("127.0.0.1", site.port) for _ in range(2)]
    for reader, writer in kept:
        writer.write(request)
        assert (await read_answer(reader))[0] == 200
    with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
        await site.raw(request)
    for reader, writer in kept:
        writer.write(b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        await reader.read()
        writer.close()
    assert (await site.raw(request))[0] == 200


def test_the_window_slides() -> None:
    clock = FakeClock()
    rate = _rate(clock, 10)
    clock.advance(30)
    for _ in range(10):
        rate.hit("192.0.2.1")
    clock.advance(31)  # 1 s into the next window: 59/60 of the old one still count
    with pytest.raises(RateLimited):
        rate.hit("192.0.2.1")
    clock.advance(58)
    rate.hit("192.0.2.1")


def test_an_ipv6_network_counts_as_one_client() -> None:
    rate = _rate(FakeClock(), 1)
    rate.hit("2001:db8::1")
    rate.hit("2001:db8:0:1::1")
    with pytest.raises(RateLimited):
        rate.hit("2001:db8::2")


def test_counters_of_addresses_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_rate, "MAX_ADDRESSES", 3)
    rate = _rate(FakeClock(), 1)
    for last in range(10):
        rate.hit(f"192.0.2.{last}")
    assert len(rate._now) == 3


def test_whitelisted_addresses_and_a_disabled_limit_never_refuse() -> None:
    rate = _rate(FakeClock(), 1, whitelist=["192.0.2.0/24"])
    off = _rate(FakeClock(), 1, enabled=False)
    for _ in range(5):
        rate.hit("192.0.2.1")
        off.hit("198.51.100.1")


def _rate(clock: FakeClock, limit: int, **more: object) -> ConnectionRate:
    from pathlib import Path

    section = {"connections_per_minute": limit, "whitelist": [], **more}
    return ConnectionRate(settings(Path("unused"), rate_limit=section), clock)


async def _still_answers(site: Site, path: str) -> None:
    async with site.client.get(site.url + path) as answer:
        assert (answer.status, await answer.text()) == (200, "hello")


async def test_pipelined_requests_are_answered_in_order(open_host: OpenHost) -> None:
    site = await open_host(public("GET", "/a", hello), public("POST", "/b", echo))
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(
        b"POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\none"
        b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
    )
    assert (await read_answer(reader))[2] == b"one"
    assert (await read_answer(reader))[2] == b"hello"
    writer.close()
