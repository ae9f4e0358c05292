"""Mailboxes: names, parents, special use, renaming, deleting, subscribing."""

from __future__ import annotations

import pytest

from rmail_kernel.errors import Conflict, Invalid, NotFound
from rmail_kernel.storage.ids import AccountId, ModSeq
from tests.storage_contract.rig import ALICE, BOB, Opened, item


async def _names(store: Opened) -> list[str]:
    return [status.name for status in await store.mail.mailboxes(ALICE)]


async def test_a_new_account_has_the_default_mailboxes_inbox_first(store: Opened) -> None:
    found = await store.mail.mailboxes(ALICE)
    assert [(one.name, one.special_use) for one in found] == [
        ("INBOX", None),
        ("Archive", "\\Archive"),
        ("Drafts", "\\Drafts"),
        ("Junk", "\\Junk"),
        ("Sent", "\\Sent"),
        ("Trash", "\\Trash"),
    ]
    assert {one.total for one in found} == {0}
    assert all(one.uidnext == 1 and one.is_subscribed for one in found)


async def test_an_unknown_account_is_not_found(store: Opened) -> None:
    for name in ("nobody@example.com", "alice@example.net", "../alice@example.com", "", "x"):
        with pytest.raises(NotFound):
            await store.mail.mailboxes(AccountId(name))


async def test_a_deleted_account_is_not_found_and_made_anew_is_empty(store: Opened) -> None:
    await store.put(item())
    record = await store.directory.by_id(ALICE)
    assert record is not None
    await store.directory.delete(ALICE)
    with pytest.raises(NotFound):
        await store.mail.view(ALICE, "INBOX")
    with pytest.raises(NotFound):
        await store.put(item())
    await store.directory.create(record)
    assert (await store.mail.status(ALICE, "INBOX")).total == 0
    assert [one.uid for one in await store.put(item())] == [1]


async def test_accounts_do_not_see_each_other(store: Opened) -> None:
    await store.put(item())
    assert (await store.mail.status(BOB, "INBOX")).total == 0


async def test_inbox_compares_without_case_and_others_with(store: Opened) -> None:
    assert (await store.mail.status(ALICE, "iNbOx")).name == "INBOX"
    assert (await store.mail.create(ALICE, "inbox/Lists")).name == "INBOX/Lists"
    await store.mail.create(ALICE, "work")
    assert (await store.mail.create(ALICE, "Work")).name == "Work"
    with pytest.raises(Conflict):
        await store.mail.create(ALICE, "Inbox")


async def test_create_makes_missing_parents(store: Opened) -> None:
    status = await store.mail.create(ALICE, "A/B/C")
    assert status.name == "A/B/C"
    assert {"A", "A/B", "A/B/C"} <= set(await _names(store))
    with pytest.raises(Conflict):
        await store.mail.create(ALICE, "A/B")


@pytest.mark.parametrize(
    "name",
    [
        *("", "/", "/a", "a/", "a//b", "x" * 201, "ü" * 101, "%" * 67, "\ud800"),
        *("a\0", "a\r\nb", "\x1f", "\x7f", "\x80", "a\x9f", "\u2028", "a/b\u2029", "\ufeffa"),
    ],
)
async def test_a_name_that_cannot_be_stored_is_invalid(store: Opened, name: str) -> None:
    before = await _names(store)
    with pytest.raises(Invalid):
        await store.mail.create(ALICE, name)
    with pytest.raises(NotFound):
        await store.mail.status(ALICE, name)
    assert await _names(store) == before


@pytest.mark.parametrize(
    "name",
    ["..", ".", "%2F", "a%b", "\xa0", "x" * 200, "Entwürfe", "日本", "a\\b", "status.json"],
)
async def test_any_other_name_can_be_stored(store: Opened, name: str) -> None:
    await store.mail.create(ALICE, name)
    await store.put(item(mailbox=name))
    assert (await store.mail.status(ALICE, name)).total == 1


async def test_composed_and_decomposed_names_are_one(store: Opened) -> None:
    await store.mail.create(ALICE, "Entwu\u0308rfe")
    assert (await store.mail.status(ALICE, "Entw\u00fcrfe")).name == "Entw\u00fcrfe"


