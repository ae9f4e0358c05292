"""GET /folders."""

from __future__ import annotations

from .conftest import Api, message


async def test_folders_carry_their_counts_inbox_first(api: Api) -> None:
    await api.append(message())
    uid = await api.append(message())
    await api.call("PATCH", f"/folders/INBOX/messages/{uid}/flags", {"flags": ["\\Seen"]})
    folders = (await api.get("/folders")).json["folders"]
    assert folders[0] == {"name": "INBOX", "total": 2, "unread": 1}
    names = [folder["name"] for folder in folders]
    assert {"Drafts", "Sent", "Trash"} <= set(names)
    assert names[1:] == sorted(names[1:])


async def test_everyone_sees_their_own_folders(api: Api) -> None:
    await api.append(message())
    folders = (await api.get("/folders", user="bob")).json["folders"]
    assert folders[0]["total"] == 0
