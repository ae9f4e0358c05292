"""What a sender asks for in NOTIFY, RET, ENVID and ORCPT is what he gets (RFC 3461)."""

from __future__ import annotations

import asyncio
import smtplib
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any, cast

import pytest

from rmail_kernel.storage.accounts import Alias
from rmail_kernel.testing import FakeDns, FakeMx, HookRecorder, RunningServer

SENDER = "alice@example.com"
DAVE = "dave@remote.test"
LARGE_BYTES = 1 << 21


@pytest.fixture
def rmail_plugins() -> list[str]:
    return ["smtp", "relay"]


@pytest.fixture
def rmail_settings(rmail_dns: FakeDns, rmail_mx: FakeMx) -> dict[str, Any]:
    """Delays are told after a moment, and mail is given up soon after."""
    rmail_dns.mx("remote.test", "mx.remote.test")
    relay = {
        "dns_servers": [rmail_dns.server],
        "mx_port": rmail_mx.port,
        "retry_schedule_s": [0.2],
        "delay_notice_s": 0.3,
        "max_age_s": 5.0,
    }
    return {"relay": relay, "tls": {"enabled": False}}


async def submit(
    server: RunningServer,
    recipient: str,
    notify: str = "",
    mail: tuple[str, ...] = (),
    rcpt: tuple[str, ...] = (),
    body: str = "body",
) -> None:
    """As a mail program does it."""
    raw = f"From: {SENDER}\r\nSubject: hello\r\n\r\n{body}\r\n".encode()
    options = (*([f"NOTIFY={notify}"] if notify else []), *rcpt)

    def send() -> None:
        with smtplib.SMTP("127.0.0.1", server.ports["submission"], timeout=20) as client:
            client.login(SENDER, "secret")
            client.sendmail(SENDER, [recipient], raw, mail_options=mail, rcpt_options=options)

    await asyncio.to_thread(send)


async def notices(server: RunningServer, count: int) -> list[EmailMessage]:
    """What is in the sender's INBOX, once there are so many."""
    async with asyncio.timeout(20):
        while len(found := await server.messages()) < count:
            await asyncio.sleep(0.02)  # a store tells of no message that the test has missed
    return [message_from_bytes(raw, policy=policy.default) for raw in found]


def blocks(notice: EmailMessage) -> tuple[EmailMessage, EmailMessage]:
    """The fields of the message, and of the one recipient."""
    _, status, _ = notice.iter_parts()
    whole, recipient = cast("list[EmailMessage]", cast(EmailMessage, status).get_payload())
    return whole, recipient


@pytest.mark.parametrize(
    ("notify", "actions"),
    [
        ("", ["delayed", "failed"]),
        ("DELAY", ["delayed"]),
        ("FAILURE", ["failed"]),
        ("DELAY,FAILURE", ["delayed", "failed"]),
        ("SUCCESS", []),
        ("SUCCESS,DELAY", ["delayed"]),
        ("NEVER", []),
    ],
)
async def test_what_waits_and_fails_is_told_as_asked(
    rmail_server: RunningServer,
    rmail_mx: FakeMx,
    rmail_hooks: HookRecorder,
    notify: str,
    actions: list[str],
) -> None:
    rmail_mx.replies["RCPT"] = "451 4.2.1 later"
    await submit(rmail_server, DAVE, notify)
    await rmail_hooks.wait_for("on_bounce", 1, timeout_s=40)
    found = await notices(rmail_server, len(actions))
    assert [str(blocks(notice)[1]["Action"]) for notice in found] == actions
    assert await rmail_server.kernel.queue.jobs("relay") == []


