"""Peers that do anything: each recipient gets the right fate, in bounded time, and the next message
is delivered.
"""

from __future__ import annotations

import asyncio
import os
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rmail_relay.outcome import Attempt, Contact, Kind, RecipientOutcome

from rmail_kernel.content import Content, SpoolFile
from rmail_kernel.testing import Drop, Endless, FakeMx, Hang, Raw, Take

from .conftest import QUICK, MakeTransport, Send
from .liar import Liar

BOB = "bob@remote.test"
BOUND_S = 8.0
STAGES = ["", "EHLO", "MAIL", "RCPT", "DATA", "."]
DROP = Drop()
Hear = Callable[[], Awaitable[RecipientOutcome]]
CLOSING = Drop("421 4.3.2 closing")


@pytest.fixture
def patience() -> dict[str, float]:
    return QUICK


async def one(send: Send, **fields: Any) -> RecipientOutcome:
    before = time.monotonic()
    outcome = (await send(**fields))[BOB]
    assert time.monotonic() - before < BOUND_S
    return outcome


@pytest.mark.parametrize("extensions", [[], ["PIPELINING"]])
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(
    "step",
    [
        DROP,
        CLOSING,
        Hang(),
        Raw(b"hello there\r\n"),
        Raw(b"\x16\x03\x01\0\xff\r\n"),
        Raw(b"250-one\r\n550 two\r\n"),
        Raw(b"x" * 100_000),
        Endless(),
        Endless(b"250-" + b"x" * 900 + b"\r\n"),
        Endless(b"x" * 5000),
        "399 what",
        "450 4.3.0 later",
    ],
    ids=lambda step: type(step).__name__ if not isinstance(step, str) else step,
)
async def test_trouble_at_any_stage_leaves_the_message_waiting(
    send: Send, rmail_mx: FakeMx, stage: str, step: Any, extensions: list[str]
) -> None:
    rmail_mx.extensions = extensions
    rmail_mx.replies[stage] = [step]
    outcome = await one(send)
    assert outcome.kind is Kind.DEFERRED
    assert 400 <= outcome.code < 500
    assert outcome.status.startswith("4.")
    assert outcome.text.isprintable()
    assert rmail_mx.messages == []
    rmail_mx.replies.clear()
    assert (await one(send)).kind is Kind.DELIVERED


@pytest.mark.parametrize(
    ("stage", "code"), [("MAIL", 553), ("RCPT", 550), ("DATA", 554), (".", 554)]
)
@pytest.mark.parametrize("extensions", [[], ["PIPELINING"]])
async def test_refusals_are_for_good(
    send: Send, rmail_mx: FakeMx, stage: str, code: int, extensions: list[str]
) -> None:
    rmail_mx.extensions = extensions
    rmail_mx.replies[stage] = [f"{code} 5.7.1 no"]
    outcome = await one(send)
    assert (outcome.kind, outcome.code, outcome.status) == (Kind.FAILED, code, "5.7.1")
    assert (await one(send)).kind is Kind.DELIVERED
    assert rmail_mx.connections == 1, "a refusal does not end the session"


@pytest.mark.parametrize("stage", ["", "EHLO", "HELO"])
async def test_a_host_that_refuses_us_is_no_fate_of_the_recipient(
    send: Send, rmail_mx: FakeMx, stage: str
) -> None:
    rmail_mx.replies[stage] = "554 5.7.1 go away"
    if stage == "HELO":
        rmail_mx.replies["EHLO"] = "500 what"
    elif stage == "EHLO":
        rmail_mx.replies["HELO"] = "554 5.7.1 go away"
    outcome = await one(send)
    assert (outcome.kind, outcome.code) == (Kind.DEFERRED, 450)
    assert outcome.contact is Contact.NONE
    assert "go away" in outcome.text


