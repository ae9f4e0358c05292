"""The kit for plugin authors does what its page says."""

from __future__ import annotations

import asyncio
import smtplib
from datetime import timedelta
from email.message import EmailMessage

import dns.asyncresolver
import dns.resolver
import pytest

from rmail_kernel import hookspecs
from rmail_kernel.testing import (
    FakeClock,
    FakeDns,
    FakeMx,
    HookRecorder,
    RunningServer,
    Transcript,
    make_settings,
)


def resolver(server: FakeDns) -> dns.asyncresolver.Resolver:
    """A resolver that asks only the fake server."""
    found = dns.asyncresolver.Resolver(configure=False)
    host, _, port = server.server.partition(":")
    found.nameservers, found.port = [host], int(port)
    return found


async def test_fake_dns_answers_from_its_table(rmail_dns: FakeDns) -> None:
    rmail_dns.records["example.net", "MX"] = ["10 mx.example.net.", "20 mx2.example.net."]
    answer = await resolver(rmail_dns).resolve("Example.NET", "MX")
    assert sorted(record.exchange.to_text().lower() for record in answer) == [
        "mx.example.net.",
        "mx2.example.net.",
    ]
    assert rmail_dns.queries == [("example.net", "MX")]


async def test_fake_dns_knows_no_such_name_no_such_record_and_failure(rmail_dns: FakeDns) -> None:
    rmail_dns.records["example.net", "A"] = ["192.0.2.1"]
    rmail_dns.failing.add("broken.example")
    ask = resolver(rmail_dns)
    with pytest.raises(dns.resolver.NXDOMAIN):
        await ask.resolve("absent.example", "A")
    with pytest.raises(dns.resolver.NoAnswer):
        await ask.resolve("example.net", "MX")
    with pytest.raises(dns.resolver.NoNameservers):
        await ask.resolve("broken.example", "A")


async def test_fake_mx_keeps_what_it_takes(rmail_mx: FakeMx) -> None:
    message = EmailMessage()
    message["Subject"] = "Hello"
    message.set_content(".leading dot\n")

    def send() -> None:
        with smtplib.SMTP("127.0.0.1", rmail_mx.port, timeout=10) as client:
            client.send_message(message, "a@example.com", ["b@remote.test", "c@remote.test"])

    await asyncio.to_thread(send)
    (received,) = await rmail_mx.wait_for()
    assert received.sender == "a@example.com"
    assert received.recipients == ["b@remote.test", "c@remote.test"]
    assert received.raw.endswith(b"\r\n\r\n.leading dot\r\n")


async def test_fake_mx_refuses_where_it_is_told_to(rmail_mx: FakeMx) -> None:
    rmail_mx.replies["RCPT"] = "450 4.2.0 later"

    def send() -> None:
        with smtplib.SMTP("127.0.0.1", rmail_mx.port, timeout=10) as client:
            client.sendmail("a@example.com", "b@remote.test", "Subject: x\r\n\r\n")

    with pytest.raises(smtplib.SMTPRecipientsRefused, match=r"4\.2\.0 later"):
        await asyncio.to_thread(send)
    assert rmail_mx.messages == []


def test_clock_moves_only_when_moved(rmail_clock: FakeClock) -> None:
    start = rmail_clock.now()
    assert rmail_clock.now() == start
    rmail_clock.advance(90)
    assert rmail_clock.now() - start == timedelta(seconds=90)
    assert rmail_clock.monotonic() == 90
    assert rmail_clock.time() == start.timestamp() + 90


def test_recorder_implements_every_event_hook_but_the_one_that_decides_about_passwords(
    rmail_hooks: HookRecorder,
) -> None:
    events = [
        name
        for name, value in vars(hookspecs).items()
        if name.startswith("on_") and hasattr(value, "rmail_mode")
    ]
    missing = [name for name in events if not hasattr(rmail_hooks, name)]
    assert missing == ["on_auth"]


async def test_server_takes_a_message_and_gives_it_back(
    rmail_server: RunningServer, rmail_hooks: HookRecorder
) -> None:
    await rmail_server.add_user("carol", admin=True)
    report = await rmail_server.deliver(b"Subject: x\r\n\r\nHi\r\n", "carol@example.com")
    assert report.is_accepted
    assert [raw.endswith(b"Hi\r\n") for raw in await rmail_server.messages("carol")] == [True]
    (call,) = await rmail_hooks.wait_for("on_store")
    assert call["stored"].uid == 1


async def test_transcript_fails_when_the_server_says_something_else(
    rmail_server: RunningServer,
) -> None:
    with pytest.raises(AssertionError, match="expected 'a NO"):
        async with rmail_server.connect("imap") as client:
            await client.run("S: * OK *\nC: a NOOP\nS: a NO *")


async def test_transcript_fails_when_something_is_left_unread(rmail_server: RunningServer) -> None:
    with pytest.raises(AssertionError, match="unread"):
        async with rmail_server.connect("imap") as client:
            await client.run("S: * OK *\nC: a NOOP")


async def test_transcript_fails_when_the_server_closes(rmail_mx: FakeMx) -> None:
    with pytest.raises(AssertionError, match="closed"):
        async with Transcript("127.0.0.1", rmail_mx.port) as client:
            await client.run("S: 220 *\nC: QUIT\nS: 221 *\nS: 250 *")


def test_settings_merge_section_by_section(rmail_plugins: list[str], tmp_path: object) -> None:
    from pathlib import Path

    changed = make_settings(Path(str(tmp_path)), rmail_plugins, {"auth": {"cache_s": 0}})
    assert (changed.auth.cache_s, changed.auth.bcrypt_cost) == (0, 4)
