"""Named values of mailboxes and of the account. RFC 5464."""

from __future__ import annotations

import asyncio

import pytest

from rmail_kernel.errors import Conflict, Invalid, NotFound, QuotaExceeded, TooLarge
from rmail_kernel.storage.events import Change
from rmail_kernel.storage.mail import (
    MAX_ALL_ANNOTATIONS_BYTES,
    MAX_ANNOTATION_BYTES,
    MAX_ANNOTATIONS,
)
from tests.storage_contract.rig import ALICE, BOB, Opened, item

COMMENT = "/private/comment"
USE = "/private/specialuse"


async def test_entries_are_kept_by_mailbox_and_account(store: Opened, other: Opened) -> None:
    await store.mail.annotate(ALICE, "INBOX", {COMMENT: b"mine", "/shared/vendor/a/b": b"\x00\xff"})
    await store.mail.annotate(ALICE, None, {COMMENT: "für alle".encode()})
    assert await other.mail.annotations(ALICE, "inbox") == {
        COMMENT: b"mine",
        "/shared/vendor/a/b": b"\x00\xff",
    }
    assert await other.mail.annotations(ALICE, None) == {COMMENT: "für alle".encode()}
    assert await other.mail.annotations(ALICE, "Sent") == {USE: b"\\Sent"}
    assert await other.mail.annotations(BOB, None) == {}


async def test_entries_are_replaced_and_removed(store: Opened) -> None:
    await store.mail.annotate(ALICE, "INBOX", {COMMENT: b"a", "/shared/x": b""})
    await store.mail.annotate(ALICE, "INBOX", {COMMENT: b"b", "/shared/y": None})
    assert await store.mail.annotations(ALICE, "INBOX") == {COMMENT: b"b", "/shared/x": b""}
    await store.mail.annotate(ALICE, "INBOX", {COMMENT: None, "/shared/x": None})
    assert await store.mail.annotations(ALICE, "INBOX") == {}


async def test_names_compare_without_case(store: Opened) -> None:
    await store.mail.annotate(ALICE, None, {"/SHARED/Comment": b"a"})
    await store.mail.annotate(ALICE, None, {"/shared/comment": b"b"})
    assert await store.mail.annotations(ALICE, None) == {"/shared/comment": b"b"}


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/private",
        "/private/",
        "/other/x",
        "private/x",
        "/private//x",
        "/private/x/",
        "/private/*",
        "/private/%",
        "/private/ä",
        "/private/a\n",
        "/privatex/a",
        "/private/" + "a" * 247,
    ],
)
async def test_a_bad_name_is_invalid_and_nothing_is_set(store: Opened, name: str) -> None:
    with pytest.raises(Invalid):
        await store.mail.annotate(ALICE, "INBOX", {COMMENT: b"a", name: b"b"})
    assert await store.mail.annotations(ALICE, "INBOX") == {}


async def test_an_unknown_mailbox_is_not_found(store: Opened) -> None:
    with pytest.raises(NotFound):
        await store.mail.annotate(ALICE, "Nothing", {COMMENT: b"a"})
    with pytest.raises(NotFound):
        await store.mail.annotations(ALICE, "Nothing")


@pytest.mark.parametrize("mailbox", ["INBOX", None])
async def test_a_value_holds_to_the_byte(store: Opened, mailbox: str | None) -> None:
    await store.mail.annotate(ALICE, mailbox, {COMMENT: b"x" * MAX_ANNOTATION_BYTES})
    with pytest.raises(TooLarge) as caught:
        await store.mail.annotate(ALICE, mailbox, {COMMENT: b"x" * (MAX_ANNOTATION_BYTES + 1)})
    assert caught.value.fields["limit_bytes"] == MAX_ANNOTATION_BYTES
    assert len((await store.mail.annotations(ALICE, mailbox))[COMMENT]) == MAX_ANNOTATION_BYTES


@pytest.mark.parametrize("mailbox", ["INBOX", None])
async def test_so_many_entries_and_no_more(store: Opened, mailbox: str | None) -> None:
    full = {f"/private/{n}": b"x" for n in range(MAX_ANNOTATIONS)}
    await store.mail.annotate(ALICE, mailbox, full)
    with pytest.raises(QuotaExceeded):
        await store.mail.annotate(ALICE, mailbox, {"/private/more": b"x", "/private/1": b"y"})
    assert await store.mail.annotations(ALICE, mailbox) == full
    await store.mail.annotate(ALICE, mailbox, {"/private/more": b"x", "/private/1": None})


