"""PATCH /folders/{folder}/messages/{uid}/flags."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import Api, message


async def _flags(api: Api) -> list[str]:
    (one,) = (await api.get("/folders/INBOX/messages")).json["messages"]
    found: list[str] = one["flags"]
    return found


async def test_flags_are_replaced_not_added(api: Api) -> None:
    uid = await api.append(message())
    path = f"/folders/INBOX/messages/{uid}/flags"
    answer = await api.call("PATCH", path, {"flags": ["\\Seen", "\\Flagged"]})
    assert (answer.status, answer.json) == (200, {"uid": uid, "flags": ["\\Flagged", "\\Seen"]})
    assert sorted(await _flags(api)) == ["\\Flagged", "\\Seen"]
    answer = await api.call("PATCH", path, {"flags": ["\\Answered", "$Forwarded"]})
    assert sorted(await _flags(api)) == ["$Forwarded", "\\Answered"]
    assert (await api.call("PATCH", path, {"flags": []})).json["flags"] == []
    assert await _flags(api) == []


async def test_system_flags_have_one_spelling(api: Api) -> None:
    uid = await api.append(message())
    path = f"/folders/INBOX/messages/{uid}/flags"
    answer = await api.call("PATCH", path, {"flags": ["\\SEEN", "\\seen"]})
    assert answer.json["flags"] == ["\\Seen"]


@pytest.mark.parametrize(
    "body",
    [
        {"flags": ["\\Recent"]},
        {"flags": ["\\Nonsense"]},
        {"flags": [""]},
        {"flags": ["two words"]},
        {"flags": ["(x)"]},
        {"flags": ["x" * 1000]},
        {"flags": ["new\nline"]},
        {"flags": [f"k{n}" for n in range(65)]},
        {"flags": "\\Seen"},
        {"flags": [1]},
        {"flags": None},
        {},
        {"flags": [], "mode": "add"},
    ],
)
async def test_bad_flags_are_400_and_change_nothing(api: Api, body: Any) -> None:
    uid = await api.append(message())
    await api.call("PATCH", f"/folders/INBOX/messages/{uid}/flags", {"flags": ["\\Draft"]})
    answer = await api.call("PATCH", f"/folders/INBOX/messages/{uid}/flags", body)
    assert answer.status == 400
    assert await _flags(api) == ["\\Draft"]
