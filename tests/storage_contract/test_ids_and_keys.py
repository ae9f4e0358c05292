"""EMAILID, THREADID, previews and the keys of SORT and THREAD. RFC 8474, RFC 8970, RFC 5256."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from rmail_kernel.casemap import casemap
from rmail_kernel.content import Content
from rmail_kernel.storage.ids import MailboxId, Uid
from rmail_kernel.storage.mail import AppendItem, Column, Fetched, Field
from rmail_kernel.storage.search import HasEmailId, HasThreadId, Not, Or
from tests.storage_contract.rig import ALICE, BOB, MESSAGE, Opened, item
from tests.storage_contract.test_messages import fetched

INBOX = MailboxId(1)
OBJECT_ID = re.compile(r"[A-Za-z0-9_-]{1,255}")  # RFC 8474 7
ALL = Field.IDS | Field.PREVIEW | Field.KEYS


def message(name: str, *references: str, subject: str = "Hello") -> bytes:
    """A message with these ids."""
    field = f"References: {' '.join(f'<{one}@x>' for one in references)}\r\n"
    return (
        f"From: Ann <ann@example.org>\r\nSubject: {subject}\r\nMessage-ID: <{name}@x>\r\n"
        f"{field if references else ''}\r\nText of {name}.\r\n"
    ).encode()


async def threads(store: Opened, *uids: int, mailbox: str = "INBOX") -> list[str]:
    """The THREADIDs of some messages."""
    found = await fetched(store, list(uids), Field.IDS, mailbox)
    return [str(one.thread_id) for one in found]


async def test_ids_have_the_form_that_clients_expect(store: Opened) -> None:
    await store.put(item(), item(b""))
    for one in await fetched(store, [1, 2], Field.IDS):
        assert OBJECT_ID.fullmatch(one.email_id or "")
        assert OBJECT_ID.fullmatch(one.thread_id or "")
        assert (one.preview, one.keys) == (None, None)


async def test_copies_and_moved_messages_keep_their_ids(store: Opened) -> None:
    await store.put(item(message("a")), item(message("b")))
    before = await fetched(store, [1, 2], Field.IDS)
    await store.mail.copy(ALICE, INBOX, [Uid(1)], "Archive")
    await store.mail.move(ALICE, INBOX, [Uid(2)], "Archive")
    after = await fetched(store, [1, 2], ALL, "Archive")
    assert [(one.email_id, one.thread_id) for one in after] == [
        (one.email_id, one.thread_id) for one in before
    ]
    assert before[0].email_id != before[1].email_id
    assert all(one.keys and one.preview for one in after)


async def test_another_internaldate_is_another_email(store: Opened) -> None:
    day = datetime(2020, 1, 1, tzinfo=UTC)
    dates = [day, day, day + timedelta(seconds=1)]
    content = Content.of(message("a"))
    await store.put(*(AppendItem("INBOX", content, internal_date=date) for date in dates))
    first, second, third = [one.email_id for one in await fetched(store, [1, 2, 3], Field.IDS)]
    assert first == second != third
    assert len(set(await threads(store, 1, 2, 3))) == 1


async def test_a_reply_joins_the_thread_of_its_parent_in_any_mailbox(store: Opened) -> None:
    await store.put(item(message("a")), item(message("other")))
    await store.put(item(message("b", "a", subject="quite another"), mailbox="Sent"))
    await store.put(item(message("c", "b")))
    first, other, third = await threads(store, 1, 2, 3)
    assert first == third == (await threads(store, 1, mailbox="Sent"))[0]
    assert other != first
    await store.put(item(message("a"), mailbox="INBOX"), account=BOB)


async def test_in_reply_to_alone_makes_a_thread(store: Opened) -> None:
    reply = message("b").replace(b"Subject", b"In-Reply-To: <a@x>\r\nSubject")
    await store.put(item(message("a")), item(reply))
    assert len(set(await threads(store, 1, 2))) == 1


async def test_a_thread_that_arrives_backwards_is_one(store: Opened) -> None:
    for raw in (message("c", "a", "b"), message("b", "a"), message("a")):
        await store.put(item(raw))
    assert len(set(await threads(store, 1, 2, 3))) == 1


async def test_a_thread_id_never_changes(store: Opened) -> None:
    await store.put(item(message("a")), item(message("b")))
    before = await threads(store, 1, 2)
    await store.put(item(message("c", "a", "b")))  # belongs to both
    assert await threads(store, 1, 2) == before
    assert (await threads(store, 3))[0] == before[1]


async def test_equal_subjects_make_no_thread(store: Opened) -> None:
    await store.put(item(message("a")), item(message("b", subject="Re: Hello")))
    assert len(set(await threads(store, 1, 2))) == 2


async def test_more_references_than_are_looked_up_still_reach_the_first(store: Opened) -> None:
    await store.put(item(message("r0")))
    await store.put(item(message("last", *(f"r{n}" for n in range(300)))))
    assert len(set(await threads(store, 1, 2))) == 1


async def test_messages_without_ids_are_threads_of_their_own(store: Opened) -> None:
    await store.put(item(MESSAGE), item(MESSAGE + b"x"), item(MESSAGE))
    first, second, third = await threads(store, 1, 2, 3)
    assert first == third != second


async def test_the_preview_is_short_decoded_text(store: Opened) -> None:
    html = (
        b"Content-Type: text/html; charset=utf-8\r\n\r\n<style>x</style><p>Gr\xc3\xbc\xc3\x9fe</p>"
    )
    await store.put(item(message("a")), item(html), item(b""), item(b"A: b\r\n\r\n" + b"ab " * 500))
    found = [one.preview for one in await fetched(store, [1, 2, 3, 4], Field.PREVIEW)]
    assert found[:3] == ["Text of a.", "Grüße", ""]
    assert len(found[3] or "") in (199, 200)


async def test_keys_are_those_of_the_message(store: Opened) -> None:
    await store.put(item(message("b", "a", subject="Re: [x] Hello")))
    (one,) = await fetched(store, [1], Field.KEYS)
    assert one.keys is not None
    assert one.keys.sent_at == one.internal_date
    assert (one.keys.message_id, one.keys.references) == ("b@x", ("a@x",))
    assert (one.keys.base_subject, one.keys.is_reply) == ("Hello", True)
    assert (one.keys.from_mailbox, one.keys.from_name) == ("ann", "Ann")
    assert one.email_id is None


async def test_columns_are_what_the_messages_have(store: Opened) -> None:
    await store.put(
        item(message("a", subject="Hello")),
        item(MESSAGE),
        item(message("b", "a", "hello", subject="Re: h=?utf-8?q?=C3=A9?=")),
        item(message("c", "a", subject="HELLO")),
    )
    await store.mail.expunge(ALICE, INBOX, [Uid(2)], only_deleted=False)
    rows = await fetched(store, [1, 3, 4], Field.KEYS)
    keys = [row.keys for row in rows if row.keys is not None]
    subjects = [casemap(one.base_subject) for one in keys]
    wanted: dict[Column, list[object]] = {
        Column.SIZE: [row.size_bytes for row in rows],
        Column.MODSEQ: [row.modseq for row in rows],
        Column.ARRIVAL: [int(row.internal_date.timestamp()) for row in rows],
        Column.SENT: [int(one.sent_at.timestamp()) for one in keys],
        Column.SUBJECT: [*subjects],
        Column.IS_REPLY: [False, True, False],
        Column.MESSAGE_ID: ["a@x", "b@x", "c@x"],
        Column.REFERENCES: ["", "a@x<hello@x", "a@x"],
        Column.FROM: ["ANN"] * 3,
        Column.TO: [""] * 3,
        Column.CC: [""] * 3,
        Column.FROM_NAME: ["ANN"] * 3,
        Column.TO_NAME: [""] * 3,
    }
    assert wanted.keys() == set(Column)
    for asked in ([*Column], [*Column][::-1], [*Column][:3], *([one] for one in Column), []):
        found = await store.mail.columns(ALICE, INBOX, [1, 2, 3, 4, 9], asked)
        assert found.uids == [1, 3, 4]
        assert found.values == [wanted[one] for one in asked]
    assert (await store.mail.columns(ALICE, INBOX, [], [Column.CC])).uids == []


async def test_a_search_finds_messages_by_their_ids(store: Opened) -> None:
    await store.put(item(message("a")), item(message("b")), item(message("c", "a")))
    found: list[Fetched] = await fetched(store, [1, 2, 3], Field.IDS)
    by_thread = HasThreadId(found[0].thread_id or "")
    by_email = HasEmailId(found[1].email_id or "")

    async def search(query: Not | Or | HasThreadId | HasEmailId) -> list[int]:
        return [int(uid) for uid in await store.mail.search(ALICE, INBOX, query)]

    assert await search(by_thread) == [1, 3]
    assert await search(by_email) == [2]
    assert await search(Or((by_thread, by_email))) == [1, 2, 3]
    assert await search(Not(by_thread)) == [2]


@pytest.mark.parametrize("text", ["", "x", "E00", "T0000000000000000", "E" + "0" * 32, "ä"])
async def test_an_unknown_id_finds_nothing(store: Opened, text: str) -> None:
    await store.put(item())
    assert await store.mail.search(ALICE, INBOX, Or((HasEmailId(text), HasThreadId(text)))) == []