@pytest.mark.parametrize(
    ("ret", "size_bytes", "kind"),
    [
        ("HDRS", 100, "text/rfc822-headers"),
        ("HDRS", LARGE_BYTES, "text/rfc822-headers"),
        ("FULL", 100, "message/rfc822"),
        ("FULL", LARGE_BYTES, "text/rfc822-headers"),
    ],
)
async def test_as_much_comes_back_as_is_asked_for_and_fits(
    rmail_server: RunningServer, rmail_mx: FakeMx, ret: str, size_bytes: int, kind: str
) -> None:
    rmail_mx.replies["RCPT"] = "550 5.1.1 no such user"
    body = "0123456789abcde\r\n" * (size_bytes // 17)
    await submit(rmail_server, DAVE, mail=(f"RET={ret}",), body=body)
    (notice,) = await notices(rmail_server, 1)
    *_, returned = notice.iter_parts()
    assert returned.get_content_type() == kind
    assert len(notice.as_bytes()) < size_bytes + 8000


@pytest.mark.parametrize("extensions", [[], ["DSN"]])
async def test_odd_names_come_back_as_they_were_given(
    rmail_server: RunningServer, rmail_mx: FakeMx, extensions: list[str]
) -> None:
    rmail_mx.extensions = extensions
    rmail_mx.replies["."] = ["554 5.6.0 no"]
    envid, orcpt = "ENVID=a+2Bb+3Dc+20d+7E", "ORCPT=X-odd;+2B+3Dd+28ave+29+20x@old.test"
    await submit(rmail_server, DAVE, mail=(envid,), rcpt=(orcpt,))
    (notice,) = await notices(rmail_server, 1)
    whole, recipient = blocks(notice)
    assert whole["Original-Envelope-Id"] == "a+b=c d~"
    assert recipient["Original-Recipient"] == "X-odd; +=d(ave) x@old.test"
    said = [line for line in rmail_mx.commands if line.startswith(("MAIL", "RCPT"))]
    if extensions:
        again = ["ENVID=a+2Bb+3Dc+20d~", "ORCPT=X-odd;+2B+3Dd(ave)+20x@old.test"]
        assert [line.split()[-1] for line in said] == again
    else:
        assert not any(word in line for line in said for word in ("ENVID", "ORCPT"))


async def test_an_alias_of_several_is_told_as_expanded(
    rmail_server: RunningServer, rmail_mx: FakeMx
) -> None:
    rmail_mx.extensions = ["DSN"]
    rule = Alias.to("team", ["bob@example.com", DAVE])
    await rmail_server.kernel.directory.add_alias("example.com", rule)
    await submit(rmail_server, "team@example.com", "SUCCESS,FAILURE")
    (received,) = await rmail_mx.wait_for()
    assert received.rcpt == ["NOTIFY=FAILURE ORCPT=rfc822;team@example.com"]
    (notice,) = await notices(rmail_server, 1)
    recipient = blocks(notice)[1]
    assert (recipient["Action"], recipient["Status"]) == ("expanded", "2.1.5")
    assert recipient["Final-Recipient"] == "rfc822; team@example.com"
    assert len(await rmail_server.messages("bob")) == 1


async def test_an_alias_of_one_passes_on_what_was_asked(
    rmail_server: RunningServer, rmail_mx: FakeMx
) -> None:
    rmail_mx.extensions = ["DSN"]
    rule = Alias.to("dave", [DAVE])
    await rmail_server.kernel.directory.add_alias("example.com", rule)
    await submit(rmail_server, "dave@example.com", "SUCCESS")
    (received,) = await rmail_mx.wait_for()
    assert received.rcpt == ["NOTIFY=SUCCESS ORCPT=rfc822;dave@example.com"]
    assert await rmail_server.messages() == []


async def test_a_notice_names_an_address_beyond_ascii(
    rmail_server: RunningServer, rmail_mx: FakeMx
) -> None:
    """RFC 6533 3: as utf-8-addr-xtext, which every mailbox can take."""
    rmail_mx.extensions = ["8BITMIME"]  # and no SMTPUTF8
    await submit(rmail_server, "дэйв@remote.test", mail=("SMTPUTF8",))
    (notice,) = await notices(rmail_server, 1)
    recipient = blocks(notice)[1]
    assert recipient["Final-Recipient"] == ("utf-8; \\x{434}\\x{44D}\\x{439}\\x{432}@remote.test")
    assert recipient["Status"] == "5.6.7"
    text = cast(EmailMessage, next(notice.iter_parts())).get_content()
    assert "<дэйв@remote.test>" in text
    assert rmail_mx.messages == []
