"""Policy hooks are asked at their stage, and a broken plugin costs a 4xx, never the server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from rmail_kernel import (
    Accept,
    Annotate,
    Defer,
    Delivery,
    Discard,
    Reject,
    SessionInfo,
    hookimpl,
    hookspecs,
)
from rmail_kernel.model import Address
from rmail_kernel.testing import RunningServer, Transcript

Greeter = Callable[[Transcript], Awaitable[list[str]]]
ONE = """
    C: MAIL FROM:<carol@remote.test>
    S: 250 *
    C: RCPT TO:<alice@example.com>
    S: 250 *
    C: DATA
    S: 354 *
    C: Subject: hello
    C: .
"""


class Policy:
    """Answers by what the test put into it."""

    def __init__(self) -> None:
        self.connect: Reject | Defer | None = None
        self.mail_from: Reject | Defer | None = None
        self.rcpt: Reject | Defer | None = None
        self.deliver: Callable[[Delivery], Awaitable[object]] | None = None

    @hookimpl
    async def on_connect(self, session: SessionInfo) -> Reject | Defer | None:
        assert session.peer_host == "127.0.0.1"
        return self.connect

    @hookimpl
    async def on_mail_from(self, sender: Address | None) -> Reject | Defer | None:
        assert sender == Address("carol", "remote.test")
        return self.mail_from

    @hookimpl
    async def on_rcpt(self, recipient: Address) -> Reject | Defer | None:
        assert recipient.domain == "example.com"
        return self.rcpt

    @hookimpl
    async def on_deliver(self, delivery: Delivery) -> Delivery | None:
        if self.deliver is None:
            return None
        return cast("Delivery | None", await self.deliver(delivery))


@pytest.fixture
def policy() -> Policy:
    return Policy()


@pytest.fixture
def rmail_extra_plugins(policy: Policy) -> dict[str, object]:
    return {"policy": policy}


@pytest.mark.parametrize(
    ("verdict", "reply"),
    [(Reject("Go away"), "554 5.7.1 Go away"), (Defer("Later"), "421 4.7.1 Later")],
)
async def test_on_connect_answers_in_place_of_the_greeting(
    rmail_server: RunningServer, policy: Policy, verdict: Reject | Defer, reply: str
) -> None:
    policy.connect = verdict
    async with rmail_server.connect("smtp") as client:
        await client.expect(reply)
        await client.expect_close()


async def test_a_plugin_that_fails_at_the_greeting_begins_no_session(
    rmail_server: RunningServer, policy: Policy
) -> None:
    policy.connect = cast("Reject", 42)
    async with rmail_server.connect("smtp") as client:
        await client.expect("421 4.3.0 *")
        await client.expect_close()


async def test_stages_are_refused_one_by_one(
    rmail_server: RunningServer, say_hello: Greeter, policy: Policy
) -> None:
    async with rmail_server.connect("smtp") as client:
        await say_hello(client)
        policy.mail_from = Reject("Not from there", 554, "5.7.7")
        await client.run("C: MAIL FROM:<carol@remote.test>\nS: 554 5.7.7 Not from there")
        policy.mail_from = None
        policy.rcpt = Defer("Greylisted", 450, "4.7.1")
        await client.run("""
            C: MAIL FROM:<carol@remote.test>
            S: 250 *
            C: RCPT TO:<alice@example.com>
            S: 450 4.7.1 Greylisted
        """)


async def test_a_verdict_cannot_break_the_protocol(
    rmail_server: RunningServer, say_hello: Greeter, policy: Policy
) -> None:
    policy.mail_from = Reject("two\r\n250 lines ü " + "x" * 600, 250, "2.0.0")
    async with rmail_server.connect("smtp") as client:
        await say_hello(client)
        await client.run("C: MAIL FROM:<carol@remote.test>\nS: 550 5.7.1 two??250 lines ? xxx*")
        await client.run("C: NOOP\nS: 250 *")


async def _reject(_: Delivery) -> object:
    return Reject("No thanks", 550, "5.7.1")


async def _defer(_: Delivery) -> object:
    return Defer("Busy", 451, "4.7.1")


async def _discard(_: Delivery) -> object:
    return Discard("spam")


async def _raise(_: Delivery) -> object:
    raise RuntimeError("secret detail")


async def _rubbish(_: Delivery) -> object:
    return "ok"


async def _hang(_: Delivery) -> object:
    await asyncio.Event().wait()
    return None


async def _bad_mailbox(delivery: Delivery) -> object:
    return delivery.with_mailbox("x" * 2000)


@pytest.mark.parametrize(
    ("behaviour", "reply"),
    [
        (_reject, "550 5.7.1 No thanks"),
        (_defer, "451 4.7.1 Busy"),
        (_discard, "250 2.6.0 *"),
        (_raise, "451 4.3.0 Temporary failure, try again later"),
        (_rubbish, "451 4.3.0 Temporary failure, try again later"),
        (_hang, "451 4.3.0 Temporary failure, try again later"),
        (_bad_mailbox, "451 4.3.0 Temporary failure, try again later"),
    ],
)
async def test_on_deliver_decides_the_answer_to_the_final_dot(
    rmail_server: RunningServer,
    say_hello: Greeter,
    policy: Policy,
    monkeypatch: pytest.MonkeyPatch,
    behaviour: Callable[[Delivery], Awaitable[object]],
    reply: str,
) -> None:
    monkeypatch.setattr(hookspecs.on_deliver, "rmail_deadline_s", 0.1)
    policy.deliver = behaviour
    async with rmail_server.connect("smtp") as client:
        await say_hello(client)
        await client.run(ONE + f"S: {reply}")
        assert await rmail_server.messages("alice") == []
        policy.deliver = None
        await client.run(ONE + "S: 250 *")
    assert len(await rmail_server.messages("alice")) == 1


async def test_an_unexpected_error_shows_an_id_and_nothing_else(
    rmail_server: RunningServer, say_hello: Greeter, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: Any) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(rmail_server.kernel.delivery, "check_recipient", broken)
    async with rmail_server.connect("smtp") as client:
        await say_hello(client)
        heard = await client.run("""
            C: MAIL FROM:<carol@remote.test>
            S: 250 *
            C: RCPT TO:<alice@example.com>
            S: 451 4.3.0 Internal error *, try again later
            C: NOOP
            S: 250 *
        """)
    assert "secret" not in "".join(heard)


class Doorman:
    """Answers by stage, and remembers what it was told."""

    def __init__(self, **answers: object) -> None:
        self.answers = answers
        self.names: list[str] = []

    @hookimpl
    def on_connect(self) -> object:
        return self.answers.get("connect")

    @hookimpl
    def on_helo(self, session: SessionInfo, name: str) -> object:
        assert session.helo == name
        self.names.append(f"{'EHLO' if session.is_extended else 'HELO'} {name}")
        return self.answers.get("helo")

    @hookimpl
    def on_mail_from(self) -> object:
        return self.answers.get("mail_from")

    @hookimpl
    def on_rcpt(self, recipient: Address) -> object:
        return self.answers.get("rcpt")


@pytest.mark.parametrize(
    ("answer", "reply"),
    [
        (Reject("Not you", 550, "5.7.1"), "550 5.7.1 Not you"),
        (Defer("Later", 450, "4.7.1"), "450 4.7.1 Later"),
    ],
)
async def test_a_name_can_be_refused_and_another_tried(
    rmail_server: RunningServer, answer: object, reply: str
) -> None:
    doorman = Doorman(helo=answer)
    rmail_server.kernel.bus.register(doorman, "doorman")
    async with rmail_server.connect("smtp") as client:
        await client.run(
            f"S: 220 *\nC: EHLO bad.test\nS: {reply}\nC: MAIL FROM:<carol@remote.test>\nS: 503 *"
        )
        doorman.answers.clear()
        await client.run("C: HELO good.test\nS: 250 *\nC: MAIL FROM:<carol@remote.test>\nS: 250 *")
    assert doorman.names == ["EHLO bad.test", "HELO good.test"]


async def test_accept_ends_the_walk_and_overrides_no_rule(rmail_server: RunningServer) -> None:
    bus = rmail_server.kernel.bus
    refusing = dict.fromkeys(("connect", "helo", "mail_from", "rcpt"), Reject("no"))
    bus.register(Doorman(**refusing), "strict")
    bus.register(Doorman(**dict.fromkeys(refusing, Accept())), "kind")  # asked first
    async with rmail_server.connect("smtp") as client:
        await client.run("S: 220 *\nC: HELO x.test\nS: 250 *\nC: MAIL FROM:<c@remote.test>")
        await client.run("S: 250 *\nC: RCPT TO:<alice@example.com>\nS: 250 *")
        await client.run("C: RCPT TO:<nobody@example.com>\nS: 550 5.1.1 *")
        await client.run("C: RCPT TO:<dave@elsewhere.test>\nS: 550 5.7.1 *")


async def test_annotations_go_into_the_messages_that_they_led_to(
    rmail_server: RunningServer,
) -> None:
    notes = {name: Annotate(f"X-At-{name}", "seen") for name in ("connect", "helo", "rcpt")}
    doorman = Doorman(**notes)
    rmail_server.kernel.bus.register(doorman, "doorman")
    async with rmail_server.connect("smtp") as client:
        await client.run("S: 220 *\nC: HELO x.test\nS: 250 *" + ONE + "S: 250 *")
        doorman.answers.clear()
        await client.run("C: HELO y.test\nS: 250 *" + ONE + "S: 250 *")
    first, second = await rmail_server.messages("alice")
    for name in notes:
        assert first.count(f"X-At-{name}: seen\r\n".encode()) == 1
    assert b"X-At-connect: seen" in second
    assert b"X-At-helo" not in second
    assert b"X-At-rcpt" not in second