@pytest.mark.parametrize("data", ["354 go on", "554 5.5.1 nobody", "250 fine"])
async def test_nobody_accepted_and_data_taken_ends_with_a_single_dot(
    send: Send, rmail_mx: FakeMx, data: str
) -> None:
    rmail_mx.extensions = ["PIPELINING"]
    rmail_mx.refuse = {BOB: "550 5.1.1 who", "carol@remote.test": "450 4.2.2 full"}
    rmail_mx.replies["DATA"] = [data]
    outcomes = await send(BOB, "carol@remote.test")
    assert (outcomes[BOB].kind, outcomes[BOB].status) == (Kind.FAILED, "5.1.1")
    carol = outcomes["carol@remote.test"]
    assert (carol.kind, carol.status) == (Kind.DEFERRED, "4.2.2")
    assert rmail_mx.messages == []
    rmail_mx.refuse.clear()
    assert (await one(send)).kind is Kind.DELIVERED
    assert rmail_mx.connections == 1


async def test_mail_refused_and_data_taken_ends_with_a_single_dot(
    send: Send, rmail_mx: FakeMx
) -> None:
    rmail_mx.extensions = ["PIPELINING"]
    rmail_mx.replies |= {"MAIL": ["550 5.7.1 no"], "DATA": ["354 go on"]}
    assert (await one(send)).status == "5.7.1"
    assert rmail_mx.messages == []
    assert (await one(send)).kind is Kind.DELIVERED


@pytest.mark.parametrize("extensions", [[], ["CHUNKING"]])
async def test_a_lost_answer_means_one_more_attempt_and_not_at_once(
    send: Send, rmail_mx: FakeMx, extensions: list[str]
) -> None:
    rmail_mx.extensions = extensions
    rmail_mx.replies["."] = [Take()]
    outcome = await one(send)
    assert outcome.kind is Kind.DEFERRED, "nobody knows whether it was taken"
    assert len(rmail_mx.messages) == 1, "it was not sent again within the attempt"


async def test_what_was_refused_before_the_end_stays_refused(send: Send, rmail_mx: FakeMx) -> None:
    rmail_mx.refuse = {"carol@remote.test": "550 5.1.1 who"}
    rmail_mx.replies["."] = [DROP]
    outcomes = await send(BOB, "carol@remote.test")
    assert outcomes[BOB].kind is Kind.DEFERRED
    assert outcomes["carol@remote.test"].kind is Kind.FAILED


async def test_a_peer_that_closes_between_recipients(send: Send, rmail_mx: FakeMx) -> None:
    rmail_mx.replies["RCPT"] = ["550 5.1.1 who", CLOSING]
    outcomes = await send("a@remote.test", "b@remote.test", "c@remote.test")
    fates = [(outcome.kind, outcome.code) for outcome in outcomes.values()]
    assert fates == [(Kind.FAILED, 550), (Kind.DEFERRED, 421), (Kind.DEFERRED, 421)]


@pytest.mark.parametrize("stage", ["RSET", "MAIL"])
@pytest.mark.parametrize("extensions", [[], ["PIPELINING"]])
async def test_a_connection_that_died_between_messages_costs_nothing(
    send: Send, rmail_mx: FakeMx, stage: str, extensions: list[str]
) -> None:
    rmail_mx.extensions = extensions
    rmail_mx.replies["RCPT"] = ["550 no"] if stage == "RSET" else []
    assert (await one(send)).kind is (Kind.FAILED if stage == "RSET" else Kind.DELIVERED)
    rmail_mx.replies[stage] = [DROP]
    assert (await one(send)).kind is Kind.DELIVERED
    assert (rmail_mx.messages[-1].recipients, rmail_mx.connections) == ([BOB], 2)


async def test_an_idle_connection_that_says_421_is_not_used(send: Send, rmail_mx: FakeMx) -> None:
    rmail_mx.replies["."] = [Raw(b"250 ok\r\n421 4.3.2 bye\r\n")]
    assert (await one(send)).kind is Kind.DELIVERED
    assert (await one(send)).kind is Kind.DELIVERED
    assert rmail_mx.connections == 2


async def test_a_peer_that_answers_within_the_message_has_not_taken_it(
    send: Send, rmail_mx: FakeMx
) -> None:
    rmail_mx.replies["DATA"] = [Raw(b"354 go\r\n552 5.3.4 too large\r\n")]
    raw = b"Subject: x\r\n\r\n" + b"0123456789\r\n" * 300_000
    outcome = await one(send, raw=raw)
    assert (outcome.kind, outcome.code) == (Kind.FAILED, 552)


