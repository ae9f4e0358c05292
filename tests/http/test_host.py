"""What the host does for every route."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiohttp import web

from rmail_kernel.errors import Conflict, Invalid
from rmail_kernel.http.builtin import builtin_routes
from rmail_kernel.http.host import HttpHost
from rmail_kernel.http.routes import SESSION
from rmail_kernel.kernel import Kernel
from rmail_kernel.plugins import new_bus
from tests.http.conftest import OpenHost
from tests.http.site import error_of, hello, public, read_answer, settings


async def test_routes_of_several_plugins_are_served_by_one_host(open_host: OpenHost) -> None:
    site = await open_host(public("GET", "/a"), public("GET", "/b/{x}"))
    for path in ("/a", "/b/1"):
        async with site.client.get(site.url + path) as answer:
            assert (answer.status, await answer.text()) == (200, "hello")


@pytest.mark.parametrize("second", ["/b/{y}", "/b/{x}"])
async def test_two_routes_of_one_method_and_path_are_refused_at_build(
    tmp_path: Path, second: str
) -> None:
    kernel = Kernel(settings(tmp_path), new_bus())
    routes = [public("GET", "/b/{x}"), public("GET", "/b"), public("get", second)]
    with pytest.raises(Invalid, match="Two routes for GET"):
        HttpHost(kernel, routes)
    kernel.pool.shutdown()


async def test_a_path_that_does_not_parse_is_refused_at_build(tmp_path: Path) -> None:
    kernel = Kernel(settings(tmp_path), new_bus())
    with pytest.raises(Invalid, match="Not a route"):
        HttpHost(kernel, [public("GET", "/b/{x")])
    kernel.pool.shutdown()


async def test_the_https_listener_exists_only_when_tls_is_on(tmp_path: Path) -> None:
    names = []
    for enabled in (True, False):
        kernel = Kernel(
            settings(tmp_path, http={"tls_port": 0}, tls={"enabled": enabled}), new_bus()
        )
        names.append([one.name for one in HttpHost(kernel, []).listeners()])
        kernel.pool.shutdown()
    assert names == [["http", "https"], ["http"]]


async def test_a_port_of_null_is_off(tmp_path: Path) -> None:
    kernel = Kernel(settings(tmp_path, http={"port": None}), new_bus())
    assert HttpHost(kernel, []).listeners() == []
    kernel.pool.shutdown()


async def test_head_is_answered_for_get_routes_without_content(open_host: OpenHost) -> None:
    site = await open_host(public("GET", "/a"))
    async with site.client.head(site.url + "/a") as answer:
        assert answer.status == 200
        assert answer.headers["Content-Length"] == "5"
        assert await answer.read() == b""


async def test_an_own_head_route_stands_beside_get(open_host: OpenHost) -> None:
    async def head(_request: web.Request) -> web.Response:
        return web.Response(headers={"X-Own": "1"})

    site = await open_host(public("GET", "/a"), public("HEAD", "/a", head))
    async with site.client.head(site.url + "/a") as answer:
        assert answer.headers["X-Own"] == "1"


async def test_unknown_paths_are_404_in_json(open_host: OpenHost) -> None:
    site = await open_host(public("GET", "/a"))
    async with site.client.get(site.url + "/nothing") as answer:
        assert answer.status == 404
        assert answer.content_type == "application/json"
        assert await answer.json() == {"error": "Not found"}


async def test_other_methods_are_405_and_name_the_allowed_ones(open_host: OpenHost) -> None:
    site = await open_host(public("GET", "/a"), public("PUT", "/a"))
    async with site.client.delete(site.url + "/a") as answer:
        assert answer.status == 405
        assert answer.headers["Allow"] == "GET,HEAD,PUT"
        assert await answer.json() == {"error": "Method not allowed"}


@pytest.mark.parametrize("path", ["/a", "/nothing", "/"])
async def test_options_of_anything_is_204_with_cors_headers(open_host: OpenHost, path: str) -> None:
    site = await open_host(public("GET", "/a"), public("PATCH", "/a"))
    async with site.client.options(site.url + path) as answer:
        assert answer.status == 204
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert answer.headers["Access-Control-Allow-Methods"] == "GET, HEAD, OPTIONS, PATCH"
        assert "Authorization" in answer.headers["Access-Control-Allow-Headers"]
        assert "Access-Control-Max-Age" in answer.headers


async def test_options_asterisk_is_204(open_host: OpenHost) -> None:
    site = await open_host(public("GET", "/a"))
    status, fields, _ = await site.raw(b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (status, fields["access-control-allow-origin"]) == (204, "*")


async def test_a_plugin_may_answer_options_itself(open_host: OpenHost) -> None:
    async def options(_request: web.Request) -> web.Response:
        return web.Response(headers={"DAV": "1"})

    site = await open_host(public("OPTIONS", "/dav", options))
    async with site.client.options(site.url + "/dav") as answer:
        assert (answer.status, answer.headers["DAV"]) == (200, "1")


async def test_every_answer_carries_cors_and_security_headers(open_host: OpenHost) -> None:
    async def broken(_request: web.Request) -> web.Response:
        raise RuntimeError("boom")

    async def streamed(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"x")
        return response

    site = await open_host(
        public("GET", "/a"), public("GET", "/broken", broken), public("GET", "/stream", streamed)
    )
    for path in ("/a", "/broken", "/stream", "/nothing"):
        async with site.client.get(site.url + path) as answer:
            assert answer.headers["Access-Control-Allow-Origin"] == "*"
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Server"] == "rmail"


async def test_a_handler_may_set_its_own_security_headers(open_host: OpenHost) -> None:
    async def page(_request: web.Request) -> web.Response:
        return web.Response(headers={"Cache-Control": "max-age=60"})

    site = await open_host(public("GET", "/a", page))
    async with site.client.get(site.url + "/a") as answer:
        assert answer.headers.getall("Cache-Control") == ["max-age=60"]


async def test_an_unexpected_error_is_500_with_an_id_and_no_detail(open_host: OpenHost) -> None:
    async def broken(_request: web.Request) -> web.Response:
        raise RuntimeError("the secret detail")

    site = await open_host(public("GET", "/broken", broken))
    async with site.client.get(site.url + "/broken") as answer:
        body = await answer.json()
        assert answer.status == 500
        assert body["error"] == "Internal server error"
        assert len(body["id"]) == 12
        assert "secret" not in str(body)


async def test_an_error_of_rmail_has_its_status_and_safe_text(open_host: OpenHost) -> None:
    async def refuse(_request: web.Request) -> web.Response:
        raise Conflict("It exists", path="/secret")

    site = await open_host(public("GET", "/a", refuse))
    async with site.client.get(site.url + "/a") as answer:
        assert (answer.status, await answer.json()) == (409, {"error": "It exists"})


async def test_an_error_after_the_first_byte_ends_the_connection(open_host: OpenHost) -> None:
    async def half(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b"x" * 10)
        raise RuntimeError("boom")

    site = await open_host(public("GET", "/half", half))
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(b"GET /half HTTP/1.1\r\nHost: x\r\n\r\n")
    async with asyncio.timeout(10):
        raw = await reader.read()
    assert raw.endswith(b"x" * 10)
    assert b"error" not in raw
    writer.close()


async def test_a_redirect_and_a_page_raised_by_a_plugin_are_left_alone(open_host: OpenHost) -> None:
    async def redirect(_request: web.Request) -> web.Response:
        raise web.HTTPFound("/elsewhere")

    async def page(_request: web.Request) -> web.Response:
        raise web.HTTPNotFound(text="<h1>gone</h1>", content_type="text/html")

    site = await open_host(public("GET", "/r", redirect), public("GET", "/p", page))
    async with site.client.get(site.url + "/r", allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (302, "/elsewhere")
    async with site.client.get(site.url + "/p") as answer:
        assert (answer.status, await answer.text()) == (404, "<h1>gone</h1>")


async def test_an_encoded_slash_stays_inside_a_path_segment(open_host: OpenHost) -> None:
    async def name(request: web.Request) -> web.Response:
        return web.Response(text=request.match_info["folder"])

    site = await open_host(public("GET", "/folders/{folder}/messages", name))
    for raw, expected in (
        (b"a%2Fb", b"a/b"),
        (b"a%252Fb", b"a%2Fb"),
        (b"%C3%BC%20x", "ü x".encode()),
        (b"%2E%2E%2Fetc", b"../etc"),
    ):
        _, _, body = await site.raw(
            b"GET /folders/" + raw + b"/messages HTTP/1.1\r\nHost: x\r\n\r\n"
        )
        assert body == expected


async def test_health_tells_everyone_nothing_but_yes(open_host: OpenHost) -> None:
    site = await open_host()
    site.kernel.settings.mail_root.mkdir()
    for path in ("/healthz", "/readyz"):
        async with site.client.get(site.url + path) as answer:
            assert (answer.status, await answer.json()) == (200, {"status": "ok"})


async def test_a_server_that_drains_is_not_ready(open_host: OpenHost) -> None:
    site = await open_host()
    site.kernel.draining.set()
    status, fields, _ = await site.raw(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (status, fields["connection"]) == (503, "close")


async def test_connections_are_counted_and_an_idle_one_ends_with_the_drain(
    open_host: OpenHost,
) -> None:
    site = await open_host(public("GET", "/a"))
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
    await read_answer(reader)
    assert await site.kernel.drain()
    async with asyncio.timeout(5):
        assert await reader.read() == b""
    writer.close()


async def test_the_drain_waits_for_the_answer_under_way(open_host: OpenHost) -> None:
    started, go = asyncio.Event(), asyncio.Event()

    async def slow(_request: web.Request) -> web.Response:
        started.set()
        await go.wait()
        return web.Response(text="done")

    site = await open_host(public("GET", "/slow", slow))
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
    await started.wait()
    drain = asyncio.create_task(site.kernel.drain())
    await site.kernel.draining.wait()
    go.set()
    status, fields, body = await read_answer(reader)
    assert (status, body, fields["connection"]) == (200, b"done", "close")
    assert await drain
    writer.close()


async def test_stopping_waits_for_a_handler_whose_client_has_left(open_host: OpenHost) -> None:
    started, go, done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def slow(_request: web.Request) -> web.Response:
        started.set()
        await go.wait()
        for _ in range(100):  # longer than stop() takes by itself
            await asyncio.sleep(0)
        done.set()
        return web.Response()

    site = await open_host(public("GET", "/slow", slow))
    _, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
    await started.wait()
    writer.close()
    await writer.wait_closed()
    assert await site.kernel.drain()
    stop = asyncio.create_task(site.host.stop())
    go.set()
    await stop
    assert done.is_set()


def test_the_reference_names_the_hosts_own_routes(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "api.md").read_text("utf-8")
    for route in builtin_routes(Kernel(settings(tmp_path), new_bus())):
        assert f"`{route.method} {route.path}`" in page


async def test_stopping_twice_is_harmless(open_host: OpenHost) -> None:
    site = await open_host(public("GET", "/a"))
    await site.host.stop()
    await site.host.stop()


async def test_each_request_has_a_session(open_host: OpenHost) -> None:
    seen = []

    async def look(request: web.Request) -> web.Response:
        seen.append(request[SESSION])
        return web.Response()

    site = await open_host(public("GET", "/a", look))
    for _ in range(2):
        async with site.client.get(site.url + "/a"):
            pass
    assert seen[0].protocol == "http"
    assert seen[0].peer_host == "127.0.0.1"
    assert seen[0].local_port == site.port
    assert seen[0].id != seen[1].id


async def test_malformed_http_is_400_in_json_with_cors(open_host: OpenHost) -> None:
    site = await open_host(public("GET", "/a", hello))
    status, fields, body = await site.raw(b"GET /a HTTP/1.1\r\nbroken header\r\n\r\n")
    assert (status, error_of(body)) == (400, "Malformed HTTP request")
    assert fields["access-control-allow-origin"] == "*"
    assert fields["server"] == "rmail"
