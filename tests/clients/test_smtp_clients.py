"""SMTP through clients that others wrote."""

from __future__ import annotations

import asyncio
import smtplib
import ssl
from pathlib import Path

import pytest

from rmail_kernel.testing import RunningServer, trusting_context

RAW = b"Subject: Hello\r\nFrom: alice@example.com\r\n\r\nBody\r\n"


async def program(*command: str, stdin: bytes = b"") -> str:
    """What a program prints; it must succeed."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate(stdin)
    text = out.decode("utf-8", "replace")
    assert process.returncode == 0, text
    return text


@pytest.mark.tool("swaks")
async def test_swaks_delivers_from_outside(rmail_server: RunningServer) -> None:
    target = f"127.0.0.1:{rmail_server.ports['smtp']}"
    addresses = ("--from", "x@remote.test", "--to", "alice@example.com,bob@example.com")
    await program("swaks", "--server", target, *addresses, "--header", "Subject: Hello")
    for user in ("alice", "bob"):
        (raw,) = await rmail_server.messages(user)
        assert b"\r\nSubject: Hello\r\n" in raw


@pytest.mark.tool("swaks")
@pytest.mark.parametrize(("listener", "tls"), [("submission", "--tls"), ("smtps", "--tlsc")])
async def test_swaks_submits_over_tls(rmail_server: RunningServer, listener: str, tls: str) -> None:
    target = f"127.0.0.1:{rmail_server.ports[listener]}"
    login = ("--auth", "LOGIN", "--auth-user", "alice@example.com", "--auth-password", "secret")
    addresses = ("--from", "alice@example.com", "--to", "bob@example.com")
    await program("swaks", "--server", target, tls, *login, *addresses)
    assert len(await rmail_server.messages("bob")) == 1


@pytest.mark.tool("curl")
async def test_curl_delivers_a_file(rmail_server: RunningServer, tmp_path: Path) -> None:
    letter = tmp_path / "letter.eml"
    letter.write_bytes(RAW)
    url = f"smtp://127.0.0.1:{rmail_server.ports['smtp']}/client.test"
    addresses = ("--mail-from", "x@remote.test", "--mail-rcpt", "alice@example.com")
    await program("curl", "-sS", "--max-time", "20", url, *addresses, "-T", str(letter))
    (raw,) = await rmail_server.messages()
    assert raw.endswith(RAW)


def submit(port: int, context: ssl.SSLContext) -> None:
    """Sends as the usage guide shows it: STARTTLS, login, sendmail."""
    with smtplib.SMTP("127.0.0.1", port, timeout=10) as client:
        client.ehlo("client.example.com")
        assert not client.has_extn("auth")
        client.starttls(context=context)
        client.ehlo("client.example.com")
        client.login("alice@example.com", "secret")
        client.sendmail("alice@example.com", ["bob@example.com"], RAW)


async def test_smtplib_submits_after_starttls(rmail_server: RunningServer) -> None:
    await asyncio.to_thread(submit, rmail_server.ports["submission"], trusting_context())
    (raw,) = await rmail_server.messages("bob")
    assert b"with ESMTPSA id " in raw