async def test_all_of_an_account_have_a_limit(store: Opened) -> None:
    """RFC 5464 7: nobody fills the disk with what counts for no quota."""
    full = {f"/private/{n}": b"x" * MAX_ANNOTATION_BYTES for n in range(MAX_ANNOTATIONS)}
    size_bytes = MAX_ANNOTATIONS * MAX_ANNOTATION_BYTES
    names = ["INBOX", *(f"M{n}" for n in range(MAX_ALL_ANNOTATIONS_BYTES // size_bytes))]
    for name in names[1:]:
        await store.mail.create(ALICE, name)
    for name in names[:-1]:
        await store.mail.annotate(ALICE, name, full)
    with pytest.raises(QuotaExceeded):
        await store.mail.annotate(ALICE, names[-1], full)
    with pytest.raises(QuotaExceeded):
        await store.mail.annotate(ALICE, None, full)
    assert await store.mail.annotations(ALICE, names[-1]) == {}
    await store.mail.rename(ALICE, "INBOX", "Old")
    assert await store.mail.annotations(ALICE, "Old") == {}
    await store.mail.annotate(ALICE, "INBOX", dict.fromkeys(full))
    await store.mail.annotate(ALICE, names[-1], full)


async def test_entries_go_with_their_mailbox(store: Opened) -> None:
    await store.mail.create(ALICE, "Work")
    await store.mail.annotate(ALICE, "Work", {COMMENT: b"a"})
    await store.mail.rename(ALICE, "Work", "Done/Work")
    assert await store.mail.annotations(ALICE, "Done/Work") == {COMMENT: b"a"}
    await store.mail.delete(ALICE, "Done/Work")
    await store.mail.create(ALICE, "Done/Work")
    assert await store.mail.annotations(ALICE, "Done/Work") == {}


async def test_entries_of_inbox_are_copied_when_it_is_renamed(store: Opened) -> None:
    await store.mail.annotate(ALICE, "INBOX", {COMMENT: b"a"})
    await store.mail.rename(ALICE, "INBOX", "Old")
    assert await store.mail.annotations(ALICE, "INBOX") == {COMMENT: b"a"}
    assert await store.mail.annotations(ALICE, "Old") == {COMMENT: b"a"}


async def test_the_special_use_is_an_entry(store: Opened, other: Opened) -> None:
    async def uses(opened: Opened) -> dict[str, str]:
        return {
            one.name: one.special_use
            for one in await opened.mail.mailboxes(ALICE)
            if one.special_use in ("\\Sent", "\\Junk")
        }

    await store.mail.create(ALICE, "Work")
    with pytest.raises(Conflict) as caught:
        await store.mail.annotate(ALICE, "Work", {USE: b"\\Sent"})
    assert caught.value.fields["special_use"] == "\\Sent"
    assert await other.mail.annotations(ALICE, "Work") == {}
    await store.mail.annotate(ALICE, "Sent", {USE: None})
    with pytest.raises(Invalid):  # by itself
        await store.mail.annotate(ALICE, "Work", {COMMENT: b"a", USE: b"\\Sent"})
    assert await other.mail.annotations(ALICE, "Work") == {}
    await store.mail.annotate(ALICE, "Work", {COMMENT: b"a"})
    await store.mail.annotate(ALICE, "Work", {USE: b" \\sent "})
    assert await uses(store) == await uses(other) == {"Work": "\\Sent", "Junk": "\\Junk"}
    assert await other.mail.annotations(ALICE, "Work") == {COMMENT: b"a", USE: b"\\Sent"}
    await store.mail.annotate(ALICE, "Work", {USE: b"\\SENT"})
    await store.mail.annotate(ALICE, "Work", {USE: b""})
    assert await uses(other) == {"Junk": "\\Junk"}
    await store.mail.annotate(ALICE, None, {USE: b"means nothing here"})


@pytest.mark.parametrize(
    ("mailbox", "value"),
    [
        ("Archive", b"\\Mystery"),
        ("Archive", b"\\Archive \\Junk"),
        ("Archive", b"Archive"),
        ("Archive", b"\xff"),
        ("INBOX", b"\\Flagged"),
    ],
)
async def test_what_is_no_special_use_is_invalid_and_nothing_is_set(
    store: Opened, mailbox: str, value: bytes
) -> None:
    before = await store.mail.annotations(ALICE, mailbox)
    with pytest.raises(Invalid) as caught:
        await store.mail.annotate(ALICE, mailbox, {USE: value})
    assert "special_use" in caught.value.fields
    assert await store.mail.annotations(ALICE, mailbox) == before


async def test_what_changes_takes_a_modseq_of_the_mailbox(store: Opened) -> None:
    await store.put(item(b""))
    before = await store.mail.status(ALICE, "INBOX")
    for changes, by in (
        ({COMMENT: b"a"}, 1),
        ({COMMENT: b"a"}, 1),  # as it is
        ({COMMENT: None, "/shared/x": b""}, 2),
    ):
        await store.mail.annotate(ALICE, "INBOX", changes)
        status = await store.mail.status(ALICE, "INBOX")
        assert status.highestmodseq == before.highestmodseq + by
    await store.mail.annotate(ALICE, None, {COMMENT: b"a"})
    assert (await store.mail.status(ALICE, "INBOX")).highestmodseq == status.highestmodseq
    news = await store.mail.changes(ALICE, before.id, before.highestmodseq)
    assert (news.upto, news.changed, news.vanished) == (status.highestmodseq, [], [])


async def test_entries_outlive_other_changes(store: Opened) -> None:
    await store.mail.annotate(ALICE, "INBOX", {COMMENT: b"a"})
    await store.put(item(b"", "$Keyword"))
    await store.mail.subscribe(ALICE, "INBOX", False)
    assert await store.mail.annotations(ALICE, "INBOX") == {COMMENT: b"a"}


async def test_concurrent_changes_all_stay(store: Opened, other: Opened) -> None:
    changes = [
        one.mail.annotate(ALICE, "INBOX", {f"/shared/{n}": b"%d" % n})
        for n, one in enumerate((store, other) * 5)
    ]
    await asyncio.gather(*changes)
    assert len(await store.mail.annotations(ALICE, "INBOX")) == 10


async def test_sessions_are_told_of_a_change(store: Opened) -> None:
    inbox = (await store.mail.status(ALICE, "INBOX")).id
    seen: list[Change] = []
    with store.events.subscribe(ALICE, seen.append):
        await store.mail.annotate(ALICE, "INBOX", {COMMENT: b"a"})
        await store.mail.annotate(ALICE, None, {COMMENT: b"a"})
        await store.mail.annotate(ALICE, None, {COMMENT: b"a"})  # as it was
    assert [(one.kind, one.container) for one in seen] == [("mail", inbox), ("mail", 0)]
