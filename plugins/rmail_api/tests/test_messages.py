"""/folders/{folder}/messages: lists and appends."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator
from urllib.parse import quote

import pytest

from rmail_kernel.storage.ids import AccountId

from .conftest import Api, message

ALICE = AccountId("alice@example.com")


async def test_a_list_is_newest_first_with_the_documented_fields(api: Api) -> None:
    first = await api.append(message("One"))
    second = await api.append(message("Two"))
    answer = await api.get("/folders/INBOX/messages")
    assert answer.status == 200
    assert {key: answer.json[key] for key in ("total", "offset", "limit")} == {
        "total": 2,
        "offset": 0,
        "limit": 100,
    }
    found = answer.json["messages"]
    assert [one["uid"] for one in found] == [second, first]
    assert found[0].pop("internal_date").endswith("+00:00")
    assert found[0] == {
        "uid": second,
        "flags": [],
        "size": len(message("Two")),
        "date": "2026-01-02T03:04:05+01:00",
        "from": "Bob <bob@example.com>",
        "to": ["alice@example.com"],
        "cc": [],
        "subject": "Two",
        "message_id": "<1@example.com>",
        "has_attachments": False,
    }


async def test_pages_do_not_overlap_and_end(api: Api) -> None:
    uids = [await api.append(message(str(number))) for number in range(5)]
    found: list[int] = []
    for offset in (0, 2, 4, 6):
        page = await api.get(f"/folders/INBOX/messages?offset={offset}&limit=2")
        assert (page.json["total"], page.json["offset"], page.json["limit"]) == (5, offset, 2)
        found += [one["uid"] for one in page.json["messages"]]
    assert found == uids[::-1]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("offset=-1", "offset"),
        ("offset=x", "offset"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=1.5", "limit"),
        ("offset=99999999999", "offset"),
    ],
)
async def test_offset_and_limit_out_of_range_are_400(api: Api, query: str, field: str) -> None:
    answer = await api.get(f"/folders/INBOX/messages?{query}")
    assert answer.status == 400
    assert answer.error.startswith(f"{field}: ")


async def test_decoded_text_is_in_the_list_and_broken_fields_harm_nothing(api: Api) -> None:
    await api.append(
        b"From: =?utf-8?q?J=C3=B6rg?= <j@example.com>\r\n"
        b"To: friends: a@example.com, b@example.com;\r\n"
        b"Subject: =?utf-8?b?R3LDvMOfZQ==?=\r\nDate: yesterday\r\n\r\n"
    )
    await api.append(b"\x00\xff\xfe not a header\r\n")
    broken, decoded = (await api.get("/folders/INBOX/messages")).json["messages"]
    assert decoded["from"] == "Jörg <j@example.com>"
    assert decoded["to"] == ["a@example.com", "b@example.com"]
    assert decoded["subject"] == "Grüße"
    assert decoded["date"] is None
    assert (broken["from"], broken["to"], broken["message_id"]) == ("", [], None)


@pytest.mark.parametrize(
    ("disposition", "expected"),
    [(b"attachment", True), (b"attachment; filename=a.pdf", True), (b"inline", False)],
)
async def test_attachments_are_seen_in_the_list(
    api: Api, disposition: bytes, expected: bool
) -> None:
    await api.append(
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\ntext\r\n--b\r\n"
        b"Content-Type: application/pdf\r\nContent-Disposition: " + disposition + b"\r\n\r\n"
        b"x\r\n--b--\r\n"
    )
    (one,) = (await api.get("/folders/INBOX/messages")).json["messages"]
    assert one["has_attachments"] is expected


async def test_an_appended_message_comes_back_byte_for_byte(api: Api) -> None:
    raw = message("Hello", "ÿþ binary \x00 body")
    answer = await api.post(
        "/folders/Drafts/messages", data=raw, headers={"Content-Type": "message/rfc822"}
    )
    assert answer.status == 201
    assert answer.json["folder"] == "Drafts"
    assert answer.json["uidvalidity"] > 0
    back = await api.get(f"/folders/Drafts/messages/{answer.json['uid']}")
    assert back.body == raw


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "multipart/form-data"])
async def test_any_content_type_is_taken_as_a_raw_message(api: Api, kind: str) -> None:
    headers = {"Content-Type": kind}
    answer = await api.post("/folders/INBOX/messages", data=message(), headers=headers)
    assert answer.status == 201


async def test_lone_line_feeds_become_crlf_also_across_pieces(api: Api) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for piece in (b"Subject: x\r", b"\nTo: y", b"\n", b"\nbo\rdy\n", b"\r", b"\n"):
            yield piece

    uid = await api.append(pieces())  # type: ignore[arg-type] # aiohttp streams an iterator
    back = await api.get(f"/folders/INBOX/messages/{uid}")
    assert back.body == b"Subject: x\r\nTo: y\r\n\r\nbo\rdy\r\n\r\n"


async def test_a_large_message_is_spooled_and_comes_back(api: Api) -> None:
    raw = message() + b"0123456789abcde\r\n" * 200_000
    answer = await api.post("/folders/INBOX/messages", data=io.BytesIO(raw))
    back = await api.get(f"/folders/INBOX/messages/{answer.json['uid']}")
    assert back.body == raw


async def test_an_empty_message_is_400(api: Api) -> None:
    answer = await api.post("/folders/INBOX/messages", data=b"")
    assert (answer.status, answer.error) == (400, "The message is empty")


@pytest.mark.parametrize("rmail_settings", [{"api": {"max_message_bytes": 2000}}])
@pytest.mark.parametrize("chunked", [True, False])
async def test_a_message_over_the_limit_is_413_and_leaves_nothing(api: Api, chunked: bool) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(21):
            yield b"x" * 100

    data = pieces() if chunked else b"x" * 2100
    answer = await api.post("/folders/INBOX/messages", data=data)
    assert (answer.status, "too large" in answer.error or "larger" in answer.error) == (413, True)
    assert (await api.get("/folders")).json["folders"][0]["total"] == 0


async def test_a_message_over_quota_is_413(api: Api) -> None:
    await api.call("PATCH", "/admin/users/alice", {"quota_mb": 1}, user="admin")
    raw = message() + b"x" * 700_000
    await api.append(raw)
    assert (await api.post("/folders/INBOX/messages", data=raw)).status == 413


@pytest.mark.parametrize(
    "folder",
    [
        "Nope",
        "..",
        "%2E%2E%2F%2E%2E",
        "%00",
        "a%00b",
        "INBOX%0d%0aX",
        "x" * 300,
        "%FF",
        "%2F",
        "{x}",
    ],
)
async def test_a_folder_that_is_not_there_is_404(api: Api, folder: str) -> None:
    for method, path in (
        ("GET", f"/folders/{folder}/messages"),
        ("POST", f"/folders/{folder}/messages"),
        ("GET", f"/folders/{folder}/messages/1"),
        ("DELETE", f"/folders/{folder}/messages/1"),
        ("PATCH", f"/folders/{folder}/messages/1/flags"),
    ):
        body = json.dumps({"flags": []}).encode() if method == "PATCH" else None
        answer = await api.call(method, path, data=body or message())
        assert answer.status == 404, (method, path, answer.body)


@pytest.mark.parametrize("name", ["Archive/2026", "Ünïcode & more", "50% off", "{braces}"])
async def test_folders_of_any_name_are_reached_percent_encoded(api: Api, name: str) -> None:
    await api.server.kernel.mail.create(ALICE, name)
    uid = await api.append(message(), quote(name, safe=""))
    answer = await api.get(f"/folders/{quote(name, safe='')}/messages")
    assert [one["uid"] for one in answer.json["messages"]] == [uid]


async def test_inbox_is_found_in_any_case(api: Api) -> None:
    await api.append(message(), "inbox")
    assert (await api.get("/folders/InBox/messages")).json["total"] == 1
