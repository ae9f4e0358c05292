"""AUTHENTICATE with the kernel's mechanisms (RFC 3501 6.2.2, RFC 4959, RFC 7628, RFC 7677)."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from base64 import b64decode, b64encode
from typing import Any

import pytest

from rmail_kernel.model import SessionInfo
from rmail_kernel.testing import RunningServer, Transcript
from rmail_kernel.testing.transcript import trusting_context
from tests.auth.scram_client import ScramClient


@pytest.fixture
def rmail_settings() -> dict[str, Any]:
    return {"auth": {"scram": True, "scram_iterations": 4096}, "rate_limit": {"enabled": False}}


async def keep_keys(server: RunningServer) -> None:
    """A login with the password makes the keys that the others need."""
    async with server.connect("imap") as client:
        await client.run("S: * OK *\nC: a LOGIN alice secret\nS: a OK *")


async def scram(client: Transcript, mechanism: str, proof: ScramClient) -> None:
    """Runs an exchange up to the tagged line."""
    first = b64encode(proof.first()).decode()
    line = (await client.run(f"C: a AUTHENTICATE {mechanism} {first}\nS: + *"))[0]
    final = b64encode(proof.final(b64decode(line[2:]))).decode()
    await client.run(f"C: {final}")


@pytest.mark.parametrize("listener", ["imap", "imaps"])
async def test_scram_proves_both_sides(rmail_server: RunningServer, listener: str) -> None:
    await keep_keys(rmail_server)
    async with rmail_server.connect(listener) as client:
        greeting = (await client.run("S: * OK [CAPABILITY *] *"))[0]
        assert " AUTH=SCRAM-SHA-256" in greeting
        assert ("AUTH=SCRAM-SHA-256-PLUS" in greeting) == (listener == "imaps")
        proof = ScramClient("alice", "secret")
        await scram(client, "SCRAM-SHA-256", proof)
        await client.run(f"""
            S: + {b64encode(proof.signature).decode()}
            C:
            S: a OK [CAPABILITY *] Logged in
            C: b NAMESPACE
            S: * NAMESPACE *
            S: b OK *
        """)


@pytest.mark.parametrize("listener", ["imap", "imaps"])
async def test_scram_plus_is_bound_to_the_certificate(
    rmail_server: RunningServer, listener: str
) -> None:
    await keep_keys(rmail_server)
    async with rmail_server.connect(listener) as client:
        await client.run("S: * OK *")
        if listener == "imap":
            await client.run("C: s AUTHENTICATE SCRAM-SHA-256-PLUS\nS: s NO [CANNOT] *")
            await client.run("C: t STARTTLS\nS: t OK *")
            await client.start_tls()
            lines = await client.run("C: u CAPABILITY\nS: * CAPABILITY *\nS: u OK *")
            assert "AUTH=SCRAM-SHA-256-PLUS" in lines[0]
        tls = client.writer.get_extra_info("ssl_object")
        assert isinstance(tls, ssl.SSLObject)
        binding = hashlib.sha256(tls.getpeercert(binary_form=True) or b"").digest()
        for found, end in ((b"x" * 32, "a NO [AUTHENTICATIONFAILED] *"), (binding, "+ *")):
            flag = "p=tls-server-end-point"
            proof = ScramClient("alice", "secret", flag=flag, binding=found)
            await scram(client, "SCRAM-SHA-256-PLUS", proof)
            await client.run(f"S: {end}")
        await client.run("C:\nS: a OK *")


@pytest.mark.parametrize("wrong", [b"", b"x"])
async def test_tls_1_2_is_bound_by_its_handshake_too(
    rmail_server: RunningServer, wrong: bytes
) -> None:
    # RFC 5802 6.1
    await keep_keys(rmail_server)
    context = trusting_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    async with rmail_server.connect("imap") as client:
        await client.run("S: * OK *\nC: t STARTTLS\nS: t OK *")
        async with asyncio.timeout(10):
            await client.writer.start_tls(context)
        tls = client.writer.get_extra_info("ssl_object")
        assert isinstance(tls, ssl.SSLObject)
        binding = wrong or tls.get_channel_binding("tls-unique")
        proof = ScramClient("alice", "secret", flag="p=tls-unique", binding=binding or b"")
        await scram(client, "SCRAM-SHA-256-PLUS", proof)
        await client.run("S: a NO [AUTHENTICATIONFAILED] *" if wrong else "S: + *\nC:\nS: a OK *")


_UNBOUND = {"auth": {"scram": True, "scram_iterations": 4096}}
_PLUS = ["AUTH=SCRAM-SHA-256-PLUS"]


@pytest.mark.parametrize(
    ("rmail_settings", "end"),
    [
        (_UNBOUND | {"imap": {"disabled_for_clients": {"any": _PLUS}}}, "a NO [AUTH*] *"),
        (_UNBOUND | {"imap": {"disabled_capabilities": _PLUS}}, "+ *"),
    ],
)
async def test_who_was_not_offered_to_bind_may_say_so_where_nobody_is(
    rmail_server: RunningServer, end: str
) -> None:
    # RFC 5802 6: a name in ID is not proof enough, whoever hides the offer could give it
    await keep_keys(rmail_server)
    async with rmail_server.connect("imaps") as client:
        await client.run('S: * OK *\nC: i ID ("name" "any")\nS: * ID (*)\nS: i OK *')
        lines = await client.run("C: c CAPABILITY\nS: * CAPABILITY *\nS: c OK *")
        assert "SCRAM-SHA-256-PLUS" not in lines[0]
        first = b64encode(ScramClient("alice", "secret", flag="y").first()).decode()
        await client.run(f"C: a AUTHENTICATE SCRAM-SHA-256 {first}\nS: {end}")
        if end == "+ *":
            await client.run("C: *\nS: a BAD *")
        await client.run("C: b AUTHENTICATE SCRAM-SHA-256-PLUS\nS: b NO [CANNOT] *")


async def test_a_wrong_proof_is_a_failed_login(rmail_server: RunningServer) -> None:
    await keep_keys(rmail_server)
    async with rmail_server.connect("imap") as client:
        await client.run("S: * OK *")
        for number in range(3):
            await scram(client, "SCRAM-SHA-256", ScramClient("alice", "wrong"))
            if number == 2:
                await client.run("S: * BYE Too many failed logins")
            await client.run("S: a NO [AUTHENTICATIONFAILED] *")
        await client.expect_close()


@pytest.mark.parametrize(
    ("mechanism", "form"),
    [
        ("OAUTHBEARER", "n,a=alice,\x01auth=Bearer {}\x01\x01"),
        ("XOAUTH2", "user=alice\x01auth=Bearer {}\x01\x01"),
    ],
)
async def test_a_token_of_ours_logs_in(
    rmail_server: RunningServer, mechanism: str, form: str
) -> None:
    auth = rmail_server.kernel.auth
    principal = await auth.authenticate("alice", "secret", SessionInfo("1", "test"))
    token, _ = auth.issue_token(principal)
    good = b64encode(form.format(token).encode()).decode()
    bad = b64encode(form.format(token + "x").encode()).decode()
    async with rmail_server.connect("imap") as client:
        await client.run(f"""
            S: * OK *
            C: a AUTHENTICATE {mechanism} {bad}
            S: + *
            C: AQ==
            S: a NO [AUTHENTICATIONFAILED] *
            C: b AUTHENTICATE {mechanism} AAAA
            S: b BAD *
            C: c AUTHENTICATE {mechanism}
            S: +*
            C: {good}
            S: c OK *
        """)


async def test_an_exchange_is_cancelled_by_a_star(rmail_server: RunningServer) -> None:
    first = b64encode(ScramClient("alice", "secret").first()).decode()
    async with rmail_server.connect("imap") as client:
        await client.run(f"""
            S: * OK *
            C: a AUTHENTICATE SCRAM-SHA-256 {first}
            S: + *
            C: *
            S: a BAD Cancelled
            C: b AUTHENTICATE SCRAM-SHA-256 =
            S: b BAD *
            C: c LOGIN alice secret
            S: c OK *
        """)
