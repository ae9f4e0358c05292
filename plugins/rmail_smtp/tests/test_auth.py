"""AUTH: where it is offered, how it runs, what it opens and what it costs to guess."""

from __future__ import annotations

import base64
import hashlib
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from rmail_kernel.model import Address, SessionInfo
from rmail_kernel.storage.accounts import Alias
from rmail_kernel.testing import RunningServer, Transcript
from tests.auth.scram_client import ScramClient

Greeter = Callable[[Transcript], Awaitable[list[str]]]


def _b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


GOOD = _b64("\0alice@example.com\0secret")
FOR_HERSELF = _b64("alice@example.com\0alice@example.com\0secret")
FOR_BOB = _b64("bob@example.com\0alice@example.com\0secret")
_RAW = base64.b64encode(b"\0\xff\0secret").decode()
BAD = _b64("\0alice@example.com\0wrong")


async def test_auth_is_hidden_and_refused_before_tls(
    rmail_server: RunningServer, say_hello: Greeter
) -> None:
    async with rmail_server.connect("submission") as client:
        assert not [word for word in await say_hello(client) if word.startswith("AUTH")]
        await client.run(f"""
            C: AUTH PLAIN {GOOD}
            S: 538 5.7.11 *
            C: MAIL FROM:<alice@example.com>
            S: 530 5.7.0 *
        """)


async def test_auth_is_offered_after_starttls(rmail_server: RunningServer, log_in: Greeter) -> None:
    async with rmail_server.connect("submission") as client:
        assert "AUTH PLAIN LOGIN OAUTHBEARER XOAUTH2" in await log_in(client)


async def test_port_25_takes_no_logins(rmail_server: RunningServer, say_hello: Greeter) -> None:
    async with rmail_server.connect("smtp") as client:
        await say_hello(client)
        await client.run(f"C: AUTH PLAIN {GOOD}\nS: 502 5.5.1 *")


@pytest.mark.parametrize(
    "script",
    [
        f"C: AUTH PLAIN {GOOD}\nS: 235 2.7.0 *",
        f"C: auth plain {GOOD}\nS: 235 2.7.0 *",
        f"C: AUTH PLAIN\nS: 334*\nC: {GOOD}\nS: 235 2.7.0 *",
        f"C: AUTH PLAIN {FOR_HERSELF}\nS: 235 2.7.0 *",
        f"C: AUTH LOGIN\nS: 334 VXNlcm5hbWU6\nC: {_b64('alice@example.com')}\n"
        f"S: 334 UGFzc3dvcmQ6\nC: {_b64('secret')}\nS: 235 2.7.0 *",
        f"C: AUTH LOGIN {_b64('alice')}\nS: 334 *\nC: {_b64('secret')}\nS: 235 2.7.0 *",
        f"C: AUTH PLAIN {BAD}\nS: 535 5.7.8 *",
        f"C: AUTH PLAIN {FOR_BOB}\nS: 535 5.7.8 *",
        "C: AUTH PLAIN =\nS: 501 5.5.2 *",
        "C: AUTH PLAIN !!!\nS: 501 5.5.2 Not base64",
        "C: AUTH PLAIN\nS: 334*\nC: *\nS: 501 5.7.0 *",
        "C: AUTH PLAIN a b\nS: 501 5.5.4 *",
        f"C: AUTH PLAIN {_RAW}\nS: 501 5.5.2 Not UTF-8",
        f"C: AUTH LOGIN {_b64('alice' + chr(0))}\nS: 501 5.5.2 *",
        f"C: HELO old.test\nS: 250*\nC: AUTH PLAIN {GOOD}\nS: 503 5.5.1 *",
        "C: AUTH CRAM-MD5\nS: 504 5.5.4 *",
        "C: AUTH\nS: 501 5.5.4 *",
        f"C: AUTH PLAIN {GOOD}\nS: 235 *\nC: AUTH PLAIN {GOOD}\nS: 503 5.5.1 *",
    ],
)
async def test_the_exchanges(rmail_server: RunningServer, say_hello: Greeter, script: str) -> None:
    async with rmail_server.connect("smtps") as client:
        await say_hello(client)
        await client.run(script)


async def test_a_submitted_message_is_completed_and_says_how_it_came(
    rmail_server: RunningServer, log_in: Greeter
) -> None:
    async with rmail_server.connect("smtps") as client:
        await log_in(client)
        await client.run("""
            C: MAIL FROM:<alice@example.com> AUTH=<>
            S: 250 *
            C: RCPT TO:<bob@example.com>
            S: 250 *
            C: DATA
            S: 354 *
            C: Subject: hi
            C:
            C: .
            S: 250 *
        """)
    (raw,) = await rmail_server.messages("bob")
    assert b" with ESMTPSA id " in raw
    assert b"\r\nDate: " in raw
    assert b"\r\nMessage-ID: <" in raw


