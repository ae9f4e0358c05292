"""What MAIL and RCPT ask for reaches whoever delivers the message."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from rmail_kernel import Submission, hookimpl
from rmail_kernel.model import Address, Envelope, RecipientOptions
from rmail_kernel.testing import RunningServer, Transcript

Greeter = Callable[[Transcript], Awaitable[list[str]]]
ALICE, BOB = Address("alice", "example.com"), Address("bob", "example.com")


class Watcher:
    def __init__(self) -> None:
        self.seen: list[Envelope] = []

    @hookimpl
    async def on_message(self, submission: Submission) -> None:
        self.seen.append(submission.envelope)


@pytest.fixture
def watcher() -> Watcher:
    return Watcher()


@pytest.fixture
def rmail_extra_plugins(watcher: Watcher) -> dict[str, object]:
    return {"watcher": watcher}


async def test_the_envelope_carries_the_options(
    rmail_server: RunningServer, say_hello: Greeter, watcher: Watcher
) -> None:
    async with rmail_server.connect("smtp") as client:
        await say_hello(client)
        await client.run("C: STARTTLS\nS: 220 *")
        await client.start_tls()
        await client.run("C: EHLO client.test")
        await client.until("250 *")
        await client.run("""
            C: MAIL FROM:<carol@remote.test> RET=hdrs ENVID=a+20b REQUIRETLS BODY=BINARYMIME
            S: 250 *
            C: RCPT TO:<alice@example.com> NOTIFY=success,delay ORCPT=rfc822;Al+2Bx@old.test
            S: 250 *
            C: RCPT TO:<bob@example.com>
            S: 250 *
            C: BDAT 0 LAST
            S: 250 *
        """)
    envelope = watcher.seen[0]  # the notice of success may follow already
    assert (envelope.ret, envelope.envid) == ("HDRS", "a b")
    assert envelope.require_tls
    assert envelope.is_binary
    assert envelope.is_8bit
    notify = frozenset({"SUCCESS", "DELAY"})
    assert envelope.options == (RecipientOptions(ALICE, notify, "rfc822;Al+x@old.test"),)
    assert envelope.recipients == (ALICE, BOB)
    (raw,) = await rmail_server.messages("bob")
    assert b" with ESMTPS id " in raw


async def test_a_client_that_said_helo_has_no_extensions(rmail_server: RunningServer) -> None:
    async with rmail_server.connect("smtp") as client:
        await client.run("""
            S: 220 *
            C: HELO old.test
            S: 250 *
            C: MAIL FROM:<carol@remote.test> RET=HDRS
            S: 555 5.5.4 *
            C: MAIL FROM:<carol@remote.test>
            S: 250 *
            C: RCPT TO:<alice@example.com> NOTIFY=NEVER
            S: 555 5.5.4 *
        """)
