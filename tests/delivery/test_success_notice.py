"""NOTIFY for recipients of this server: success is told when it is asked for, NEVER means never."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from rmail_kernel import Envelope, Reject
from rmail_kernel.content import Content
from rmail_kernel.model import Address, RecipientOptions
from rmail_kernel.storage.accounts import Alias
from rmail_kernel.testing import HookRecorder, RunningServer
from tests.delivery.conftest import Outside, Sorter

MakeEnvelope = Callable[..., Envelope]
ALICE, BOB = Address("alice", "example.com"), Address("bob", "example.com")
CONTENT = Content.of(b"Subject: hello\r\n\r\nbody\r\n")


def asking(envelope: Envelope, recipient: Address, *words: str) -> Envelope:
    options = (RecipientOptions(recipient, frozenset(words), "rfc822;Old@old.test"),)
    return replace(envelope, options=options, envid="order 7")


async def test_success_is_told_once_the_message_is_stored(
    server: RunningServer, rmail_hooks: HookRecorder, make_envelope: MakeEnvelope
) -> None:
    envelope = asking(make_envelope(str(ALICE), sender=str(BOB)), ALICE, "SUCCESS")
    assert (await server.kernel.delivery.submit(envelope, CONTENT)).is_accepted
    await rmail_hooks.wait_for("on_store", 2)
    (notice,) = await server.messages("bob")
    assert b"Return-Path: <>" in notice
    for field in (
        b"Action: delivered",
        b"Status: 2.1.5",
        b"Final-Recipient: rfc822; alice@example.com",
        b"Original-Recipient: rfc822; Old@old.test",
        b"Original-Envelope-Id: order 7",
    ):
        assert field in notice
    assert len(await server.messages("alice")) == 1


async def test_without_asking_success_is_not_told(
    server: RunningServer, rmail_hooks: HookRecorder, make_envelope: MakeEnvelope
) -> None:
    envelope = asking(make_envelope(str(ALICE), sender=str(BOB)), ALICE, "FAILURE")
    assert (await server.kernel.delivery.submit(envelope, CONTENT)).is_accepted
    null = asking(make_envelope(str(ALICE), sender=None), ALICE, "SUCCESS")
    assert (await server.kernel.delivery.submit(null, CONTENT)).is_accepted
    await rmail_hooks.wait_for("on_store", 2)
    assert await server.messages("bob") == []


async def test_never_is_never_even_for_a_failure(
    server: RunningServer, sorter: Sorter, make_envelope: MakeEnvelope
) -> None:
    sorter.rules["alice"] = lambda _: Reject("no")
    envelope = asking(make_envelope(str(ALICE), str(BOB), sender=str(BOB)), ALICE, "NEVER")
    assert (await server.kernel.delivery.submit(envelope, CONTENT)).is_accepted
    spool = server.mail_root / "spool"
    async with asyncio.timeout(10):
        while list(spool.glob("*.msg")):
            await asyncio.sleep(0)
    assert len(await server.messages("bob")) == 1


@pytest.fixture
async def everybody(server: RunningServer) -> Address:
    """An alias for alice here and dave elsewhere."""
    rule = Alias.to("everybody", [str(ALICE), "dave@remote.test"])
    await server.kernel.directory.add_alias("example.com", rule)
    return Address("everybody", "example.com")


async def test_an_alias_of_several_is_told_once_as_expanded(
    server: RunningServer,
    rmail_hooks: HookRecorder,
    make_envelope: MakeEnvelope,
    outside: Outside,
    everybody: Address,
) -> None:
    envelope = make_envelope(str(everybody), sender=str(BOB))
    envelope = asking(envelope, everybody, "SUCCESS", "FAILURE")
    assert (await server.kernel.delivery.submit(envelope, CONTENT)).is_accepted
    await rmail_hooks.wait_for("on_store", 2)
    (notice,) = await server.messages("bob")
    assert notice.count(b"Action: ") == notice.count(b"Action: expanded") == 1
    assert b"Final-Recipient: rfc822; everybody@example.com" in notice
    ((submission, recipients),) = outside.taken
    options = submission.envelope.options_of(recipients[0])
    assert options == RecipientOptions(recipients[0], frozenset({"FAILURE"}), "rfc822;Old@old.test")