async def test_a_user_sends_from_his_own_addresses_only(
    rmail_server: RunningServer, log_in: Greeter
) -> None:
    await rmail_server.kernel.directory.add_alias("example.com", Alias("sales", "alice"))
    async with rmail_server.connect("smtps") as client:
        await log_in(client)
        await client.run("""
            C: MAIL FROM:<bob@example.com>
            S: 553 5.7.1 *
            C: MAIL FROM:<alice@elsewhere.test>
            S: 553 5.7.1 *
            C: MAIL FROM:<Sales@example.com>
            S: 250 *
            C: RSET
            S: 250 *
            C: MAIL FROM:<ALICE@example.com>
            S: 250 *
        """)


async def test_nobody_relays_where_no_plugin_takes_mail_out(
    rmail_server: RunningServer, log_in: Greeter
) -> None:
    async with rmail_server.connect("smtps") as client:
        await log_in(client)
        await client.run("""
            C: MAIL FROM:<alice@example.com>
            S: 250 *
            C: RCPT TO:<dave@elsewhere.test>
            S: 550 5.7.1 *
        """)


async def test_a_login_ends_with_its_account(rmail_server: RunningServer, log_in: Greeter) -> None:
    directory = rmail_server.kernel.directory
    async with rmail_server.connect("smtps") as client:
        await log_in(client)
        account = await directory.get(Address("alice", "example.com"))
        assert account is not None
        await directory.update(account, is_enabled=False)
        await client.run("C: MAIL FROM:<alice@example.com>\nS: 530 5.7.0 *")


async def test_three_failed_logins_end_the_session(
    rmail_server: RunningServer, say_hello: Greeter
) -> None:
    async with rmail_server.connect("smtps") as client:
        await say_hello(client)
        await client.run(f"""
            C: AUTH PLAIN {BAD}
            S: 535 5.7.8 *
            C: AUTH PLAIN {BAD}
            S: 535 5.7.8 *
            C: AUTH PLAIN {BAD}
            S: 535 5.7.8 *
            S: 421 4.7.0 *
        """)
        await client.expect_close()


class TestLockout:
    @pytest.fixture
    def rmail_settings(self) -> dict[str, Any]:
        return {"rate_limit": {"whitelist": [], "max_auth_failures": 1}}

    async def test_a_locked_out_client_is_told_to_come_back(
        self, rmail_server: RunningServer, say_hello: Greeter
    ) -> None:
        async with rmail_server.connect("smtps") as client:
            await say_hello(client)
            await client.run(f"""
                C: AUTH PLAIN {BAD}
                S: 535 5.7.8 *
                C: AUTH PLAIN {GOOD}
                S: 454 4.7.0 *
            """)


class TestWithoutTls:
    @pytest.fixture
    def rmail_settings(self) -> dict[str, Any]:
        return {"tls": {"enabled": False}}

    async def test_auth_is_offered_in_clear_text(
        self, rmail_server: RunningServer, log_in: Greeter
    ) -> None:
        async with rmail_server.connect("submission") as client:
            assert "AUTH PLAIN LOGIN OAUTHBEARER XOAUTH2" in await log_in(client)


class TestScram:
    @pytest.fixture
    def rmail_settings(self) -> dict[str, Any]:
        return {"auth": {"scram": True, "scram_iterations": 4096}}

    async def test_scram_bound_to_the_channel(
        self, rmail_server: RunningServer, say_hello: Greeter
    ) -> None:
        info = SessionInfo("t", "submission", "127.0.0.1")
        await rmail_server.kernel.auth.authenticate("alice", "secret", info)
        async with rmail_server.connect("smtps") as client:
            keywords = await say_hello(client)
            assert "AUTH SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN OAUTHBEARER XOAUTH2" in (
                keywords
            )
            certificate = (rmail_server.mail_root / "tls/cert.pem").read_text()
            binding = hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate)).digest()
            scram = ScramClient("alice", "secret", flag="p=tls-server-end-point", binding=binding)
            first = base64.b64encode(scram.first()).decode()
            await client.send(f"AUTH SCRAM-SHA-256-PLUS {first}\r\n".encode())
            challenge = base64.b64decode((await client.expect("334 *")).partition(" ")[2])
            await client.send(base64.b64encode(scram.final(challenge)) + b"\r\n")
            signature = base64.b64decode((await client.expect("334 *")).partition(" ")[2])
            assert signature == scram.signature
            await client.run("C:\nS: 235 2.7.0 *\nC: MAIL FROM:<alice@example.com>\nS: 250 *")


async def test_a_token_of_ours_logs_in(rmail_server: RunningServer, say_hello: Greeter) -> None:
    auth = rmail_server.kernel.auth
    info = SessionInfo("t", "submission", "127.0.0.1")
    token, _ = auth.issue_token(await auth.authenticate("alice", "secret", info))
    good = _b64(f"user=alice@example.com\1auth=Bearer {token}\1\1")
    bad = _b64("n,a=alice@example.com,\1auth=Bearer x\1\1")
    async with rmail_server.connect("smtps") as client:
        await say_hello(client)
        await client.run(f"""
            C: AUTH OAUTHBEARER {bad}
            S: 334 *
            C: {_b64(chr(1))}
            S: 535 5.7.8 *
            C: AUTH XOAUTH2 {good}
            S: 235 2.7.0 *
        """)