async def test_a_yes_within_the_message_is_no_yes(send: Send, rmail_mx: FakeMx) -> None:
    rmail_mx.replies["DATA"] = [Raw(b"354 go\r\n250 taken\r\n")]
    raw = b"Subject: x\r\n\r\n" + b"0123456789\r\n" * 300_000
    assert (await one(send, raw=raw)).kind is Kind.DEFERRED


@pytest.mark.parametrize("step", [DROP, CLOSING, Hang(), Endless(), "450 4.3.0 later"])
async def test_trouble_between_chunks_leaves_the_message_waiting(
    send: Send, rmail_mx: FakeMx, step: Any
) -> None:
    rmail_mx.extensions = ["CHUNKING"]
    rmail_mx.replies["BDAT"] = [step]
    raw = b"Subject: x\r\n\r\n" + b"0123456789\r\n" * 300_000
    assert (await one(send, raw=raw)).kind is Kind.DEFERRED
    assert (await one(send, raw=raw)).kind is Kind.DELIVERED


async def test_a_refused_chunk_ends_the_message(send: Send, rmail_mx: FakeMx) -> None:
    rmail_mx.extensions = ["CHUNKING"]
    rmail_mx.replies["BDAT"] = ["552 5.3.4 too large"]
    raw = b"Subject: x\r\n\r\n" + b"0123456789\r\n" * 300_000
    outcome = await one(send, raw=raw)
    assert (outcome.kind, outcome.code) == (Kind.FAILED, 552)
    assert len([line for line in rmail_mx.commands if line.startswith("BDAT")]) == 1
    assert (await one(send)).kind is Kind.DELIVERED


async def test_a_peer_that_takes_no_bytes_is_left(send: Send, rmail_mx: FakeMx) -> None:
    rmail_mx.replies["DATA"] = [Hang()]
    rmail_mx.extensions = ["PIPELINING"]
    outcome = await one(send, raw=b"Subject: x\r\n\r\n" + b"0123456789\r\n" * 2_000_000)
    assert outcome.kind is Kind.DEFERRED


async def test_an_attempt_ends_however_slow_its_peers_are(
    send: Send, make_transport: MakeTransport, rmail_mx: FakeMx
) -> None:
    rmail_mx.replies[""] = Hang()
    transport = make_transport(timeouts=QUICK | {"greeting_s": 60, "attempt_s": 0.5})
    outcome = await one(send, transport=transport)
    assert (outcome.kind, outcome.status) == (Kind.DEFERRED, "4.4.7")


