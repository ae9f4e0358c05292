"""Values that are kept: told as they were the first time, never of what is not there."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING

from rmail_imap.parse.fetch import BodyItem
from rmail_imap.value_cache import MAX_VALUE_BYTES, Key, ValueCache

from rmail_kernel.mime import Section
from rmail_kernel.storage.ids import AccountId, MailboxId

if TYPE_CHECKING:
    from plugins.rmail_imap.tests.conftest import Connect, Fill

_LINE = b"Subject: s%d\r\n\r\nbody\r\n"
_ASKED = "(FLAGS BODY.PEEK[HEADER.FIELDS (Subject)])"


def _key(mailbox: int) -> Key:
    item = BodyItem(Section(), b"BODY[]", sets_seen=False)
    return AccountId("alice@example.com"), 1, MailboxId(mailbox), 1, (item,)


async def test_a_second_fetch_says_the_same_to_every_session(connect: Connect, fill: Fill) -> None:
    await fill([_LINE % n for n in range(1, 4)])
    first, second = await connect("INBOX"), await connect("INBOX")
    for client in (first, second, first):
        await client.send(f"b FETCH 1:* {_ASKED}\r\n".encode())
        told = await client.until("b OK *")
        assert [line for line in told if "Subject: " in line] == [
            f"Subject: s{n}" for n in (1, 2, 3)
        ]


async def test_what_was_expunged_is_left_out(connect: Connect, fill: Fill) -> None:
    await fill([_LINE % n for n in range(1, 4)])
    client = await connect("INBOX")
    await client.send(f"a FETCH 1:* {_ASKED}\r\n".encode())
    await client.until("a OK *")
    await client.run("""
        C: b STORE 2 +FLAGS.SILENT (\\Deleted)
        S: b OK *
        C: c EXPUNGE
        S: * 2 EXPUNGE
        S: c OK *
    """)
    await client.send(f"d FETCH 1:* {_ASKED}\r\n".encode())
    told = await client.until("d OK *")
    assert [line for line in told if "Subject: " in line] == ["Subject: s1", "Subject: s3"]


async def test_a_fetch_that_sets_seen_sets_it_each_time(connect: Connect, fill: Fill) -> None:
    await fill([_LINE % 1])
    client = await connect("INBOX")
    for tag in ("a", "b"):
        await client.run(f"""
            C: {tag} STORE 1 FLAGS.SILENT ()
            S: {tag} OK *
        """)
        await client.send(b"c FETCH 1 BODY[HEADER.FIELDS (Subject)]\r\n")
        told = await client.until("c OK *")
        assert any("\\Seen" in line for line in told)


async def test_flags_beside_what_is_kept_are_those_of_now(connect: Connect, fill: Fill) -> None:
    await fill([_LINE % 1])
    client = await connect("INBOX")
    asked = "(UID FLAGS ENVELOPE INTERNALDATE RFC822.SIZE BODYSTRUCTURE)"
    told = []
    for tag in ("a", "b"):
        await client.send(f"{tag} FETCH 1 {asked}\r\n".encode())
        told.append((await client.until(f"{tag} OK *"))[0])
        await client.run(f"""
            C: {tag} STORE 1 +FLAGS.SILENT (\\Flagged)
            S: {tag} OK *
        """)
    assert told[0].replace("FLAGS (", "FLAGS (\\Flagged ", 1).replace(" )", ")") == told[1]


async def test_messages_that_came_since_are_told_beside_what_is_kept(
    connect: Connect, fill: Fill
) -> None:
    client = await connect("INBOX")
    for count in (1, 3):
        await fill([_LINE % n for n in range(count)])
        await client.send(b"a NOOP\r\n")
        await client.until("a OK *")
        await client.send(b"b FETCH 1:* (UID RFC822.SIZE)\r\n")
        told = await client.until("b OK *")
    assert sorted(told)[:4] == [f"* {n} FETCH (UID {n} RFC822.SIZE 21)" for n in range(1, 5)]


def test_the_lists_used_least_recently_make_room() -> None:
    cache = ValueCache(max_bytes=8000)
    for mailbox in range(1, 4):
        cache.put(_key(mailbox), [1], [b"x" * 200])
        assert cache.size_bytes <= 8000
    assert cache.get(_key(1), [1]) == [b"x" * 200]
    cache.put(_key(4), [1], [b"x" * 200])
    assert cache.get(_key(2), [1]) == [None]
    assert cache.get(_key(1), [1]) == [b"x" * 200]
    cache.put(_key(5), range(100), [b"x" * 200] * 100)
    assert cache.size_bytes <= 8000


def test_long_values_are_not_kept() -> None:
    cache = ValueCache()
    cache.put(_key(1), [1, 2], [b"x", b"x" * (MAX_VALUE_BYTES + 1)])
    assert cache.get(_key(1), [1]) == [b"x"]
    assert cache.get(_key(1), [1, 2]) == [b"x", None]


def test_lists_without_a_value_take_no_more_than_there_is_room_for() -> None:
    most, cache = 1 << 20, ValueCache(max_bytes=1 << 20)
    section = Section(kind="HEADER.FIELDS", fields=(b"Subject",) * 20)
    tracemalloc.start()
    try:
        for first in range(2000):
            label = b"BODY[HEADER.FIELDS (%b)]<%d>" % (b" ".join(section.fields), first)
            item = BodyItem(section, label, False, (first, 9))
            cache.put((*_key(1)[:-1], (item,)), [1], [b"x" * (MAX_VALUE_BYTES + 1)])
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert cache.size_bytes <= most
    assert taken < most
