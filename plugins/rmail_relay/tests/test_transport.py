"""An attempt in peace: what the peer gets, and what is told of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from rmail_relay.client.transaction import CHUNK_BYTES
from rmail_relay.outcome import Attempt, Kind, RecipientOutcome

from rmail_kernel.model import Address, RecipientOptions
from rmail_kernel.testing import FakeDns, FakeMx

from .conftest import MakeTransport, Send

ALL = ["PIPELINING", "8BITMIME", "SMTPUTF8", "DSN", "SIZE 100000000"]


@pytest.mark.parametrize(
    "extensions", [[], ["PIPELINING"], ["CHUNKING"], ["PIPELINING", "CHUNKING"], ALL]
)
async def test_a_message_arrives_as_it_is(
    send: Send, rmail_mx: FakeMx, extensions: list[str]
) -> None:
    rmail_mx.extensions = extensions
    raw = b"Subject: x\r\n\r\n.dot\r\n..two\r\n.\r\nend\r\n"
    outcomes = await send("bob@remote.test", "carol@remote.test", raw=raw)
    assert {outcome.kind for outcome in outcomes.values()} == {Kind.DELIVERED}
    assert outcomes["bob@remote.test"].remote == "mx.remote.test"
    assert outcomes["bob@remote.test"].code == 250
    assert outcomes["bob@remote.test"].status == "2.0.0"
    (received,) = rmail_mx.messages
    assert received.sender == "alice@example.com"
    assert received.recipients == ["bob@remote.test", "carol@remote.test"]
    assert received.raw == raw
    assert received.is_chunked == ("CHUNKING" in extensions)


@pytest.mark.parametrize("extensions", [["PIPELINING"], ["CHUNKING"]])
async def test_large_messages_arrive_in_parts(
    send: Send, rmail_mx: FakeMx, extensions: list[str]
) -> None:
    rmail_mx.extensions = extensions
    raw = b"Subject: x\r\n\r\n" + b".0123456789abcdef\r\n" * (3 * CHUNK_BYTES // 19)
    outcomes = await send(raw=raw)
    assert outcomes["bob@remote.test"].kind is Kind.DELIVERED
    assert rmail_mx.messages[0].raw == raw
    chunks = [line for line in rmail_mx.commands if line.startswith("BDAT")]
    assert all(int(line.split()[1]) <= CHUNK_BYTES for line in chunks)


async def test_the_null_sender_stays_null(send: Send, rmail_mx: FakeMx) -> None:
    await send(sender=None)
    assert rmail_mx.messages[0].sender == ""


async def test_helo_where_ehlo_is_unknown(send: Send, rmail_mx: FakeMx) -> None:
    rmail_mx.replies["EHLO"] = "500 what"
    outcomes = await send()
    assert outcomes["bob@remote.test"].kind is Kind.DELIVERED
    assert rmail_mx.commands[:2] == ["EHLO mail.example.com", "HELO mail.example.com"]


async def test_mixed_fates(send: Send, rmail_mx: FakeMx) -> None:
    rmail_mx.extensions = ["PIPELINING"]
    rmail_mx.refuse = {"b@remote.test": "450 4.2.1 busy", "c@remote.test": "550 5.1.1 who"}
    outcomes = await send("a@remote.test", "b@remote.test", "c@remote.test", "d@remote.test")
    told = {name[0]: (each.kind, each.code, each.status) for name, each in outcomes.items()}
    assert told == {
        "a": (Kind.DELIVERED, 250, "2.0.0"),
        "b": (Kind.DEFERRED, 450, "4.2.1"),
        "c": (Kind.FAILED, 550, "5.1.1"),
        "d": (Kind.DELIVERED, 250, "2.0.0"),
    }
    assert outcomes["c@remote.test"].text == "who"
    assert rmail_mx.messages[0].recipients == ["a@remote.test", "d@remote.test"]


async def test_dsn_options_go_to_those_who_know_them(send: Send, rmail_mx: FakeMx) -> None:
    options = RecipientOptions(
        Address.parse("bob@remote.test"), frozenset({"SUCCESS", "DELAY"}), "rfc822;b+b@old.test"
    )
    asked: dict[str, Any] = {"ret": "HDRS", "envid": "id 1=x", "options": (options,)}
    outcomes = await send(**asked)
    assert not outcomes["bob@remote.test"].is_dsn_relayed
    assert (rmail_mx.messages[0].mail, rmail_mx.messages[0].rcpt) == ("", [""])


async def test_dsn_options_are_encoded(send: Send, rmail_mx: FakeMx) -> None:
    rmail_mx.extensions = ["DSN"]
    options = RecipientOptions(
        Address.parse("bob@remote.test"), frozenset({"SUCCESS", "DELAY"}), "rfc822;b+b@old.test"
    )
    outcomes = await send(ret="HDRS", envid="id 1=x", options=(options,))
    assert outcomes["bob@remote.test"].is_dsn_relayed
    assert rmail_mx.messages[0].mail == "RET=HDRS ENVID=id+201+3Dx"
    assert rmail_mx.messages[0].rcpt == ["NOTIFY=SUCCESS,DELAY ORCPT=rfc822;b+2Bb@old.test"]


async def test_size_and_body_are_declared(send: Send, rmail_mx: FakeMx) -> None:
    rmail_mx.extensions = ALL
    await send(raw="Subject: x\r\n\r\nGrüße\r\n".encode())
    assert rmail_mx.messages[0].mail == "SIZE=23 BODY=8BITMIME"


async def test_what_is_too_large_is_not_sent(send: Send, rmail_mx: FakeMx) -> None:
    rmail_mx.extensions = ["SIZE 10"]
    outcome = (await send())["bob@remote.test"]
    assert (outcome.kind, outcome.code, outcome.status) == (Kind.FAILED, 552, "5.3.4")
    assert rmail_mx.messages == []


async def test_binary_goes_out_as_it_is_or_encoded(
    send: Send, make_transport: MakeTransport, rmail_mx: FakeMx
) -> None:
    raw = (
        b"MIME-Version: 1.0\r\nContent-Type: image/x\r\nContent-Transfer-Encoding: binary\r\n\r\n"
        b"\0\x01\n\r\xff"
    )
    rmail_mx.extensions = ["CHUNKING", "BINARYMIME"]
    await send(raw=raw, is_binary=True)
    assert rmail_mx.messages[0].raw == raw
    assert rmail_mx.messages[0].mail == "BODY=BINARYMIME"
    rmail_mx.extensions = ["CHUNKING", "8BITMIME"]
    await send(raw=raw, is_binary=True, transport=make_transport())
    assert rmail_mx.messages[1].raw.endswith(b"Encoding: base64\r\n\r\nAAEKDf8=\r\n")


async def test_utf8_addresses_need_smtputf8(
    send: Send, make_transport: MakeTransport, rmail_mx: FakeMx
) -> None:
    outcome = (await send("grün@remote.test", smtputf8=True))["grün@remote.test"]
    assert (outcome.kind, outcome.code, outcome.status) == (Kind.FAILED, 553, "5.6.7")
    rmail_mx.extensions = ["SMTPUTF8", "8BITMIME"]
    outcomes = await send("grün@remote.test", smtputf8=True, transport=make_transport())
    assert outcomes["grün@remote.test"].kind is Kind.DELIVERED
    assert rmail_mx.messages[0].mail == "SMTPUTF8"
    assert rmail_mx.messages[0].recipients == ["grün@remote.test"]


async def test_smtputf8_that_is_not_needed_is_not_asked_for(send: Send, rmail_mx: FakeMx) -> None:
    outcomes = await send(smtputf8=True)
    assert outcomes["bob@remote.test"].kind is Kind.DELIVERED


async def test_utf8_headers_need_smtputf8_only_where_they_were_declared(
    send: Send, rmail_mx: FakeMx
) -> None:
    raw = "Subject: Grüße\r\n\r\nBody\r\n".encode()
    assert (await send(raw=raw, smtputf8=True))["bob@remote.test"].status == "5.6.7"
    assert (await send(raw=raw))["bob@remote.test"].kind is Kind.DELIVERED


async def test_connections_are_used_again(send: Send, rmail_mx: FakeMx) -> None:
    rmail_mx.extensions = ["PIPELINING"]
    for _ in range(3):
        assert (await send())["bob@remote.test"].kind is Kind.DELIVERED
    assert rmail_mx.connections == 1
    assert "RSET" not in rmail_mx.commands  # RFC 5321 4.1.1.4: nothing is left of a message


async def test_what_was_refused_is_reset_before_the_next_message(
    send: Send, rmail_mx: FakeMx
) -> None:
    rmail_mx.replies["."] = ["451 4.3.0 later"]
    kinds = [(await send())["bob@remote.test"].kind for _ in range(3)]
    assert kinds == [Kind.DEFERRED, Kind.DELIVERED, Kind.DELIVERED]
    assert rmail_mx.connections == rmail_mx.commands.count("RSET") == 1


@pytest.mark.parametrize("settings", [{"idle_s": 0}, {"max_messages_per_connection": 1}])
async def test_connections_are_not_used_again_when_told_so(
    send: Send, make_transport: MakeTransport, rmail_mx: FakeMx, settings: dict[str, Any]
) -> None:
    transport = make_transport(**settings)
    for _ in range(2):
        await send(transport=transport)
    assert rmail_mx.connections == 2
    assert rmail_mx.commands.count("QUIT") >= 1


async def test_new_settings_count_from_the_next_attempt_on(
    send: Send, make_transport: MakeTransport, rmail_mx: FakeMx
) -> None:
    transport = make_transport()
    await send(transport=transport)
    transport.reload()
    await rmail_mx.until(lambda: rmail_mx.open == 0)
    assert (await send(transport=transport))["bob@remote.test"].kind is Kind.DELIVERED
    assert rmail_mx.connections == 2


async def test_idle_connections_end(
    send: Send, make_transport: MakeTransport, rmail_mx: FakeMx
) -> None:
    await send(transport=make_transport(idle_s=0.05))
    await rmail_mx.until(lambda: rmail_mx.open == 0)
    assert rmail_mx.commands[-1] == "QUIT"


async def test_mailmax_ends_a_connection(send: Send, rmail_mx: FakeMx) -> None:
    rmail_mx.extensions = ["LIMITS MAILMAX=2"]
    for _ in range(3):
        await send()
    assert rmail_mx.connections == 2


async def test_rcptmax_splits_recipients(send: Send, rmail_mx: FakeMx) -> None:
    rmail_mx.extensions = ["PIPELINING", "LIMITS RCPTMAX=2"]
    outcomes = await send(*(f"r{number}@remote.test" for number in range(5)))
    assert {outcome.kind for outcome in outcomes.values()} == {Kind.DELIVERED}
    assert [len(message.recipients) for message in rmail_mx.messages] == [2, 2, 1]
    assert rmail_mx.connections == 1


async def test_who_was_served_is_kept_before_the_next_transaction(
    make_transport: MakeTransport,
    attempt: Callable[..., Attempt],
    rmail_dns: FakeDns,
    rmail_mx: FakeMx,
) -> None:
    rmail_dns.mx("remote.test", "mx.remote.test")
    rmail_mx.extensions = ["LIMITS RCPTMAX=2"]
    rmail_mx.replies["RCPT"] = [None, "550 5.1.1 no", None]
    kept: list[tuple[int, list[str]]] = []

    async def keep(outcomes: Sequence[RecipientOutcome]) -> None:
        kept.append((len(rmail_mx.messages), [str(one.kind) for one in outcomes]))

    made = attempt(*(f"r{number}@remote.test" for number in range(5)))
    outcomes = await make_transport().deliver(replace(made, keep=keep))
    kinds = ["delivered", "failed", "delivered", "delivered", "delivered"]
    assert [str(one.kind) for one in outcomes] == kinds
    assert kept == [(1, kinds[:2]), (2, kinds[:4])]


async def test_limits_of_one_and_one_take_a_connection_for_each(
    send: Send, rmail_mx: FakeMx
) -> None:
    rmail_mx.extensions = ["LIMITS RCPTMAX=1 MAILMAX=1"]
    outcomes = await send(*(f"r{number}@remote.test" for number in range(3)))
    assert {outcome.kind for outcome in outcomes.values()} == {Kind.DELIVERED}
    assert rmail_mx.connections == 3


async def test_too_many_recipients_go_in_another_transaction(send: Send, rmail_mx: FakeMx) -> None:
    rmail_mx.replies["RCPT"] = [None, None, "452 4.5.3 too many", "452 4.5.3 too many"]
    outcomes = await send(*(f"r{number}@remote.test" for number in range(4)))
    assert {outcome.kind for outcome in outcomes.values()} == {Kind.DELIVERED}
    assert [len(message.recipients) for message in rmail_mx.messages] == [2, 2]


async def test_connections_to_one_host_are_counted(
    send: Send, make_transport: MakeTransport, rmail_mx: FakeMx
) -> None:
    transport = make_transport(max_connections_per_host=2)
    await asyncio.gather(*(send(transport=transport) for _ in range(10)))
    assert len(rmail_mx.messages) == 10
    assert rmail_mx.most_open <= 2