async def test_a_cancelled_attempt_leaves_no_connection(send: Send, rmail_mx: FakeMx) -> None:
    rmail_mx.replies["MAIL"] = Hang()
    task = asyncio.create_task(send())
    await asyncio.wait_for(rmail_mx.until_command("MAIL"), 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(5):
        await rmail_mx.until(lambda: rmail_mx.open == 0)


async def test_a_peer_that_talks_ahead_is_left_after_few_tries(
    send: Send, rmail_mx: FakeMx
) -> None:
    rmail_mx.replies["EHLO"] = Raw(b"250 hello\r\n250 2.1.0 ok\r\n")
    outcome = await one(send)
    assert outcome.kind is Kind.DEFERRED
    assert rmail_mx.connections == 1
    assert rmail_mx.messages == []


async def test_a_peer_that_never_takes_more_recipients(send: Send, rmail_mx: FakeMx) -> None:
    rmail_mx.refuse = {f"r{n}@remote.test": "452 4.5.3 too many" for n in range(1, 4)}
    outcomes = await send(*(f"r{number}@remote.test" for number in range(4)))
    fates = [outcome.kind for outcome in outcomes.values()]
    assert fates == [Kind.DELIVERED, Kind.DEFERRED, Kind.DEFERRED, Kind.DEFERRED]
    assert len(rmail_mx.messages) == 1


async def test_nobody_listening_is_no_connection(send: Send, make_transport: MakeTransport) -> None:
    outcome = await one(send, transport=make_transport(mx_port=9))
    assert (outcome.kind, outcome.status) == (Kind.DEFERRED, "4.4.1")
    assert outcome.contact is Contact.NONE


@pytest.mark.parametrize(
    ("replies", "contact"),
    [
        ({"": "220 mx ESMTP"}, Contact.ANSWERED),
        ({"RCPT": "451 later"}, Contact.ANSWERED),
        ({"": Drop()}, Contact.NONE),
        ({"EHLO": Drop()}, Contact.NONE),
        ({"MAIL": "421 bye"}, Contact.NONE),
        ({"MAIL": Drop()}, Contact.CUT_OFF),
        ({"DATA": Drop()}, Contact.CUT_OFF),
        ({".": Drop()}, Contact.CUT_OFF),
    ],
)
async def test_an_outcome_tells_how_far_the_attempt_came(
    send: Send, rmail_mx: FakeMx, replies: dict[str, Any], contact: Contact
) -> None:
    rmail_mx.replies = replies
    assert (await send())["bob@remote.test"].contact is contact


async def test_a_message_that_cannot_be_read_tells_nothing_of_its_destination(
    attempt: Callable[..., Attempt], make_transport: MakeTransport, tmp_path: Path
) -> None:
    spool = SpoolFile(tmp_path)
    spool.append(b"Subject: x\r\n\r\n")
    content = Content(b"", spool)
    os.truncate(spool.fileno(), 3)
    (outcome,) = await make_transport().deliver(replace(attempt(), content=content))
    assert (outcome.kind, outcome.contact) == (Kind.DEFERRED, Contact.UNTRIED)


@pytest.fixture
async def liar() -> AsyncIterator[Liar]:
    """A host that does what it likes."""
    async with Liar() as found:
        yield found


@pytest.fixture
def hear(send: Send, make_transport: MakeTransport, liar: Liar) -> Hear:
    """Sends to it."""

    async def act() -> RecipientOutcome:
        return await one(send, transport=make_transport(mx_port=liar.port))

    return act


async def test_a_reply_byte_by_byte_has_the_time_of_one_reply(hear: Hear, liar: Liar) -> None:
    """The greeting would take five seconds, a byte each 50 ms."""
    liar.greeting = b"220-" + b"x" * 94 + b"\r\n"
    liar.pause_s = 0.05
    before = time.monotonic()
    outcome = await hear()
    assert outcome.kind is Kind.DEFERRED
    assert time.monotonic() - before < 3 * QUICK["greeting_s"]


@pytest.mark.parametrize(
    "replies",
    [
        [b"250-liar\r\n250 PIPELINING\r\n", b"250 ok\r\n"],
        [b"250-liar\r\n250 PIPELINING\r\n", b"503 5.5.1 one by one\r\n" * 3],
        [b"250-liar\r\n250 PIPELINING\r\n", b"250 ok\r\n250 ok\r\n250 ok\r\n250 ok\r\n"],
        [b"250-liar\r\n250 CHUNKING\r\n", b"250 ok\r\n", b"250 ok\r\n", b"221 bye\r\n"],
        [b"250-liar\r\n250 SIZE 99999999999999999999999999\r\n", b"250 ok\r\n", b"354 what\r\n"],
        [b"250-liar\r\n250-STARTTLS\r\n250 \r\n", b"454 4.7.0 not now\r\n", b"250\r\n"],
        [b"250-liar\r\n250 STARTTLS\r\n", b"220 go\r\n250 injected\r\n"],
        [b"250-" + b"x" * 1000 + b"\r\n"] * 3,
        [b"\0\0\0\0\r\n"],
        [b"250 \xff\xfe\r\n", b"150 what\r\n"],
        [b"250 liar\r\n", b"000 ok\r\n"],
        [b"250 liar\r\n", b"250 ok", b""],
    ],
)
async def test_a_host_that_lies_takes_nothing_and_gets_no_second_message(
    hear: Hear, liar: Liar, replies: list[bytes]
) -> None:
    liar.replies = replies
    outcome = await hear()
    assert outcome.kind in (Kind.DEFERRED, Kind.FAILED)
    assert liar.connections <= 3


async def test_megabytes_of_replies_are_not_kept(hear: Hear, liar: Liar) -> None:
    liar.replies = [b"250-" + b"x" * 1500 + b"\r\n"] * 3000
    liar.is_unasked = True
    tracemalloc.start()
    try:
        assert (await hear()).kind is Kind.DEFERRED
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < 3 << 20
