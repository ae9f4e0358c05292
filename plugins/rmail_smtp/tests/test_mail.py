"""MAIL: senders and parameters."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from rmail_kernel.model import Address
from rmail_kernel.testing import RunningServer, Transcript

Greeter = Callable[[Transcript], Awaitable[list[str]]]


@pytest.mark.parametrize(
    ("argument", "reply"),
    [
        ("FROM:<carol@remote.test>", "250 2.1.0 *"),
        ("from: <carol@remote.test>", "250 2.1.0 *"),
        ("FROM:<>", "250 2.1.0 *"),
        ("FROM:<@relay.test,@b.test:carol@remote.test>", "250 2.1.0 *"),
        ('FROM:<"carol \\" >"@remote.test>', "250 2.1.0 *"),
        ("FROM:<carol@remote.test> SIZE=1000 BODY=8BITMIME SMTPUTF8", "250 2.1.0 *"),
        ("FROM:<carol@remote.test> body=7bit", "250 2.1.0 *"),
        ("FROM:<carol@xn--bcher-kva.test>", "250 2.1.0 *"),
        ("FROM:<kärol@remote.test> SMTPUTF8", "250 2.1.0 *"),
        ("FROM:<kärol@remote.test>", "553 5.6.7 *"),
        ("FROM:<carol@remote.test> SIZE=52428801", "552 5.3.4 *"),
        ("FROM:<carol@remote.test> SIZE=", "501 5.5.4 *"),
        ("FROM:<carol@remote.test> SIZE=-1", "501 5.5.4 *"),
        ("FROM:<carol@remote.test> BODY=BINARYMIME", "250 2.1.0 *"),
        ("FROM:<carol@remote.test> BODY=9BIT", "501 5.5.4 *"),
        ("FROM:<carol@remote.test> BODY", "501 5.5.4 *"),
        ("FROM:<carol@remote.test> RET=HDRS ENVID=QQ+2B314", "250 2.1.0 *"),
        ("FROM:<carol@remote.test> ret=full", "250 2.1.0 *"),
        ("FROM:<carol@remote.test> RET=SOME", "501 5.5.4 *"),
        ("FROM:<carol@remote.test> RET", "501 5.5.4 *"),
        ("FROM:<carol@remote.test> ENVID=", "501 5.5.4 *"),
        ("FROM:<carol@remote.test> ENVID=a+0D+0Ab", "501 5.5.4 *"),
        ("FROM:<carol@remote.test> ENVID=a+2b", "501 5.5.4 *"),
        (f"FROM:<carol@remote.test> ENVID={'x' * 101}", "501 5.5.4 *"),
        ("FROM:<carol@remote.test> REQUIRETLS", "555 5.5.4 *"),
        ("FROM:<carol@remote.test> SMTPUTF8=1", "501 5.5.4 *"),
        ("FROM:<carol@remote.test> SIZE=1 SIZE=2", "501 5.5.4 *"),
        ("FROM:<carol@remote.test> BY=120;R", "555 5.5.4 *"),
        ("FROM:<carol@remote.test> AUTH=<>", "555 5.5.4 *"),
        ("FROM:<carol@remote.test>SIZE=1", "501 5.5.4 *"),
        ("FROM:carol@remote.test", "501 5.1.7 *"),
        ("FROM:<carol@remote.test", "501 5.1.7 *"),
        ("FROM:<carol>", "501 5.1.7 *"),
        ("FROM:<a..b@remote.test>", "501 5.1.7 *"),
        ("FROM:<(c)carol@remote.test>", "501 5.1.7 *"),
        ("FROM:<car\0ol@remote.test>", "501 5.1.7 *"),
        (f"FROM:<{'c' * 65}@remote.test>", "501 5.1.7 *"),
        ("TO:<carol@remote.test>", "501 5.1.7 *"),
        ("", "501 5.1.7 *"),
    ],
)
async def test_the_grammar_of_mail(
    rmail_server: RunningServer, say_hello: Greeter, argument: str, reply: str
) -> None:
    async with rmail_server.connect("smtp") as client:
        await say_hello(client)
        await client.send(f"MAIL {argument}\r\n".encode())
        await client.expect(reply)


async def test_an_argument_that_is_not_utf8_is_a_syntax_error(
    rmail_server: RunningServer, say_hello: Greeter
) -> None:
    async with rmail_server.connect("smtp") as client:
        await say_hello(client)
        await client.send(b"MAIL FROM:<k\xe4rol@remote.test> SMTPUTF8\r\n")
        await client.expect("501 5.1.7 *")


async def test_transactions_do_not_nest(rmail_server: RunningServer, say_hello: Greeter) -> None:
    async with rmail_server.connect("smtp") as client:
        await say_hello(client)
        await client.run("""
            C: MAIL FROM:<carol@remote.test>
            S: 250 *
            C: MAIL FROM:<dave@remote.test>
            S: 503 5.5.1 *
            C: RSET
            S: 250 *
            C: MAIL FROM:<dave@remote.test>
            S: 250 *
        """)


async def test_a_stranger_cannot_claim_a_local_sender(
    rmail_server: RunningServer, say_hello: Greeter
) -> None:
    async with rmail_server.connect("smtp") as client:
        await say_hello(client)
        await client.run("""
            C: MAIL FROM:<alice@example.com>
            S: 550 5.7.1 *
            C: MAIL FROM:<nobody@EXAMPLE.com>
            S: 550 5.7.1 *
        """)


async def test_an_account_may_allow_others_to_send_in_its_name(
    rmail_server: RunningServer, say_hello: Greeter
) -> None:
    directory = rmail_server.kernel.directory
    account = await directory.get(Address("alice", "example.com"))
    assert account is not None
    await directory.update(account, preferences={"allow_unauthenticated_sender": True})
    async with rmail_server.connect("smtp") as client:
        await say_hello(client)
        await client.run("C: MAIL FROM:<alice@example.com>\nS: 250 *")
