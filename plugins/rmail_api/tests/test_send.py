"""POST /messages/send."""

from __future__ import annotations

import base64
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP
from typing import Any

import pytest

from .conftest import Api

DRAFT: dict[str, Any] = {"to": ["bob@example.com"], "subject": "Hello", "body": "Message body."}


async def _received(api: Api, user: str = "bob", folder: str = "INBOX") -> EmailMessage:
    (raw,) = await api.server.messages(user, folder)
    parsed = message_from_bytes(raw, policy=SMTP)
    assert isinstance(parsed, EmailMessage)
    return parsed


async def test_a_message_reaches_a_local_recipient_and_sent(api: Api) -> None:
    answer = await api.post("/messages/send", DRAFT)
    assert answer.status == 200
    assert answer.json["recipients"] == [{"address": "bob@example.com", "status": "stored"}]
    got = await _received(api)
    assert (got["From"], got["To"]) == ("alice@example.com", "bob@example.com")
    assert (got["Subject"], got["Message-ID"]) == ("Hello", answer.json["message_id"])
    assert got.get_content() == "Message body.\r\n"
    assert len(got.get_all("Date", [])) == len(got.get_all("Message-ID", [])) == 1
    copy = await _received(api, "alice", "Sent")
    assert copy["Message-ID"] == got["Message-ID"]
    (one,) = (await api.get("/folders/Sent/messages")).json["messages"]
    assert (one["flags"], one["uid"]) == (["\\Seen"], answer.json["sent"]["uid"])


async def test_copies_reach_everyone_once_and_bcc_shows_to_nobody(api: Api) -> None:
    await api.server.add_user("carol")
    draft = DRAFT | {
        "to": ["Bob B. <bob@example.com>"],
        "cc": ["carol@example.com", "BOB@example.com"],
        "bcc": ["admin@example.com"],
    }
    answer = await api.post("/messages/send", draft)
    assert [one["address"] for one in answer.json["recipients"]] == [
        "bob@example.com",
        "carol@example.com",
        "admin@example.com",
    ]
    for user in ("bob", "carol", "admin"):
        got = await _received(api, user)
        assert got["Bcc"] is None
        assert got["To"] == '"Bob B." <bob@example.com>'
        assert got["Cc"] == "carol@example.com, BOB@example.com"
    assert (await _received(api, "alice", "Sent"))["Bcc"] == "admin@example.com"


async def test_html_and_attachments_become_parts(api: Api) -> None:
    content = bytes(range(256)) * 4
    draft = DRAFT | {
        "body": "Grüße\nzwei",
        "html": "<p>Grüße</p>",
        "attachments": [
            {
                "filename": "Übersicht.pdf",
                "content_type": "application/pdf",
                "content": base64.b64encode(content).decode(),
            }
        ],
    }
    assert (await api.post("/messages/send", draft)).status == 200
    got = await _received(api)
    plain, html = got.get_body(["plain"]), got.get_body(["html"])
    assert isinstance(plain, EmailMessage)
    assert isinstance(html, EmailMessage)
    assert plain.get_content() == "Grüße\r\nzwei\r\n"
    assert html.get_content() == "<p>Grüße</p>\r\n"
    (attached,) = got.iter_attachments()
    assert isinstance(attached, EmailMessage)
    assert attached.get_filename() == "Übersicht.pdf"
    assert attached.get_content() == content
    raw = (await api.server.messages("bob"))[0]
    assert raw.isascii()
    assert b"\n" not in raw.replace(b"\r\n", b"")
    assert max(map(len, raw.split(b"\r\n"))) <= 998


async def test_a_reply_names_its_thread(api: Api) -> None:
    ids = [f"<{n}.{'x' * 60}@example.net>" for n in range(5)]
    await api.post("/messages/send", DRAFT | {"in_reply_to": ids[-1], "references": ids})
    got = await _received(api)
    assert got["In-Reply-To"] == ids[-1]
    assert got["References"].split() == ids


async def test_the_parent_is_the_reference_when_none_are_given(api: Api) -> None:
    await api.post("/messages/send", DRAFT | {"in_reply_to": "<1@example.net>"})
    assert (await _received(api))["References"] == "<1@example.net>"


