"""What stays in the spool is tried again, once per target, and ends with a bounce at the latest."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from email import message_from_bytes
from email.message import Message
from functools import partial
from pathlib import Path
from typing import Any

import pytest_asyncio

from rmail_kernel import Envelope
from rmail_kernel.content import Content
from rmail_kernel.delivery.api import Status
from rmail_kernel.delivery.courier import EXPIRY_S, NOTICE_LIFE_S, Courier
from rmail_kernel.delivery.recovery import LOOK_S, PAUSES_S, Recovery
from rmail_kernel.delivery.spool import Spool
from rmail_kernel.errors import Temporary
from rmail_kernel.model import Address, Defer, RecipientOptions, Reject
from rmail_kernel.process.lease import hold
from rmail_kernel.storage.accounts import Alias
from rmail_kernel.testing import FakeClock, HookRecorder, RunningServer

MakeEnvelope = Callable[..., Envelope]
RAW = b"Subject: hello\r\n\r\nbody\r\n"
BOTH = ("alice@example.com", "bob@example.com")


@pytest_asyncio.fixture(autouse=True)
async def _lease(tmp_path: Path) -> AsyncIterator[None]:
    """The server's own task waits, so that each attempt is the test's."""
    async with hold(tmp_path / "mailstore", "delivery-spool"):
        yield


class Mailbag:
    """Collects the bounces."""

    def __init__(self) -> None:
        self.notices: dict[str, Message] = {}
        self.is_broken = False
        self.error: Exception | None = None
        self.calls = 0
        self.is_deaf = False  # takes a bounce, and nobody hears of it

    async def bounce(self, envelope: Envelope, notice: Content, op_id: str) -> None:
        self.calls += 1
        if self.error is not None:
            raise self.error
        if self.is_broken:
            raise Temporary("not now")
        assert envelope.sender is None
        self.notices.setdefault(op_id, message_from_bytes(notice.read()))
        if self.is_deaf:
            raise Temporary("the answer is lost")


def _recovery(server: RunningServer, bag: Mailbag) -> Recovery:
    spool = Spool(server.mail_root / "spool")
    return Recovery(server.kernel, spool, Courier(server.kernel, spool, bag.bounce))


def _spooled(server: RunningServer) -> list[Path]:
    return sorted((server.mail_root / "spool").iterdir())


async def test_what_is_deferred_after_acceptance_is_tried_again_and_nothing_else_is(
    server: RunningServer, sorter: Any
) -> None:
    sorter.rules["bob"] = lambda _: Defer("later")
    report = await server.deliver(RAW, *BOTH)
    assert [outcome.status for outcome in report.outcomes] == [Status.STORED, Status.QUEUED]
    assert report.is_accepted
    recovery = _recovery(server, Mailbag())
    assert await recovery.run_once() == LOOK_S
    assert await server.messages("bob") == []
    sorter.rules.clear()
    sorter.seen.clear()
    await _recovery(server, Mailbag()).run_once()
    assert sorter.seen == ["bob"]
    assert len(await server.messages("alice")) == 1
    assert len(await server.messages("bob")) == 1
    assert _spooled(server) == []


async def test_pauses_grow(server: RunningServer, sorter: Any, rmail_clock: FakeClock) -> None:
    sorter.rules["bob"] = lambda _: Defer("later")
    await server.deliver(RAW, *BOTH)
    recovery = _recovery(server, Mailbag())
    await recovery.run_once()
    sorter.seen.clear()
    for pause_s in PAUSES_S[1:4]:
        rmail_clock.advance(pause_s - 1)
        await recovery.run_once()
        assert sorter.seen == []
        rmail_clock.advance(1)
        await recovery.run_once()
        assert sorter.seen.pop() == "bob"


async def test_what_fails_for_good_bounces_once_and_names_the_recipient(
    server: RunningServer, sorter: Any
) -> None:
    sorter.rules["bob"] = lambda _: Defer("later")
    await server.deliver(RAW, *BOTH)
    sorter.rules["bob"] = lambda _: Reject("never", 550, "5.7.1")
    bag = Mailbag()
    await _recovery(server, bag).run_once()
    await _recovery(server, bag).run_once()
    (notice,) = bag.notices.values()
    assert "bob@example.com" in notice.as_string()
    assert "alice@example.com" not in notice.get_payload(1).as_string()  # type: ignore[union-attr] # a part
    assert _spooled(server) == []


async def test_what_fails_after_a_notice_whose_answer_was_lost_is_told_too(
    server: RunningServer, sorter: Any, rmail_clock: FakeClock
) -> None:
    await server.add_user("dave")
    for user in ("bob", "dave"):
        sorter.rules[user] = lambda _: Defer("later")
    await server.deliver(RAW, *BOTH, "dave@example.com")
    sorter.rules["bob"] = lambda _: Reject("never")
    bag = Mailbag()
    bag.is_deaf = True
    await _recovery(server, bag).run_once()
    assert len(_spooled(server)) == 2
    bag.is_deaf = False
    sorter.rules["dave"] = lambda _: Reject("never")
    del sorter.rules["bob"]  # the sender was told already: it must not be delivered now
    await _recovery(server, bag).run_once()
    first, second = (notice.as_string() for notice in bag.notices.values())
    assert ("bob@" in first, "dave@" in first) == (True, False)
    assert ("bob@" in second, "dave@" in second) == (False, True)
    assert await server.messages("bob") == []
    assert _spooled(server) == []


async def test_an_error_of_ours_in_one_entry_does_not_stop_the_others(
    server: RunningServer, sorter: Any
) -> None:
    sorter.rules["bob"] = lambda _: Defer("later")
    for _ in range(2):
        await server.deliver(RAW, *BOTH)
    sorter.rules["bob"] = lambda _: Reject("never")
    bag = Mailbag()
    bag.error = ValueError("an error of ours")
    await _recovery(server, bag).run_once()
    assert bag.calls == 2
    assert len(list((server.mail_root / "spool").glob("*.msg"))) == 2


async def test_what_is_deferred_too_long_bounces(
    server: RunningServer, sorter: Any, rmail_clock: FakeClock
) -> None:
    sorter.rules["bob"] = lambda _: Defer("later")
    await server.deliver(RAW, *BOTH)
    rmail_clock.advance(EXPIRY_S + 1)
    bag = Mailbag()
    await _recovery(server, bag).run_once()
    (notice,) = bag.notices.values()
    assert "Status: 5.4.7" in notice.as_string()
    assert _spooled(server) == []


async def test_an_entry_stays_until_its_bounce_is_handed_in(
    server: RunningServer, sorter: Any, rmail_clock: FakeClock
) -> None:
    sorter.rules["bob"] = lambda _: Defer("later")
    await server.deliver(RAW, *BOTH)
    sorter.rules["bob"] = lambda _: Reject("never")
    bag = Mailbag()
    bag.is_broken = True
    recovery = _recovery(server, bag)
    await recovery.run_once()
    assert len(_spooled(server)) == 2
    bag.is_broken = False
    rmail_clock.advance(3600)
    await recovery.run_once()
    assert len(bag.notices) == 1
    assert _spooled(server) == []


async def test_a_broken_entry_does_not_stop_the_others(server: RunningServer, sorter: Any) -> None:
    sorter.rules["bob"] = lambda _: Defer("later")
    await server.deliver(RAW, *BOTH)
    (server.mail_root / "spool" / "0.msg").write_bytes(b"rubbish")
    sorter.rules.clear()
    await _recovery(server, Mailbag()).run_once()
    assert len(await server.messages("bob")) == 1
    assert [path.name for path in _spooled(server)] == ["0.bad"]


async def test_an_account_that_went_away_after_acceptance_bounces(
    server: RunningServer, sorter: Any
) -> None:
    sorter.rules["bob"] = lambda _: Defer("later")
    await server.deliver(RAW, *BOTH)
    sorter.rules.clear()
    bob = await server.kernel.directory.get(Address("bob", "example.com"))
    assert bob is not None
    await server.kernel.directory.delete(bob.id)
    bag = Mailbag()
    await _recovery(server, bag).run_once()
    (notice,) = bag.notices.values()
    assert "Status: 5.1.1" in notice.as_string()


async def test_an_entry_that_the_disk_does_not_give_waits_and_does_not_stop_the_others(
    server: RunningServer, sorter: Any
) -> None:
    sorter.rules["bob"] = lambda _: Defer("later")
    await server.deliver(RAW, *BOTH)
    (server.mail_root / "spool" / "0.msg").mkdir()
    sorter.rules.clear()
    assert await _recovery(server, Mailbag()).run_once() == PAUSES_S[0]
    assert len(await server.messages("bob")) == 1


async def test_a_member_of_an_alias_that_comes_later_makes_no_second_notice(
    server: RunningServer, sorter: Any, make_envelope: MakeEnvelope
) -> None:
    everybody = Address("everybody", "example.com")
    await server.add_user("carol")
    rule = Alias.to("everybody", ["alice@example.com", "bob@example.com"])
    await server.kernel.directory.add_alias("example.com", rule)
    sorter.rules["bob"] = lambda _: Defer("later")
    envelope = replace(
        make_envelope(str(everybody), sender="carol@example.com"),
        options=(RecipientOptions(everybody, frozenset({"SUCCESS"})),),
    )
    assert (await server.kernel.delivery.submit(envelope, Content.of(RAW))).is_accepted
    async with asyncio.timeout(10):
        while not await server.messages("carol"):
            await asyncio.sleep(0)
        sorter.rules.clear()
        bag = Mailbag()
        while _spooled(server):  # locked for as long as the first attempt ends
            await _recovery(server, bag).run_once()
    assert bag.notices == {}
    assert len(await server.messages("bob")) == 1
    (notice,) = await server.messages("carol")
    assert b"Action: expanded" in notice


async def test_a_notice_that_nobody_takes_is_given_up_in_the_end(
    server: RunningServer, sorter: Any, rmail_clock: FakeClock
) -> None:
    sorter.rules["bob"] = lambda _: Defer("later")
    await server.deliver(RAW, *BOTH)
    sorter.rules["bob"] = lambda _: Reject("never")
    bag = Mailbag()
    bag.is_broken = True
    await _recovery(server, bag).run_once()
    assert _spooled(server) != []
    rmail_clock.advance(NOTICE_LIFE_S + 1)
    await _recovery(server, bag).run_once()
    assert _spooled(server) == []


async def test_a_notice_to_a_full_account_is_kept_and_arrives_when_there_is_room(
    server: RunningServer, rmail_hooks: HookRecorder, make_envelope: MakeEnvelope
) -> None:
    directory = server.kernel.directory
    alice = await directory.get(Address("alice", "example.com"))
    assert alice is not None
    await directory.update(alice, quota_messages=1)
    assert (await server.deliver(RAW)).is_accepted
    envelope = make_envelope("alice@example.com", sender=None)
    submit = partial(server.kernel.delivery.submit, envelope, Content.of(RAW), op_id="n1")
    assert not (await submit()).is_accepted
    for _ in range(2):  # and again, after a crash
        assert (await submit(keep=True)).is_accepted
    full = await directory.get(Address("alice", "example.com"))
    assert full is not None
    await directory.update(full, quota_messages=None)
    await _recovery(server, Mailbag()).run_once()
    assert len(await server.messages("alice")) == 2
    assert _spooled(server) == []