async def test_a_special_use_belongs_to_one_mailbox(store: Opened) -> None:
    status = await store.mail.create(ALICE, "Everything", special_use="\\all")
    assert status.special_use == "\\All"
    with pytest.raises(Conflict):
        await store.mail.create(ALICE, "More", special_use="\\All")
    with pytest.raises(Invalid):
        await store.mail.create(ALICE, "More", special_use="\\Nonsense")
    assert "More" not in await _names(store)


async def test_rename_keeps_identity_and_takes_children_along(store: Opened) -> None:
    old = await store.mail.create(ALICE, "A")
    await store.mail.create(ALICE, "A/B")
    await store.mail.create(ALICE, "AB")
    await store.put(item(mailbox="A/B"))
    before = await store.mail.status(ALICE, "A/B")
    await store.mail.rename(ALICE, "A", "X/Y")
    names = await _names(store)
    assert {"X", "X/Y", "X/Y/B", "AB"} <= set(names)
    assert not {"A", "A/B"} & set(names)
    assert (await store.mail.status(ALICE, "X/Y")).id == old.id
    after = await store.mail.status(ALICE, "X/Y/B")
    assert (after.id, after.uidvalidity, after.objectid, after.total) == (
        before.id,
        before.uidvalidity,
        before.objectid,
        1,
    )
    with pytest.raises(NotFound):
        await store.mail.status(ALICE, "A")


async def test_rename_refuses_control_characters(store: Opened) -> None:
    await store.mail.create(ALICE, "a")
    with pytest.raises(Invalid):
        await store.mail.rename(ALICE, "a", "b\r\nc")
    assert "a" in await _names(store)


async def test_a_level_without_a_mailbox_is_renamed_with_what_is_below(store: Opened) -> None:
    # RFC 9051 6.3.6: "RENAME foo zowie" where foo is \Noselect
    await store.mail.create(ALICE, "Caf\u00e9/B/C")
    await store.mail.create(ALICE, "Taken")
    await store.mail.delete(ALICE, "Caf\u00e9")
    before = await store.mail.status(ALICE, "Caf\u00e9/B/C")
    with pytest.raises(Conflict):
        await store.mail.rename(ALICE, "Caf\u00e9", "Taken")
    with pytest.raises(Invalid):
        await store.mail.rename(ALICE, "Caf\u00e9", "Caf\u00e9/B/D")
    with pytest.raises(NotFound):
        await store.mail.rename(ALICE, "", "D")
    await store.mail.rename(ALICE, "Cafe\u0301", "X/Y")
    names = set(await _names(store))
    assert {"X", "X/Y/B", "X/Y/B/C"} <= names
    assert not names & {"X/Y", "Caf\u00e9/B", "Caf\u00e9/B/C"}
    assert (await store.mail.status(ALICE, "X/Y/B/C")).id == before.id


async def test_only_ascii_letters_make_an_inbox(store: Opened) -> None:
    # U+0131 in capitals is an I
    assert (await store.mail.create(ALICE, "\u0131nbox")).name == "\u0131nbox"


async def test_rename_refuses_names_that_are_taken_or_within(store: Opened) -> None:
    await store.mail.create(ALICE, "A/B")
    await store.mail.create(ALICE, "C/B")
    await store.mail.delete(ALICE, "C")
    for target, error in (
        ("Sent", Conflict),
        ("C", Conflict),
        ("A/B/D", Invalid),
        ("x//", Invalid),
    ):
        with pytest.raises(error):
            await store.mail.rename(ALICE, "A", target)
    with pytest.raises(Invalid):
        await store.mail.rename(ALICE, "A", "inbox")
    with pytest.raises(NotFound):
        await store.mail.rename(ALICE, "Nothing", "D")
    assert {"A", "A/B", "C/B"} <= set(await _names(store))


async def test_rename_of_inbox_moves_its_messages(store: Opened) -> None:
    await store.put(item(), item())
    before = await store.mail.status(ALICE, "INBOX")
    await store.mail.rename(ALICE, "INBOX", "Old/2025")
    after = await store.mail.status(ALICE, "INBOX")
    assert (after.id, after.uidvalidity, after.total, after.uidnext) == (
        before.id,
        before.uidvalidity,
        0,
        3,
    )
    assert (await store.mail.status(ALICE, "Old/2025")).total == 2


