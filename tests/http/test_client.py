"""Whom the host believes: forwarded headers, metrics, base URL."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web

from rmail_kernel.http import base_url
from rmail_kernel.http.routes import SESSION, Route
from tests.http.conftest import OpenHost
from tests.http.site import public


async def _peer(request: web.Request) -> web.Response:
    return web.Response(text=request[SESSION].peer_host)


async def _base(request: web.Request) -> web.Response:
    return web.Response(text=base_url(request))


ROUTES: list[Route] = [public("GET", "/peer", _peer), public("GET", "/base", _base)]


async def _get(site: Any, path: str, headers: dict[str, str]) -> str:
    async with site.client.get(site.url + path, headers=headers) as answer:
        text: str = await answer.text()
        return text


@pytest.mark.parametrize(
    ("trusted", "forwarded", "expected"),
    [
        ([], "192.0.2.7", "127.0.0.1"),
        (["127.0.0.1"], "192.0.2.7", "192.0.2.7"),
        (["127.0.0.0/8"], "198.51.100.1, 192.0.2.7", "192.0.2.7"),
        (["127.0.0.1", "192.0.2.0/24"], "198.51.100.1, 192.0.2.7", "198.51.100.1"),
        (["127.0.0.1"], "2001:DB8::1", "2001:db8::1"),
        (["127.0.0.1"], "unknown", "127.0.0.1"),
        (["127.0.0.1"], "192.0.2.9, rubbish", "127.0.0.1"),
        (["127.0.0.1"], "", "127.0.0.1"),
    ],
)
async def test_a_forwarded_address_counts_only_from_a_trusted_proxy(
    open_host: OpenHost, trusted: list[str], forwarded: str, expected: str
) -> None:
    site = await open_host(*ROUTES, http={"trusted_proxies": trusted})
    assert await _get(site, "/peer", {"X-Forwarded-For": forwarded}) == expected


async def test_links_use_the_configured_base_url(open_host: OpenHost) -> None:
    site = await open_host(*ROUTES, http={"base_url": "https://mail.example.com/"})
    assert await _get(site, "/base", {"Host": "elsewhere"}) == "https://mail.example.com"


async def test_links_use_the_host_of_the_request_without_a_base_url(open_host: OpenHost) -> None:
    site = await open_host(*ROUTES)
    assert await _get(site, "/base", {"Host": "box.lan:9002"}) == "http://box.lan:9002"


@pytest.mark.parametrize("host", ["a/b", "a b", 'a"><script>', "user@host", ""])
async def test_a_host_that_is_no_host_never_gets_into_a_link(
    open_host: OpenHost, host: str
) -> None:
    site = await open_host(*ROUTES)
    expected = f"http://mail.example.com:{site.port}"
    assert await _get(site, "/base", {"Host": host}) == expected


async def test_a_trusted_proxy_says_scheme_and_host(open_host: OpenHost) -> None:
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "mail.example.org"}
    site = await open_host(*ROUTES, http={"trusted_proxies": ["127.0.0.1"]})
    assert await _get(site, "/base", headers) == "https://mail.example.org"
    other = await open_host(*ROUTES)
    assert await _get(other, "/base", headers) == other.url


async def test_metrics_are_for_loopback(open_host: OpenHost) -> None:
    site = await open_host(*ROUTES)
    async with site.client.get(site.url + "/metrics") as answer:
        assert answer.status == 200
        assert "rmail_connections" in await answer.text()


@pytest.mark.parametrize(
    ("http", "headers", "status"),
    [
        ({}, {"X-Forwarded-For": "127.0.0.1"}, 403),
        ({}, {"Forwarded": "for=127.0.0.1"}, 403),
        ({"trusted_proxies": ["127.0.0.1"]}, {"X-Forwarded-For": "192.0.2.7"}, 403),
        ({"trusted_proxies": ["127.0.0.1"]}, {"X-Forwarded-For": "garbage"}, 403),
        (
            {"trusted_proxies": ["127.0.0.1"], "metrics_allow": ["192.0.2.0/24"]},
            {"X-Forwarded-For": "192.0.2.7"},
            200,
        ),
    ],
)
async def test_a_proxy_does_not_lend_loopback_to_strangers(
    open_host: OpenHost, http: dict[str, Any], headers: dict[str, str], status: int
) -> None:
    site = await open_host(*ROUTES, http=http)
    async with site.client.get(site.url + "/metrics", headers=headers) as answer:
        assert answer.status == status


async def test_new_settings_are_followed(open_host: OpenHost) -> None:
    site = await open_host(*ROUTES)
    http = site.kernel.settings.http.model_copy(update={"trusted_proxies": ["127.0.0.1"]})
    site.kernel.settings = site.kernel.settings.model_copy(update={"http": http})
    assert await _get(site, "/peer", {"X-Forwarded-For": "192.0.2.7"}) == "192.0.2.7"
