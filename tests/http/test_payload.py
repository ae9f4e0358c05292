"""JSON bodies: what is refused, and that the refusal names the field."""

from __future__ import annotations

import msgspec
import pytest
from aiohttp import web

from rmail_kernel.http import json_response, query_int, read_json
from rmail_kernel.http.payload import Body
from tests.http.conftest import OpenHost
from tests.http.site import public


class Pet(Body):
    name: str
    age: int = 1
    photo: bytes = b""
    tags: list[str] = msgspec.field(default_factory=list)


async def _pet(request: web.Request) -> web.Response:
    return json_response(await read_json(request, Pet))


async def _page(request: web.Request) -> web.Response:
    return json_response({"offset": query_int(request, "offset", 7, 0, 1000)})


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (b"", "Invalid JSON"),
        (b"{", "Invalid JSON"),
        (b"\xff\xfe", "Invalid JSON"),
        (b'{"name": "\xff"}', "Invalid JSON"),
        (b'{"name": "a"} x', "Invalid JSON"),
        (b'{"name": NaN}', "Invalid JSON"),
        (b"[]", "The body must be a JSON object"),
        (b'"x"', "The body must be a JSON object"),
        (b"[" * 100_000, "The body must be a JSON object"),
        (b'{"name": ' + b"[" * 100_000, "name: must be text"),
        (b'{"tags": ' + b"[" * 100_000, "tags[0]: must be text"),
        (b"{}", "name: is required"),
        (b'{"name": 1}', "name: must be text"),
        (b'{"name": null}', "name: must be text"),
        (b'{"name": "a", "age": "2"}', "age: must be an integer"),
        (b'{"name": "a", "age": true}', "age: must be an integer"),
        (b'{"name": "a", "age": 1.5}', "age: must be an integer"),
        (b'{"name": "a", "tags": [1]}', "tags[0]: must be text"),
        (b'{"name": "a", "tags": "x"}', "tags: must be a list"),
        (b'{"name": "a", "photo": "%%%"}', "photo: must be base64 text"),
        (b'{"name": "a", "nmae": 1}', "nmae: unknown field"),
    ],
)
async def test_a_bad_body_is_400_and_names_the_field(
    open_host: OpenHost, raw: bytes, error: str
) -> None:
    site = await open_host(public("POST", "/pet", _pet))
    async with site.client.post(site.url + "/pet", data=raw) as answer:
        assert (answer.status, await answer.json()) == (400, {"error": error})


async def test_an_unknown_field_of_great_length_is_cut_in_the_answer(open_host: OpenHost) -> None:
    site = await open_host(public("POST", "/pet", _pet))
    raw = b'{"' + b"x" * 5000 + b'": 1}'
    async with site.client.post(site.url + "/pet", data=raw) as answer:
        assert answer.status == 400
        assert len(await answer.read()) < 300


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 200), ("?offset=0", 200), ("?offset=1000", 200), ("?offset=1001", 400),
        ("?offset=-1", 400), ("?offset=x", 400), ("?offset=", 400), ("?offset=1&offset=2", 400),
        ("?offset=" + "9" * 5000, 400), ("?offset=%D9%A1", 400),
    ],
)  # fmt: skip
async def test_a_query_number_is_within_its_range(
    open_host: OpenHost, query: str, status: int
) -> None:
    site = await open_host(public("GET", "/page", _page))
    async with site.client.get(site.url + "/page" + query) as answer:
        assert answer.status == status
        if status == 400:
            text = (await answer.json())["error"]
            assert text == "offset: must be an integer from 0 to 1000"