async def test_delete_leaves_children_and_forgets_the_mailbox(store: Opened) -> None:
    status = await store.mail.create(ALICE, "A")
    await store.mail.create(ALICE, "A/B")
    await store.put(item(mailbox="A"))
    used = (await store.mail.quota(ALICE)).used_bytes
    await store.mail.delete(ALICE, "A")
    assert "A" not in await _names(store)
    assert "A/B" in await _names(store)
    assert (await store.mail.quota(ALICE)).used_bytes < used
    with pytest.raises(NotFound):
        await store.mail.changes(ALICE, status.id, ModSeq(0))
    with pytest.raises(NotFound):
        await store.mail.delete(ALICE, "A")
    with pytest.raises(Invalid):
        await store.mail.delete(ALICE, "inbox")


async def test_a_name_made_again_is_another_mailbox_with_higher_uidvalidity(store: Opened) -> None:
    first = await store.mail.create(ALICE, "A")
    await store.put(item(mailbox="A"))
    await store.mail.delete(ALICE, "A")
    second = await store.mail.create(ALICE, "A")
    assert second.id != first.id
    assert second.uidvalidity > first.uidvalidity
    assert second.objectid != first.objectid
    assert second.total == 0
    assert [one.uid for one in await store.put(item(mailbox="A"))] == [1]


async def test_uidvalidity_ascends_over_all_mailboxes(store: Opened) -> None:
    made = [await store.mail.create(ALICE, name) for name in "ABC"]
    values = [one.uidvalidity for one in made]
    known = {one.uidvalidity for one in await store.mail.mailboxes(ALICE)}
    assert values == sorted(set(values))
    assert len(known) == 9


async def test_subscription_is_kept(store: Opened, other: Opened) -> None:
    await store.mail.create(ALICE, "A")
    await store.mail.subscribe(ALICE, "A", True)
    await store.mail.subscribe(ALICE, "Junk", False)
    assert (await other.mail.status(ALICE, "A")).is_subscribed
    assert not (await other.mail.status(ALICE, "Junk")).is_subscribed
    with pytest.raises(NotFound):
        await store.mail.subscribe(ALICE, "Nothing", True)


async def test_a_name_stays_subscribed_when_its_mailbox_goes(store: Opened, other: Opened) -> None:
    """RFC 9051 6.3.6, 6.3.7."""
    at_first = await store.mail.subscriptions(ALICE)
    for name in ("A", "B", "B/C", "D"):
        await store.mail.create(ALICE, name)
    for name in ("A", "B/C"):
        await store.mail.subscribe(ALICE, name, True)
    for name in ("A", "D"):
        await store.mail.delete(ALICE, name)
    await store.mail.rename(ALICE, "B", "E")
    assert await other.mail.subscriptions(ALICE) == sorted([*at_first, "A", "B/C", "E/C"])
    await other.mail.subscribe(ALICE, "A", True)
    await other.mail.subscribe(ALICE, "B/C", False)
    for name in ("B/C", "D"):
        with pytest.raises(NotFound):
            await other.mail.subscribe(ALICE, name, False)
    assert await store.mail.subscriptions(ALICE) == sorted([*at_first, "A", "E/C"])


async def test_a_mailbox_with_a_subscribed_name_is_subscribed(store: Opened) -> None:
    for name in ("A", "B", "C"):
        await store.mail.create(ALICE, name)
    for name in ("A", "B"):
        await store.mail.subscribe(ALICE, name, True)
        await store.mail.delete(ALICE, name)
    await store.mail.create(ALICE, "A")
    await store.mail.rename(ALICE, "C", "B")
    for name in ("A", "B"):
        assert (await store.mail.status(ALICE, name)).is_subscribed
        await store.mail.subscribe(ALICE, name, False)
        await store.mail.delete(ALICE, name)
    assert {"A", "B"}.isdisjoint(await store.mail.subscriptions(ALICE))


async def test_a_mailbox_made_elsewhere_is_seen_at_once(store: Opened, other: Opened) -> None:
    await other.mail.mailboxes(ALICE)
    made = await store.mail.create(ALICE, "A")
    assert await other.mail.status(ALICE, "A") == made
    await store.mail.rename(ALICE, "A", "B")
    assert (await other.mail.status(ALICE, made.id)).name == "B"
