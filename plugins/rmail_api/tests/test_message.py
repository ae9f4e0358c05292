"""/folders/{folder}/messages/{uid}: read and delete."""

from __future__ import annotations

import pytest

from .conftest import Api, message

RAW = message()


async def test_a_message_is_served_raw_and_stays_unread(api: Api) -> None:
    uid = await api.append(RAW)
    answer = await api.get(f"/folders/INBOX/messages/{uid}")
    assert (answer.status, answer.body) == (200, RAW)
    assert answer.headers["Content-Type"] == "message/rfc822"
    assert answer.headers["Content-Length"] == str(len(RAW))
    assert (await api.get("/folders")).json["folders"][0]["unread"] == 1


async def test_head_tells_the_size_without_the_message(api: Api) -> None:
    uid = await api.append(RAW)
    answer = await api.call("HEAD", f"/folders/INBOX/messages/{uid}")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["Content-Length"] == str(len(RAW))


@pytest.mark.parametrize("prefix", ["", "W/", '"x", '])
async def test_a_known_etag_is_304(api: Api, prefix: str) -> None:
    uid = await api.append(RAW)
    path = f"/folders/INBOX/messages/{uid}"
    etag = (await api.get(path)).headers["ETag"]
    answer = await api.get(path, headers={"If-None-Match": prefix + etag})
    assert (answer.status, answer.body) == (304, b"")
    assert (await api.get(path, headers={"If-None-Match": '"other"'})).status == 200


@pytest.mark.parametrize(
    ("asked", "status", "part"),
    [
        ("bytes=0-9", 206, RAW[:10]),
        ("bytes=10-", 206, RAW[10:]),
        ("bytes=-5", 206, RAW[-5:]),
        ("bytes=5-99999", 206, RAW[5:]),
        ("bytes=99999-", 416, None),
        ("bytes=-0", 416, None),
        ("bytes=0-1,4-5", 200, RAW),
        ("lines=1-2", 200, RAW),
        ("bytes=x", 200, RAW),
    ],
)
async def test_a_range_is_served(api: Api, asked: str, status: int, part: bytes | None) -> None:
    uid = await api.append(RAW)
    answer = await api.get(f"/folders/INBOX/messages/{uid}", headers={"Range": asked})
    assert answer.status == status
    if part is not None:
        assert answer.body == part
    if status == 206:
        start = RAW.index(part) if part else 0
        expected = f"bytes {start}-{start + len(answer.body) - 1}/{len(RAW)}"
        assert answer.headers["Content-Range"] == expected
    if status == 416:
        assert answer.headers["Content-Range"] == f"bytes */{len(RAW)}"


async def test_a_range_of_another_version_gives_the_whole_message(api: Api) -> None:
    uid = await api.append(RAW)
    headers = {"Range": "bytes=0-1", "If-Range": '"other"'}
    answer = await api.get(f"/folders/INBOX/messages/{uid}", headers=headers)
    assert (answer.status, answer.body) == (200, RAW)


async def test_a_deleted_message_is_gone_and_its_uid_never_comes_back(api: Api) -> None:
    uid = await api.append(RAW)
    path = f"/folders/INBOX/messages/{uid}"
    answer = await api.call("DELETE", path)
    assert (answer.status, answer.json) == (200, {"deleted": uid})
    assert (await api.get(path)).status == 404
    assert (await api.call("DELETE", path)).status == 404
    assert await api.append(RAW) > uid


@pytest.mark.parametrize(
    "uid",
    ["0", "-1", "x", "1.0", "99999999999999999999", "4294967296", "4294967295", "%31%30", "%D9%A3"],
)
async def test_what_is_not_a_uid_here_is_404(api: Api, uid: str) -> None:
    await api.append(RAW)
    path = f"/folders/INBOX/messages/{uid}"
    for method, body in (("GET", None), ("DELETE", None), ("PATCH", {"flags": []})):
        answer = await api.call(method, path + ("/flags" if body else ""), body)
        assert answer.status == 404


async def test_messages_of_others_are_out_of_reach(api: Api) -> None:
    uid = await api.append(RAW)
    assert (await api.get(f"/folders/INBOX/messages/{uid}", user="bob")).status == 404
