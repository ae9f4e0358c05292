"""Change events within one process."""

from __future__ import annotations

from structlog.testing import capture_logs

from rmail_kernel.process.events import LocalEvents
from rmail_kernel.storage.events import Change
from rmail_kernel.storage.ids import AccountId

ALICE = AccountId("alice@example.com")


def test_a_subscriber_sees_only_changes_of_its_account_while_subscribed() -> None:
    events, seen = LocalEvents(), list[Change]()
    mine = Change(ALICE, "mail", 1, 2)
    with events.subscribe(ALICE, seen.append):
        events.publish(mine)
        events.publish(Change(AccountId("bob@example.com"), "mail"))
    events.publish(mine)
    assert seen == [mine]


def test_a_callback_that_raises_is_logged_and_the_next_one_still_runs() -> None:
    events, seen = LocalEvents(), list[Change]()

    def broken(_: Change) -> None:
        raise ValueError("broken session")

    with (
        capture_logs() as lines,
        events.subscribe(ALICE, broken),
        events.subscribe(ALICE, seen.append),
    ):
        events.publish(Change(ALICE, "account"))
    assert seen == [Change(ALICE, "account")]
    assert [line["event"] for line in lines] == ["event callback failed"]


def test_a_callback_may_unsubscribe_while_it_runs() -> None:
    events, seen = LocalEvents(), list[str]()
    context = events.subscribe(ALICE, lambda _: leave())

    def leave() -> None:
        seen.append("left")
        context.__exit__(None, None, None)

    context.__enter__()
    events.publish(Change(ALICE, "mail"))
    events.publish(Change(ALICE, "mail"))
    assert seen == ["left"]