@pytest.mark.parametrize("subject", ["Grüße", "x" * 990, "日本語" * 100, "a " * 400])
async def test_any_subject_survives_the_way(api: Api, subject: str) -> None:
    await api.post("/messages/send", DRAFT | {"subject": subject})
    assert (await _received(api))["Subject"].strip() == subject.strip()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"to": []}, "to"),
        ({"to": "bob@example.com"}, "to"),
        ({"to": [1]}, "to[0]"),
        ({"to": ["bob"]}, "to"),
        ({"to": ["a@example.com, b@example.com"]}, "to"),
        ({"to": ["bob@example.com\r\nX: y"]}, "to"),
        ({"to": ["bob@exa mple.com"]}, "to"),
        ({"to": ["friends: bob@example.com;"]}, "to"),
        ({"to": ["bob@example.com"] * 101}, "to, cc, bcc"),
        ({"cc": ["@"]}, "cc"),
        ({"bcc": [""]}, "bcc"),
        ({"subject": "a\nBcc: x@example.com"}, "subject"),
        ({"subject": "a\x00b"}, "subject"),
        ({"subject": "x" * 2001}, "subject"),
        ({"subject": 1}, "subject"),
        ({"body": "a\x00b"}, "body"),
        ({"html": "a\x00b"}, "html"),
        ({"in_reply_to": "1@example.com"}, "in_reply_to"),
        ({"in_reply_to": "<a b@example.com>"}, "in_reply_to"),
        ({"references": ["<a@b>\r\nX: y"]}, "references"),
        ({"references": ["<a@b>"] * 101}, "references"),
        ({"attachments": [{"filename": "a"}]}, "attachments[0].content"),
        ({"attachments": [{"filename": "a", "content": "%%"}]}, "attachments[0].content"),
        ({"attachments": [{"filename": "a\nb", "content": ""}]}, "attachments[0].filename"),
        (
            {"attachments": [{"filename": "a", "content": "", "content_type": "x"}]},
            "attachments[0].content_type",
        ),
        (
            {"attachments": [{"filename": "a", "content": "", "content_type": "message/rfc822"}]},
            "attachments[0].content_type",
        ),
        ({"from": "bob@example.com"}, "from"),
    ],
)
async def test_a_bad_field_is_400_names_it_and_sends_nothing(
    api: Api, change: dict[str, Any], field: str
) -> None:
    answer = await api.post("/messages/send", DRAFT | change)
    assert (answer.status, answer.error.split(": ")[0]) == (400, field)
    assert await api.server.messages("bob") == []
    assert await api.server.messages("alice", "Sent") == []


@pytest.mark.parametrize("refused", ["nobody@example.com", "someone@elsewhere.test"])
async def test_all_recipients_are_accepted_or_none(api: Api, refused: str) -> None:
    answer = await api.post("/messages/send", DRAFT | {"to": ["bob@example.com", refused]})
    assert answer.status == 400
    assert answer.error.startswith(f"{refused}: ")
    (one,) = answer.json["recipients"]
    assert (one["address"], one["status"]) == (refused, "rejected")
    assert await api.server.messages("bob") == []
    assert await api.server.messages("alice", "Sent") == []


async def test_a_repeated_request_with_its_key_is_one_operation(api: Api) -> None:
    headers = {"Idempotency-Key": "order-17"}
    first = await api.post("/messages/send", DRAFT, headers=headers)
    second = await api.post("/messages/send", DRAFT, headers=headers)
    assert first.json["message_id"] == second.json["message_id"]
    assert first.json["sent"] == second.json["sent"]
    assert len(await api.server.messages("bob")) == 1
    assert len(await api.server.messages("alice", "Sent")) == 1
    await api.post(
        "/messages/send", DRAFT | {"to": ["bob@example.com"]}, user="admin", headers=headers
    )
    assert len(await api.server.messages("bob")) == 2


@pytest.mark.parametrize("key", ["", "x" * 201])
async def test_a_bad_idempotency_key_is_400(api: Api, key: str) -> None:
    answer = await api.post("/messages/send", DRAFT, headers={"Idempotency-Key": key})
    assert answer.status == 400


@pytest.mark.parametrize(
    "rmail_settings", [{"api": {"max_message_bytes": 4000, "max_send_bytes": 8000}}]
)
@pytest.mark.parametrize("size", [5000, 9000])
async def test_a_message_too_large_to_send_is_413(api: Api, size: int) -> None:
    assert (await api.post("/messages/send", DRAFT | {"body": "x " * (size // 2)})).status == 413
    assert await api.server.messages("bob") == []


async def test_a_full_mailbox_of_the_sender_costs_only_the_copy(api: Api) -> None:
    await api.call("PATCH", "/admin/users/alice", {"quota_mb": 1}, user="admin")
    await api.append(b"Subject: x\r\n\r\n" + b"x" * 1_000_000)
    answer = await api.post("/messages/send", DRAFT | {"body": "y" * 100_000})
    assert (answer.status, answer.json["sent"]) == (200, None)
    assert len(await api.server.messages("bob")) == 1


async def test_an_alias_is_a_recipient(api: Api) -> None:
    await api.post("/aliases", {"pattern": "sales-.*", "target": "bob"}, user="admin")
    answer = await api.post("/messages/send", DRAFT | {"to": ["sales-eu@example.com"]})
    assert (answer.status, len(await api.server.messages("bob"))) == (200, 1)
