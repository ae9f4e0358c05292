"""The bus: modes, deadlines, and what a bad plugin may cost."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from rmail_kernel import hookspecs
from rmail_kernel.bus import Bus
from rmail_kernel.content import Content
from rmail_kernel.errors import PluginError, Temporary
from rmail_kernel.hooks import Mode, hook, hookimpl
from rmail_kernel.model import (
    Address,
    Defer,
    Delivery,
    Discard,
    Envelope,
    Principal,
    Reject,
    SessionInfo,
)
from rmail_kernel.storage.ids import AccountId

ALICE = Address("alice", "example.com")
SESSION = SessionInfo("s1", "smtp")
DELIVERY = Delivery(
    Envelope(None, (ALICE,), SESSION, datetime(2026, 1, 1, tzinfo=UTC)),
    ALICE,
    AccountId("alice@example.com"),
    Content.of(b"Subject: x\r\n\r\nbody\r\n"),
)


def bus_with(**functions: Any) -> Bus:
    """A bus with one plugin per `name__hook=function`, registered in order."""
    bus = Bus(hookspecs)
    for key, function in functions.items():
        name, _, hook = key.partition("__")
        bus.register(SimpleNamespace(**{hook: hookimpl(function)}), name)
    bus.check()
    return bus


async def test_first_stops_at_the_first_answer_that_is_not_none() -> None:
    asked = []

    async def silent(login: str) -> None:
        asked.append("silent")

    async def answering(login: str) -> Principal:
        asked.append("answering")
        return Principal(AccountId("a"), ALICE)

    async def late(login: str) -> Principal:
        raise AssertionError("asked too late")

    bus = bus_with(late__on_auth=late, answering__on_auth=answering, silent__on_auth=silent)
    answer = await bus.first("on_auth", login="a", secret="b", session=SESSION)
    assert answer == Principal(AccountId("a"), ALICE)
    assert asked == ["silent", "answering"]


async def test_first_fails_closed_when_an_implementation_raises() -> None:
    def broken(login: str) -> None:
        raise RuntimeError("boom")

    with pytest.raises(Temporary):
        await bus_with(p__on_auth=broken).first("on_auth", login="", secret="", session=SESSION)


async def test_first_refuses_an_answer_of_the_wrong_kind() -> None:
    bus = bus_with(p__on_auth=lambda login: True)
    with pytest.raises(Temporary):
        await bus.first("on_auth", login="", secret="", session=SESSION)


async def test_chain_passes_on_what_the_last_returned() -> None:
    bus = bus_with(
        second__on_deliver=lambda delivery: delivery.with_mailbox(delivery.mailbox + "/b"),
        first__on_deliver=lambda delivery: delivery.with_mailbox("a"),
    )
    result = await bus.chain("on_deliver", "delivery", DELIVERY)
    assert isinstance(result, Delivery)
    assert result.mailbox == "a/b"


@pytest.mark.parametrize("verdict", [Reject("no"), Defer("later"), Discard("spam")])
async def test_chain_ends_with_a_verdict(verdict: object) -> None:
    def late(delivery: Delivery) -> Delivery:
        raise AssertionError("asked after a verdict")

    bus = bus_with(late__on_deliver=late, first__on_deliver=lambda delivery: verdict)
    assert await bus.chain("on_deliver", "delivery", DELIVERY) == verdict


async def test_chain_turns_an_error_into_a_deferral() -> None:
    async def broken(delivery: Delivery) -> Delivery:
        raise RuntimeError("boom")

    result = await bus_with(p__on_deliver=broken).chain("on_deliver", "delivery", DELIVERY)
    assert isinstance(result, Defer)
    assert "boom" not in result.text


async def test_chain_turns_rubbish_into_a_deferral() -> None:
    bus = bus_with(p__on_deliver=lambda delivery: "stored, honestly")
    assert isinstance(await bus.chain("on_deliver", "delivery", DELIVERY), Defer)


async def test_an_implementation_past_its_deadline_is_cancelled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cancelled = asyncio.Event()

    async def stalled(delivery: Delivery) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    bus = bus_with(p__on_deliver=stalled)
    monkeypatch.setitem(hookspecs.on_deliver.__dict__, "rmail_deadline_s", 0.01)
    assert isinstance(await bus.chain("on_deliver", "delivery", DELIVERY), Defer)
    await cancelled.wait()


async def test_notify_reaches_everyone_past_errors() -> None:
    told = []

    def broken(login: str) -> None:
        raise RuntimeError("boom")

    async def told_too(login: str) -> None:
        told.append(login)

    bus = bus_with(a__on_login_failed=told_too, b__on_login_failed=broken)
    await bus.notify("on_login_failed", login="x", session=SESSION)
    assert told == ["x"]


async def test_the_callers_cancellation_is_not_swallowed() -> None:
    started = asyncio.Event()

    async def stalled(delivery: Delivery) -> None:
        started.set()
        await asyncio.Event().wait()

    bus = bus_with(p__on_deliver=stalled)
    task = asyncio.create_task(bus.chain("on_deliver", "delivery", DELIVERY))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_collect_gathers_items_in_registration_order() -> None:
    bus = bus_with(
        a__register_tasks=lambda kernel: ["one", "two"],
        b__register_tasks=lambda kernel: None,
        c__register_tasks=lambda kernel: ["three"],
    )
    assert bus.collect("register_tasks", str, kernel=None) == ["one", "two", "three"]


@pytest.mark.parametrize("answer", [[1], 5, ["good", None]])
def test_collect_refuses_items_of_the_wrong_kind_by_plugin_name(answer: object) -> None:
    bus = bus_with(odd__register_tasks=lambda kernel: answer)
    with pytest.raises(PluginError, match=r"plugin odd: register_tasks (returned|failed)"):
        bus.collect("register_tasks", str, kernel=None)


def test_collect_names_the_plugin_that_raised() -> None:
    def broken(kernel: object) -> None:
        raise RuntimeError("boom")

    with pytest.raises(PluginError, match=r"plugin odd: register_routes failed: RuntimeError"):
        bus_with(odd__register_routes=broken).collect("register_routes", str, kernel=None)


async def test_start_names_the_plugin_that_raised() -> None:
    async def broken(kernel: object) -> None:
        raise RuntimeError("boom")

    with pytest.raises(PluginError, match=r"plugin odd: on_start failed: RuntimeError"):
        await bus_with(odd__on_start=broken).start("on_start", kernel=None)


def test_a_misspelt_hook_is_an_error_with_its_name() -> None:
    with pytest.raises(PluginError, match="plugin p: there is no hook 'on_delivr'"):
        bus_with(p__on_delivr=lambda delivery: None)


def test_an_unknown_argument_is_an_error_with_its_name() -> None:
    with pytest.raises(PluginError, match="plugin p"):
        bus_with(p__on_deliver=lambda message: None)


def test_a_name_is_taken_once() -> None:
    bus = bus_with(p__on_deliver=lambda delivery: None)
    with pytest.raises(PluginError, match="plugin p"):
        bus.register(SimpleNamespace(), "p")
    assert bus.has("on_deliver"), "the first one stays"


def test_a_wrapper_is_refused() -> None:
    def wrapper(delivery: Delivery) -> Any:
        yield

    bus = Bus(hookspecs)
    with pytest.raises(PluginError, match="cannot be a wrapper"):
        bus.register(SimpleNamespace(on_deliver=hookimpl(wrapper=True)(wrapper)), "p")


async def test_tryfirst_comes_before_the_others() -> None:
    bus = Bus(hookspecs)
    mark = hookimpl(tryfirst=True)
    bus.register(
        SimpleNamespace(on_deliver=mark(lambda delivery: replace(delivery, mailbox="first"))), "a"
    )
    bus.register(
        SimpleNamespace(
            on_deliver=hookimpl(lambda delivery: delivery.with_mailbox(delivery.mailbox + "+"))
        ),
        "b",
    )
    result = await bus.chain("on_deliver", "delivery", DELIVERY)
    assert isinstance(result, Delivery)
    assert result.mailbox == "first+"


@pytest.mark.parametrize("error", [SystemExit(3), asyncio.CancelledError()])
async def test_a_plugin_that_exits_or_makes_up_a_cancellation_costs_one_call(
    error: BaseException,
) -> None:
    async def leaving(login: str) -> None:
        raise error

    bus = bus_with(leaving__on_auth=leaving)
    with pytest.raises(Temporary):
        await bus.first("on_auth", login="a", secret="b", session=SESSION)


async def test_a_cancelled_caller_stays_cancelled() -> None:
    entered = asyncio.Event()

    async def waiting(login: str) -> None:
        entered.set()
        await asyncio.Event().wait()

    bus = bus_with(waiting__on_auth=waiting)
    task = asyncio.create_task(bus.first("on_auth", login="a", secret="b", session=SESSION))
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_hook_that_swallows_its_cancellation_is_left_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    released, ended = asyncio.Event(), asyncio.Event()

    async def stubborn(delivery: Delivery) -> None:
        while not released.is_set():
            try:
                await released.wait()
            except asyncio.CancelledError:
                continue
        ended.set()

    bus = bus_with(p__on_deliver=stubborn)
    monkeypatch.setitem(hookspecs.on_deliver.__dict__, "rmail_deadline_s", 0.01)
    assert isinstance(await bus.chain("on_deliver", "delivery", DELIVERY), Defer)
    assert not ended.is_set()
    released.set()
    await ended.wait()


def test_a_plugin_declares_hooks_for_others_loaded_before_or_after() -> None:
    own = ModuleType("own")

    def register_things(count: int) -> list[str] | None:
        """Things."""

    own.__dict__["register_things"] = hook(Mode.COLLECT)(register_things)
    bus = Bus(hookspecs)

    def things(count: int) -> list[str]:
        return ["thing"] * count

    bus.register(SimpleNamespace(register_things=hookimpl(things)), "before")
    with pytest.raises(PluginError, match="plugin before: there is no hook 'register_things'"):
        bus.check()
    bus.register(SimpleNamespace(hookspecs=own), "host")
    bus.register(SimpleNamespace(register_things=hookimpl(things), name="after"), "after")
    bus.check()
    assert bus.collect("register_things", str, count=2) == ["thing"] * 4


def test_an_optional_hook_may_have_no_one_to_call_it() -> None:
    def nothing() -> None:
        """Never called."""

    bus = Bus(hookspecs)
    bus.register(SimpleNamespace(on_elsewhere=hookimpl(nothing, optionalhook=True)), "p")
    bus.check()
