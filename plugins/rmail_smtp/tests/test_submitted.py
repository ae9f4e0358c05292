"""Users write in their own name, hide who was hidden, and send no more than they may."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from rmail_kernel.content import MAX_HEADER_BYTES
from rmail_kernel.storage.accounts import Alias
from rmail_kernel.testing import RunningServer, Transcript

Greeter = Callable[[Transcript], Awaitable[list[str]]]
BEGIN = b"MAIL FROM:<alice@example.com>\r\nRCPT TO:<bob@example.com>\r\nDATA\r\n"
BEGUN = "S: 250 *\nS: 250 *\nS: 354 *\n"


async def _submit(client: Transcript, raw_header: bytes) -> None:
    await client.send(BEGIN + raw_header + b"\r\nbody\r\n.\r\n")
    await client.run(BEGUN)


@pytest.mark.parametrize(
    "header",
    [
        b"From: bob@example.com\r\n",
        b"From: Alice <alice@example.com>, bob@example.com\r\n",
        b"From: alice@example.com\r\nFrom: bob@example.com\r\n",
        b"From: alice@example.com\r\nSender: bob@example.com\r\n",
        b"from : eve@remote.test\r\n",
        b"FROM:\r\n eve@remote.test\r\n",
        b'From: "alice@example.com" <eve@remote.test>\r\n',
        b"From: alice@example.com.remote.test\r\n",
        b"From: friends: eve@remote.test;\r\n",
        b"From: undisclosed:;\r\n",
        b"From: alice\r\n",
        b"From: \r\n",
        b"From: eve@remote.test\0 <alice@example.com>\r\n",
        b"From\t: =?utf-8?q?eve=40remote=2Etest?=\r\n",
        b"From: " + b", ".join([b"alice@example.com"] * 21) + b"\r\n",
        b"X-Long: " + b"x" * MAX_HEADER_BYTES + b"\r\nFrom: bob@example.com\r\n",
    ],
)
async def test_nobody_submits_in_the_name_of_another(
    rmail_server: RunningServer, log_in: Greeter, header: bytes
) -> None:
    async with rmail_server.connect("smtps") as client:
        await log_in(client)
        await _submit(client, header)
        assert (await client.line())[:5] in ("550 5", "552 5")
        await _submit(client, b"From: alice@example.com\r\n")
        await client.expect("250 2.6.0 *")
    assert len(await rmail_server.messages("bob")) == 1


@pytest.mark.parametrize(
    "header",
    [
        b"From: Alice <ALICE@example.com>\r\nSender: alice@example.com\r\n",
        b"From: sales@example.com, alice+news@example.com\r\n",
        b'From: "alice"@example.com\r\n',
    ],
)
async def test_own_addresses_and_aliases_are_fine(
    rmail_server: RunningServer, log_in: Greeter, header: bytes
) -> None:
    await rmail_server.kernel.directory.add_alias("example.com", Alias("sales", "alice"))
    async with rmail_server.connect("submission") as client:
        await log_in(client)
        await _submit(client, header)
        await client.expect("250 2.6.0 *")


async def test_a_missing_author_is_added_and_the_hidden_stay_hidden(
    rmail_server: RunningServer, log_in: Greeter
) -> None:
    async with rmail_server.connect("smtps") as client:
        await log_in(client)
        await _submit(
            client,
            b"Bcc: carol@remote.test,\r\n dave@remote.test\r\nbcc: e@r.test\r\nTo: x@r.test\r\n",
        )
        await client.expect("250 2.6.0 *")
    (raw,) = await rmail_server.messages("bob")
    header = raw.partition(b"\r\n\r\n")[0].lower()
    assert b"bcc" not in header
    assert b"remote.test" not in header
    assert b"\r\nfrom: alice@example.com\r\n" in header
    assert b"\r\nto: x@r.test" in header
    assert raw.endswith(b"\r\n\r\nbody\r\n")


class TestLimits:
    @pytest.fixture
    def rmail_settings(self) -> dict[str, Any]:
        return {"rate_limit": {"messages_per_hour": 2, "messages_per_day": 1000}}

    async def test_an_account_sends_no_more_than_it_may(
        self, rmail_server: RunningServer, log_in: Greeter
    ) -> None:
        async with rmail_server.connect("smtps") as client:
            await log_in(client)
            for _ in range(2):
                await _submit(client, b"Subject: x\r\n")
                await client.expect("250 2.6.0 *")
            await client.run("""
                C: MAIL FROM:<alice@example.com>
                S: 450 4.7.0 You may send 2 messages per hour, try again in * minutes
            """)
        async with rmail_server.connect("smtp") as client:
            await client.expect("220 *")
            await client.run("""
                C: HELO remote.test
                S: 250 *
                C: MAIL FROM:<carol@remote.test>
                S: 250 *
            """)
