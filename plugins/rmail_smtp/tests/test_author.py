"""A local author without a login is marked, and nothing else is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from rmail_smtp.author import MAX_DOMAINS, SHORT_BYTES

from rmail_kernel.content import MAX_HEADER_BYTES
from rmail_kernel.testing import RunningServer, Transcript

Greeter = Callable[[Transcript], Awaitable[list[str]]]
MARK = b"Authentication-Results: mail.example.com; auth=none header.from=example.com\r\n"


@pytest.mark.parametrize(
    ("header", "is_marked"),
    [
        (b"From: Alice <alice@Example.com>\r\n", True),
        (b"From: eve@remote.test\r\nFrom: alice@example.com\r\n", True),
        (b"From: friends: eve@remote.test, alice@example.com;\r\n", True),
        (b"X: " + b"x" * SHORT_BYTES + b"\r\nFrom: alice@example.com\r\n", True),
        (b"From: " + b"eve@remote.test, " * 50 + b"alice@example.com\r\n", True),
        (b'From: "alice@example.com" <eve@remote.test>\r\n', True),
        (b"From: alice@example.com <eve@remote.test>\r\n", True),
        (b"From: eve@remote.test (alice@example.com)\r\n", True),
        (b"From: =?utf-8?q?alice=40example.com?= <eve@remote.test>\r\n", True),
        (b'From: "alice <alice@example.com>\r\n', True),
        (b"From: eve@remote.test alice@example.com\r\n", True),
        (b"From: [alice@example.com]\r\n", True),
        (b"From: alice@exam\0ple.com\r\n", True),
        (b"From\0: alice@example.com\0\r\n", True),
        ("From: alice@\uff45xample.com\r\n".encode(), True),
        ('From: "alice\uff20example.com" <eve@remote.test>\r\n'.encode(), True),
        (b"From: alice@example.com.remote.test\r\n", False),
        (b'From: "alice at example.com" <eve@remote.test>\r\n', False),
        (b"From: alice@remote.test\r\n", False),
        (b"From: alice@bad domain\r\n", False),
        (b"Subject: nobody\r\n", False),
    ],
)
async def test_strangers_with_a_local_author_are_marked(
    rmail_server: RunningServer, header: bytes, is_marked: bool
) -> None:
    assert (await rmail_server.deliver(header + b"\r\nbody\r\n")).is_accepted
    (raw,) = await rmail_server.messages("alice")
    assert (b"\r\n" + MARK + b"Received: " in raw) == is_marked


@pytest.mark.parametrize(
    "header",
    [
        b"From: " + b", ".join(b"eve@r%d.test" % n for n in range(MAX_DOMAINS + 1)) + b"\r\n",
        b"X: " + b"x" * MAX_HEADER_BYTES + b"\r\nFrom: alice@example.com\r\n",
    ],
)
async def test_what_is_too_much_to_look_at_is_marked_whoever_wrote_it(
    rmail_server: RunningServer, header: bytes
) -> None:
    assert (await rmail_server.deliver(header + b"\r\nbody\r\n")).is_accepted
    (raw,) = await rmail_server.messages("alice")
    assert b"\r\nAuthentication-Results: mail.example.com; auth=none\r\nReceived: " in raw


async def test_users_are_not_marked(rmail_server: RunningServer, log_in: Greeter) -> None:
    async with rmail_server.connect("smtps") as client:
        await log_in(client)
        await client.run("""
            C: MAIL FROM:<alice@example.com>
            S: 250 *
            C: RCPT TO:<alice@example.com>
            S: 250 *
            C: DATA
            S: 354 *
            C: From: alice@example.com
            C: .
            S: 250 *
        """)
    assert MARK not in (await rmail_server.messages("alice"))[0]


@pytest.mark.parametrize(
    "forged",
    [
        b"Authentication-Results: mail.example.com; auth=pass\r\n",
        b"AUTHENTICATION-RESULTS:\r\n\tMail.Example.COM\r\n\t1; dkim=pass\r\n",
        b"authentication-results: (really) mail.example.com; spf=pass\r\n",
        b'Authentication-Results: "mail.example.com"; spf=pass\r\n',
        b'Authentication-Results: "mail.exa\\mple.com"; spf=pass\r\n',
        b"Authentication-Results: (a (b) c) mail.example.com; spf=pass\r\n",
        b"Authentication-Results: (\\)) (\\() mail.example.com (2; x) 1; spf=pass\r\n",
    ],
)
async def test_results_that_pretend_to_be_ours_are_removed(
    rmail_server: RunningServer, forged: bytes
) -> None:
    others = b"Authentication-Results: mx.remote.test; spf=pass\r\nSubject: x\r\n"
    assert (await rmail_server.deliver(forged + others + b"\r\nbody\r\n")).is_accepted
    (raw,) = await rmail_server.messages("alice")
    assert raw.endswith(b"\r\n" + others + b"\r\nbody\r\n")
    assert b"mail.example.com;" not in raw.lower()
    assert b"=pass" not in raw.replace(others, b"").lower()


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "header",
    [
        b"Authentication-Results:" + b" " * 500 + b";\r\n",
        b"Authentication-Results:" + b"(a) " * 500 + b";\r\n",
        b"Authentication-Results:" + b"(" * 5000 + b"\r\n",
        b"Authentication-Results:" + b"(" * 50_000 + b")" * 50_000 + b"\r\n",
        b"Authentication-Results:" + b"\\" * 50_000 + b"\r\n",
    ],
)
async def test_no_header_takes_exponential_time(rmail_server: RunningServer, header: bytes) -> None:
    assert (await rmail_server.deliver(header + b"From: x@remote.test\r\n\r\nbody\r\n")).is_accepted
