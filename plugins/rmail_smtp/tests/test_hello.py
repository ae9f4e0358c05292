"""The greeting, EHLO, and the commands about nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from rmail_smtp.extensions import EXTENSIONS
from rmail_smtp.parameters import MAIL, RCPT
from rmail_smtp.table import COMMANDS

from rmail_kernel.testing import RunningServer, Transcript

Greeter = Callable[[Transcript], Awaitable[list[str]]]
ALWAYS = [
    "PIPELINING",
    "SIZE 52428800",
    "8BITMIME",
    "BINARYMIME",
    "CHUNKING",
    "SMTPUTF8",
    "ENHANCEDSTATUSCODES",
    "DSN",
]
LIMITS = "LIMITS MAILMAX=100000 RCPTMAX=100"


async def test_a_message_is_taken_and_stored(rmail_server: RunningServer) -> None:
    async with rmail_server.connect("smtp") as client:
        await client.run("S: 220 mail.example.com ESMTP*\nC: EHLO client.test")
        await client.until("250 *")
        await client.run("""
            C: MAIL FROM:<carol@remote.test>
            S: 250 2.1.0 *
            C: RCPT TO:<alice@example.com>
            S: 250 2.1.5 *
            C: DATA
            S: 354 *
            C: Subject: hello
            C:
            C: ..dot
            C: .
            S: 250 2.6.0 Accepted as *
            C: QUIT
            S: 221 2.0.0 *
        """)
        await client.expect_close()
    (raw,) = await rmail_server.messages("alice")
    assert raw.startswith(
        b"Return-Path: <carol@remote.test>\r\nDelivered-To: alice@example.com\r\n"
    )
    assert raw.endswith(b"Subject: hello\r\n\r\n.dot\r\n")


def test_everything_advertised_is_handled() -> None:
    for extension in EXTENSIONS:
        assert extension.verb is None or extension.verb in COMMANDS
        for parameter in extension.parameters:
            assert (MAIL | RCPT)[parameter][0] == extension.keyword


def test_every_parameter_belongs_to_an_advertised_extension() -> None:
    offered = {parameter for extension in EXTENSIONS for parameter in extension.parameters}
    assert set(MAIL) | set(RCPT) == offered


@pytest.mark.parametrize(
    ("listener", "more"),
    [
        ("smtp", [LIMITS, "STARTTLS", "HELP"]),
        ("submission", [LIMITS, "STARTTLS", "HELP"]),
        ("smtps", ["REQUIRETLS", LIMITS, "AUTH PLAIN LOGIN OAUTHBEARER XOAUTH2", "HELP"]),
    ],
)
async def test_each_listener_advertises_what_it_does_now(
    rmail_server: RunningServer, say_hello: Greeter, listener: str, more: list[str]
) -> None:
    async with rmail_server.connect(listener) as client:
        assert await say_hello(client) == [*ALWAYS, *more]


async def test_commands_about_nothing_are_answered(rmail_server: RunningServer) -> None:
    async with rmail_server.connect("smtp") as client:
        await client.run("""
            S: 220 *
            C: NOOP
            S: 250 2.0.0 Ok
            C: noop with words
            S: 250 2.0.0 Ok
            C: HELP
            S: 214 2.0.0 Commands: * MAIL *
            C: HELP mail
            S: 214 2.0.0 Syntax: MAIL FROM:<address> [parameters]
            C: VRFY alice
            S: 252 2.5.0 *
            C: VRFY
            S: 501 5.5.4 *
            C: EXPN list
            S: 502 5.5.1 *
            C: RSET
            S: 250 2.0.0 Ok
            C: RSET now
            S: 501 5.5.4 Syntax: RSET
            C: BOGUS
            S: 500 5.5.2 *
            C:
            S: 500 5.5.2 *
            C: QUIT
            S: 221 2.0.0 Bye
        """)
        await client.expect_close()


async def test_mail_needs_a_hello_first(rmail_server: RunningServer) -> None:
    async with rmail_server.connect("smtp") as client:
        await client.run("""
            S: 220 *
            C: MAIL FROM:<carol@remote.test>
            S: 503 5.5.1 *
            C: HELO
            S: 501 5.5.4 *
            C: HELO client.test
            S: 250 mail.example.com
            C: MAIL FROM:<carol@remote.test> SIZE=5
            S: 555 5.5.4 *
            C: MAIL FROM:<carol@remote.test>
            S: 250 2.1.0 *
        """)


async def test_ehlo_ends_a_transaction(rmail_server: RunningServer, say_hello: Greeter) -> None:
    async with rmail_server.connect("smtp") as client:
        await say_hello(client)
        await client.run("""
            C: MAIL FROM:<carol@remote.test>
            S: 250 2.1.0 *
            C: HELO again.test
            S: 250 mail.example.com
            C: RCPT TO:<alice@example.com>
            S: 503 5.5.1 *
        """)


async def test_a_web_browser_is_sent_away(rmail_server: RunningServer) -> None:
    async with rmail_server.connect("smtp") as client:
        await client.run("S: 220 *\nC: POST / HTTP/1.1\nS: 554 5.5.1 *")
        await client.expect_close()
