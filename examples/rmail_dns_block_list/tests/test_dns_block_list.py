"""The block list as an installed plugin of a whole server, against a real DNS server."""

from __future__ import annotations

from typing import Any

import pytest

from rmail_kernel.testing import FakeDns, RunningServer

MESSAGE = """
    S: 220 *
    C: HELO client.test
    S: 250 *
    C: MAIL FROM:<carol@remote.test>
    S: 250 *
    C: RCPT TO:<alice@example.com>
    S: 250 *
    C: DATA
    S: 354 *
    C: X-Mine: 1
    C: .
    S: 250 *
"""


@pytest.fixture
def rmail_plugins() -> list[str]:
    return ["smtp", "dns_block_list"]


@pytest.fixture
def rmail_settings(rmail_dns: FakeDns) -> dict[str, Any]:
    return {
        "dns": {"servers": [rmail_dns.server], "timeout_s": 1},
        "dns_block_list": {"reject": ["bad.test"], "mark": ["grey.test"]},
    }


async def test_who_is_listed_is_refused_before_the_greeting(
    rmail_server: RunningServer, rmail_dns: FakeDns
) -> None:
    rmail_dns.records[("1.0.0.127.bad.test", "A")] = ["127.0.0.2"]
    async with rmail_server.connect("smtp") as client:
        await client.expect("554 5.7.1 127.0.0.1 is listed by bad.test")
        await client.expect_close()
    async with rmail_server.connect("submission") as client:
        await client.expect("220 *")


async def test_who_is_on_a_grey_list_is_marked(
    rmail_server: RunningServer, rmail_dns: FakeDns
) -> None:
    rmail_dns.records[("1.0.0.127.grey.test", "A")] = ["127.0.0.3"]
    async with rmail_server.connect("smtp") as client:
        await client.run(MESSAGE)
    (raw,) = await rmail_server.messages("alice")
    assert b"\r\nX-Listed: 127.0.0.1 by grey.test\r\n" in raw


@pytest.mark.parametrize("trouble", ["failing", "none", "parked"])
async def test_a_list_that_says_nothing_stops_nobody(
    rmail_server: RunningServer, rmail_dns: FakeDns, trouble: str
) -> None:
    if trouble == "failing":
        rmail_dns.failing.add("1.0.0.127.bad.test")
    if trouble == "parked":
        rmail_dns.records[("1.0.0.127.bad.test", "A")] = ["192.0.2.1"]
    async with rmail_server.connect("smtp") as client:
        await client.run(MESSAGE)
    (raw,) = await rmail_server.messages("alice")
    assert b"X-Listed" not in raw
