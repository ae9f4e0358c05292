"""Appending and reading messages."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta, timezone

import pytest

from rmail_kernel.content import Content, ContentWriter
from rmail_kernel.errors import Invalid, NotFound
from rmail_kernel.mime import decode_structure
from rmail_kernel.storage.ids import MailboxId, Uid
from rmail_kernel.storage.mail import AppendItem, Fetched, Field
from tests.storage_contract.rig import ALICE, MESSAGE, Opened, item

ALL = (
    Field.ENVELOPE
    | Field.BODY
    | Field.BODYSTRUCTURE
    | Field.HEADERS
    | Field.STRUCTURE
    | Field.CONTENT
)


async def fetched(
    store: Opened, uids: list[int], fields: Field = Field.NONE, mailbox: str = "INBOX"
) -> list[Fetched]:
    """All of some messages."""
    box = (await store.mail.status(ALICE, mailbox)).id
    wanted = [Uid(uid) for uid in uids]
    return [one async for some in store.mail.fetch(ALICE, box, wanted, fields) for one in some]


async def test_append_answers_with_ascending_uids_and_one_modseq(store: Opened) -> None:
    first = await store.put(item(), item(mailbox="Sent"), item())
    second = await store.put(item())
    assert [one.uid for one in first] == [1, 1, 2]
    assert len({one.modseq for one in first}) == 1
    assert second[0].uid == 3
    assert second[0].modseq > first[0].modseq
    status = await store.mail.status(ALICE, "INBOX")
    assert (status.total, status.unseen, status.uidnext) == (3, 3, 4)
    assert status.highestmodseq == second[0].modseq
    assert status.uidvalidity == first[0].uidvalidity
    assert status.size_bytes == 3 * len(MESSAGE)


async def test_appending_nothing_is_nothing(store: Opened) -> None:
    assert await store.mail.append(ALICE, []) == []


async def test_counters_follow_the_flags_of_new_messages(store: Opened) -> None:
    await store.put(item(MESSAGE, "\\Seen"), item(MESSAGE, "\\deleted"), item())
    status = await store.mail.status(ALICE, "INBOX")
    assert (status.total, status.unseen, status.deleted, status.recent) == (3, 2, 1, 3)


async def test_all_fields_of_a_message_can_be_read(store: Opened) -> None:
    await store.put(item(MESSAGE, "\\Seen", "$Work"))
    (one,) = await fetched(store, [1], ALL)
    assert (one.uid, one.size_bytes) == (1, len(MESSAGE))
    assert one.raw_envelope is not None
    assert b'"Hello"' in one.raw_envelope
    assert one.raw_body is not None
    assert one.raw_bodystructure is not None
    assert one.raw_headers is not None
    assert b"Subject: Hello\r\n" in one.raw_headers
    assert one.has_all_headers
    assert one.raw_structure is not None
    assert decode_structure(one.raw_structure).type == "text"
    assert one.content is not None
    assert await one.content.read() == MESSAGE
    assert one.content.size == len(MESSAGE)


async def test_fields_that_were_not_asked_for_are_none(store: Opened) -> None:
    await store.put(item())
    (one,) = await fetched(store, [1], Field.ENVELOPE)
    assert one.raw_envelope is not None
    assert (one.raw_body, one.raw_headers, one.raw_structure, one.content) == (None,) * 4
    (bare,) = await fetched(store, [1])
    assert bare.raw_envelope is None


async def test_dates_are_kept_to_the_second_in_utc(store: Opened) -> None:
    zone = timezone(timedelta(hours=-5))
    dates = [
        datetime(2001, 9, 9, 1, 46, 40, 999_999, zone),
        datetime(1969, 7, 20, 20, 17, tzinfo=UTC),
        datetime(2105, 1, 1, tzinfo=UTC),
    ]
    content = Content.of(MESSAGE)
    await store.put(*(AppendItem("INBOX", content, internal_date=date) for date in dates))
    found = [one.internal_date for one in await fetched(store, [1, 2, 3])]
    assert found == [date.astimezone(UTC).replace(microsecond=0) for date in dates]
    assert all(date.tzinfo is UTC for date in found)


async def test_without_a_date_it_is_now_and_save_date_always_is(store: Opened) -> None:
    await store.put(item())
    (one,) = await fetched(store, [1])
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert (one.internal_date, one.save_date) == (now, now)


async def test_uids_that_do_not_exist_are_left_out_and_order_is_by_uid(store: Opened) -> None:
    await store.put(*(item() for _ in range(5)))
    found = await fetched(store, [9, 4, 2, 4_000_000_000, 1])
    assert [one.uid for one in found] == [1, 2, 4]
    assert await fetched(store, []) == []


async def test_many_messages_come_in_batches(store: Opened) -> None:
    await store.put(*(item() for _ in range(250)))
    box = (await store.mail.status(ALICE, "INBOX")).id
    wanted = [Uid(uid) for uid in range(1, 251)]
    for fields in (Field.NONE, Field.ENVELOPE, Field.CONTENT):
        batches = [some async for some in store.mail.fetch(ALICE, box, wanted, fields)]
        assert [one.uid for some in batches for one in some] == wanted
        assert len(batches) > 1


async def test_contents_of_one_batch_take_little_memory(store: Opened) -> None:
    await store.put(*(item(b"A: b\r\n\r\n" + b"x" * 200_000) for _ in range(14)))
    box = (await store.mail.status(ALICE, "INBOX")).id
    wanted = [Uid(uid) for uid in (*range(1, 8), 9, 11, 14, 20)]
    batches = [some async for some in store.mail.fetch(ALICE, box, wanted, Field.CONTENT)]
    assert [one.uid for some in batches for one in some] == wanted[:-1]
    assert max(sum(one.size_bytes for one in some) for some in batches) <= 1 << 20


async def test_an_unknown_mailbox_is_not_found_and_nothing_is_stored(store: Opened) -> None:
    with pytest.raises(NotFound):
        await store.put(item(), item(mailbox="Nothing"))
    assert (await store.mail.status(ALICE, "INBOX")).total == 0
    assert (await store.mail.quota(ALICE)).used_bytes == 0
    for name in ("Nothing", MailboxId(999)):
        with pytest.raises(NotFound):
            await store.mail.view(ALICE, name)


async def test_delivery_creates_the_mailbox_with_its_parents(store: Opened) -> None:
    await store.put(item(mailbox="Lists/Python", create=True), item(mailbox="inbox", create=True))
    assert (await store.mail.status(ALICE, "Lists/Python")).total == 1
    assert (await store.mail.status(ALICE, "Lists")).total == 0


@pytest.mark.parametrize("flag", ["\\Recent", "\\Other", "", "a b", "ü", "x(", "a" * 101, "a\\b"])
async def test_a_bad_flag_is_invalid_and_nothing_is_stored(store: Opened, flag: str) -> None:
    with pytest.raises(Invalid):
        await store.put(item(), item(MESSAGE, flag))
    assert (await store.mail.status(ALICE, "INBOX")).total == 0
    assert (await store.mail.view(ALICE, "INBOX")).total == 0


async def test_a_large_message_is_stored_and_read_in_pieces(store: Opened) -> None:
    line = b"0123456789abcdef" * 4 + b"\r\n"
    with ContentWriter() as writer:
        writer.write(MESSAGE)
        for _ in range(60):
            writer.write(line * 1000)
        content = writer.finish().with_added_header("X-Added", "yes")
    await store.put(AppendItem("INBOX", content))
    (one,) = await fetched(store, [1], ALL)
    reader = one.content
    assert reader is not None
    assert reader.size == content.size == one.size_bytes
    assert await reader.read(0, 14) == b"X-Added: yes\r\n"
    assert await reader.read(content.size - 66) == line
    assert await reader.read(content.size, None) == b""
    assert await reader.read(content.size - 2, content.size + 100) == b"\r\n"
    assert await reader.read() == content.read()
    await store.mail.expunge(ALICE, MailboxId(1), [Uid(1)], only_deleted=False)
    assert await reader.read(0, 7) == b"X-Added"
    reader.close()
    reader.close()


@pytest.mark.parametrize("raw", [b"", b"\r\n", b"no header", b"\x00\xff\xfe", b"A: b\n\nbare\n"])
async def test_any_bytes_are_a_message(store: Opened, raw: bytes) -> None:
    await store.put(item(raw))
    (one,) = await fetched(store, [1], ALL)
    assert one.content is not None
    assert await one.content.read() == raw


async def test_concurrent_appends_each_get_their_own_uid(store: Opened) -> None:
    found = await asyncio.gather(*(store.put(item(b"X: %d\r\n\r\n" % n)) for n in range(100)))
    uids = [one.uid for some in found for one in some]
    assert sorted(uids) == list(range(1, 101))
    messages = await fetched(store, list(range(1, 101)), Field.CONTENT)
    for n, uid in enumerate(uids):
        content = messages[uid - 1].content
        assert content is not None
        assert await content.read() == b"X: %d\r\n\r\n" % n


async def test_a_cancelled_append_leaves_the_store_whole(store: Opened) -> None:
    tasks = [asyncio.create_task(store.put(item())) for _ in range(20)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await store.put(item())
    view = await store.mail.view(ALICE, "INBOX")
    found = await fetched(store, list(view.uids), Field.CONTENT)
    assert [one.uid for one in found] == list(view.uids[: view.total])
    assert view.total >= 11
