"""RCPT: who is here, and who may send elsewhere."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from rmail_kernel.model import Address
from rmail_kernel.storage.accounts import Alias
from rmail_kernel.testing import RunningServer, Transcript

Greeter = Callable[[Transcript], Awaitable[list[str]]]
BEGIN = "C: MAIL FROM:<carol@remote.test>\nS: 250 *\n"


@pytest.mark.parametrize(
    ("argument", "reply"),
    [
        ("TO:<alice@example.com>", "250 2.1.5 *"),
        ("TO:<ALICE@EXAMPLE.COM>", "250 2.1.5 *"),
        ("TO:<@relay.test:alice@example.com>", "250 2.1.5 *"),
        ("TO:<nobody@example.com>", "550 5.1.1 *"),
        ("TO:<dave@elsewhere.test>", "550 5.7.1 Relaying denied, log in *"),
        ("TO:<alice@[127.0.0.1]>", "550 5.7.1 *"),
        ("TO:<alice%elsewhere.test@example.com>", "550 5.1.1 *"),
        ("TO:<älice@example.com>", "553 5.6.7 *"),
        ("TO:<alice@example.com> NOTIFY=NEVER", "250 2.1.5 *"),
        ("TO:<alice@example.com> notify=success,Failure,DELAY", "250 2.1.5 *"),
        ("TO:<alice@example.com> NOTIFY=NEVER,FAILURE", "501 5.5.4 *"),
        ("TO:<alice@example.com> NOTIFY=NEVER,NEVER", "501 5.5.4 *"),
        ("TO:<alice@example.com> NOTIFY=", "501 5.5.4 *"),
        ("TO:<alice@example.com> NOTIFY=SUCCESS,,DELAY", "501 5.5.4 *"),
        ("TO:<alice@example.com> NOTIFY=ALWAYS", "501 5.5.4 *"),
        ("TO:<alice@example.com> ORCPT=rfc822;a+2Bb@old.test", "250 2.1.5 *"),
        ("TO:<alice@example.com> ORCPT=utf-8;gr\\x{FC}n@old.test", "250 2.1.5 *"),
        ("TO:<alice@example.com> ORCPT=alice@example.com", "501 5.5.4 *"),
        ("TO:<alice@example.com> ORCPT=rfc822;", "501 5.5.4 *"),
        ("TO:<alice@example.com> ORCPT=rfc822;a+0D+0Ab", "501 5.5.4 *"),
        (f"TO:<alice@example.com> ORCPT=rfc822;{'x' * 494}", "501 5.5.4 *"),
        ("TO:<alice@example.com> SIZE=1", "555 5.5.4 *"),
        ("TO:<>", "501 5.1.3 *"),
        ("TO:<alice>", "501 5.1.3 *"),
        ("FROM:<alice@example.com>", "501 5.1.3 *"),
        ("", "501 5.1.3 *"),
    ],
)
async def test_the_answers_of_rcpt(
    rmail_server: RunningServer, say_hello: Greeter, argument: str, reply: str
) -> None:
    async with rmail_server.connect("smtp") as client:
        await say_hello(client)
        await client.run(BEGIN)
        await client.send(f"RCPT {argument}\r\n".encode())
        await client.expect(reply)


async def test_recipients_need_a_sender_first(
    rmail_server: RunningServer, say_hello: Greeter
) -> None:
    async with rmail_server.connect("smtp") as client:
        await say_hello(client)
        await client.run("C: RCPT TO:<alice@example.com>\nS: 503 5.5.1 *")


async def test_postmaster_exists_as_soon_as_there_is_an_administrator(
    rmail_server: RunningServer, say_hello: Greeter
) -> None:
    async with rmail_server.connect("smtp") as client:
        await say_hello(client)
        await client.run(BEGIN + "C: RCPT TO:<Postmaster>\nS: 550 5.1.1 *")
        await rmail_server.add_user("root", admin=True)
        await client.run("C: RCPT TO:<Postmaster>\nS: 250 *")


async def test_an_alias_is_a_recipient(rmail_server: RunningServer, say_hello: Greeter) -> None:
    await rmail_server.kernel.directory.add_alias("example.com", Alias("sales-.*", "alice"))
    async with rmail_server.connect("smtp") as client:
        await say_hello(client)
        await client.run(BEGIN)
        await client.run("""
            C: RCPT TO:<Sales-EU@example.com>
            S: 250 *
            C: RCPT TO:<presales-eu@example.com>
            S: 550 5.1.1 *
        """)


async def test_a_disabled_account_takes_no_mail(
    rmail_server: RunningServer, say_hello: Greeter
) -> None:
    directory = rmail_server.kernel.directory
    account = await directory.get(Address("bob", "example.com"))
    assert account is not None
    await directory.update(account, is_enabled=False)
    async with rmail_server.connect("smtp") as client:
        await say_hello(client)
        await client.run(BEGIN + "C: RCPT TO:<bob@example.com>\nS: 550 5.2.1 *")


async def test_a_full_mailbox_is_for_later(rmail_server: RunningServer, say_hello: Greeter) -> None:
    directory = rmail_server.kernel.directory
    raw = b"Subject: large\r\n\r\n" + b"a line of text\r\n" * 70_000
    assert (await rmail_server.deliver(raw, "bob@example.com")).is_accepted
    account = await directory.get(Address("bob", "example.com"))
    assert account is not None
    await directory.update(account, quota_mb=1)
    async with rmail_server.connect("smtp") as client:
        await say_hello(client)
        await client.run(BEGIN + "C: RCPT TO:<bob@example.com>\nS: 452 4.2.2 *")


async def test_a_mailbox_that_the_declared_size_would_overfill_is_for_later(
    rmail_server: RunningServer, say_hello: Greeter
) -> None:
    # RFC 1870 6.2
    directory = rmail_server.kernel.directory
    account = await directory.get(Address("bob", "example.com"))
    assert account is not None
    await directory.update(account, quota_mb=1)
    async with rmail_server.connect("smtp") as client:
        await say_hello(client)
        for size, reply in (((1 << 20) + 1, "452 4.2.2 *"), (1 << 20, "250 2.1.5 *")):
            await client.run(f"""
                C: MAIL FROM:<carol@remote.test> SIZE={size}
                S: 250 2.1.0 *
                C: RCPT TO:<bob@example.com>
                S: {reply}
                C: RSET
                S: 250 *
                """)


class TestMany:
    @pytest.fixture
    def rmail_settings(self) -> dict[str, Any]:
        return {"smtp": {"max_recipients": 100}}

    async def test_recipients_past_the_limit_are_for_another_transaction(
        self, rmail_server: RunningServer, say_hello: Greeter
    ) -> None:
        await rmail_server.kernel.directory.add_alias("example.com", Alias("n[0-9]+", "alice"))
        async with rmail_server.connect("smtp") as client:
            await say_hello(client)
            await client.run(BEGIN)
            for number in range(100):
                await client.send(f"RCPT TO:<n{number}@example.com>\r\n".encode())
                await client.expect("250 2.1.5 *")
            await client.run("""
                C: RCPT TO:<n100@example.com>
                S: 452 4.5.3 *
                C: DATA
                S: 354 *
                C: Subject: once
                C: .
                S: 250 *
            """)
        assert len(await rmail_server.messages("alice")) == 1
