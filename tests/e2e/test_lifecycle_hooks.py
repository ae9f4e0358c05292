"""Each event hook as plugins meet it: a whole server, and the mail programs of Python."""

from __future__ import annotations

import asyncio
import imaplib
import smtplib
from pathlib import Path

import pytest

from rmail_kernel import (
    Kernel,
    Reject,
    SessionInfo,
    Submission,
    hookimpl,
)
from rmail_kernel.model import Address
from rmail_kernel.process.single import Server
from rmail_kernel.testing import (
    HookRecorder,
    RunningServer,
    Transcript,
    make_settings,
    trusting_context,
)

ALICE = "alice@example.com"
STRANGER = "carol@remote.test"
TIMEOUT_S = 10.0
RAW = "Subject: Greetings\r\n\r\nHello\r\n"


class Outside:
    """Takes mail for remote.test, knows the list team@example.com, and notes the order of events.

    It answers last, so that the recorder, which has no opinion, is asked too.
    """

    def __init__(self) -> None:
        self.order: list[str] = []
        self.refuses: dict[str, Reject] = {}
        self.taken: list[tuple[str, ...]] = []

    @hookimpl
    async def on_start(self, kernel: Kernel) -> None:
        assert await kernel.directory.domains() is not None
        self.order.append("on_start")

    @hookimpl
    async def on_stop(self, kernel: Kernel) -> None:
        assert await kernel.directory.has_domain("example.com")  # the services still answer
        self.order.append("on_stop")

    @hookimpl(trylast=True)
    async def on_connect(self, session: SessionInfo) -> Reject | None:
        self.order.append("on_connect")
        return self.refuses.get(session.protocol)

    @hookimpl(trylast=True)
    async def on_mail_from(self, sender: Address | None) -> Reject | None:
        return self.refuses.get(str(sender))

    @hookimpl(trylast=True)
    async def on_rcpt(self, recipient: Address) -> Reject | None:
        return self.refuses.get(str(recipient))

    @hookimpl(trylast=True)
    async def on_message(self, submission: Submission) -> Submission:
        return submission.with_added_header("X-Seen", "yes")

    @hookimpl(trylast=True)
    async def on_resolve(self, address: Address) -> list[Address] | None:
        members = [Address("alice", "example.com"), Address("bob", "example.com")]
        return members if str(address) == "team@example.com" else None

    @hookimpl(trylast=True)
    async def on_outbound_check(self, recipient: Address) -> bool | None:
        return recipient.domain == "remote.test" or None

    @hookimpl(trylast=True)
    async def on_outbound(
        self, submission: Submission, recipients: tuple[Address, ...]
    ) -> bool | None:
        assert submission.header("Subject") == "Greetings"
        self.taken.append(tuple(map(str, recipients)))
        return True


@pytest.fixture
def outside() -> Outside:
    return Outside()


@pytest.fixture
def rmail_extra_plugins(outside: Outside) -> dict[str, object]:
    return {"outside": outside}


async def receive(server: RunningServer, *recipients: str, sender: str = STRANGER) -> None:
    """A stranger's mail program sends a message to port 25."""

    def session() -> None:
        with smtplib.SMTP("127.0.0.1", server.ports["smtp"], timeout=TIMEOUT_S) as client:
            client.sendmail(sender, recipients, RAW)

    await asyncio.to_thread(session)


async def submit(server: RunningServer, *recipients: str) -> None:
    """Alice's mail program sends a message."""

    def session() -> None:
        with smtplib.SMTP("127.0.0.1", server.ports["submission"], timeout=TIMEOUT_S) as client:
            client.starttls(context=trusting_context())
            client.login(ALICE, "secret")
            client.sendmail(ALICE, recipients, RAW)

    await asyncio.to_thread(session)


def offered_size(port: int) -> str:
    """What EHLO says of the largest message."""
    with smtplib.SMTP("127.0.0.1", port, timeout=TIMEOUT_S) as client:
        client.ehlo()
        return client.esmtp_features["size"]


async def log_in(port: int, password: str) -> None:
    """Alice's mail program logs in to IMAP and out again."""

    def session() -> None:
        with imaplib.IMAP4("127.0.0.1", port, TIMEOUT_S) as client:
            client.login(ALICE, password)

    await asyncio.to_thread(session)


async def test_on_start_comes_before_the_first_client_and_on_stop_after_the_last(
    tmp_path: Path, outside: Outside
) -> None:
    settings = make_settings(tmp_path / "mailstore", ["smtp"])
    server = RunningServer(settings, {"outside": outside})
    await server.start()
    await receive(server, ALICE)
    await server.stop()
    assert outside.order == ["on_start", "on_connect", "on_stop"]


async def test_on_reload_comes_with_the_new_settings_and_sessions_go_on(
    tmp_path: Path, rmail_hooks: HookRecorder
) -> None:
    root = tmp_path / "mailstore"
    server = Server(make_settings(root, ["smtp"]), extra_plugins={"recorder": rmail_hooks})
    await server.start()
    try:
        port = server.ports["smtp"]
        async with Transcript("127.0.0.1", port) as old:
            await old.run("S: 220 *")
            smaller = make_settings(root, ["smtp"], {"smtp": {"max_message_bytes": 65536}})
            server.reload_soon(smaller)
            (call,) = await rmail_hooks.wait_for("on_reload")
            assert call["kernel"].settings is smaller
            assert await asyncio.to_thread(offered_size, port) == "65536"
            await old.run("C: NOOP\nS: 250 *")
    finally:
        await server.stop()


async def test_on_login_and_on_login_failed_tell_who_and_never_the_secret(
    rmail_server: RunningServer, rmail_hooks: HookRecorder
) -> None:
    with pytest.raises(imaplib.IMAP4.error):
        await log_in(rmail_server.ports["imap"], "wrong")
    await log_in(rmail_server.ports["imap"], "secret")
    (failed,) = await rmail_hooks.wait_for("on_login_failed")
    (done,) = await rmail_hooks.wait_for("on_login")
    assert (failed["login"], failed["session"].protocol) == (ALICE, "imap")
    assert (str(done["principal"].address), done["session"].protocol) == (ALICE, "imap")
    assert "wrong" not in repr(failed)
    assert "secret" not in repr(done)


async def test_a_message_passes_the_hooks_of_each_stage(
    rmail_server: RunningServer, rmail_hooks: HookRecorder
) -> None:
    await receive(rmail_server, "team@example.com")
    (connected,) = rmail_hooks.calls["on_connect"]
    (mail,) = rmail_hooks.calls["on_mail_from"]
    (rcpt,) = rmail_hooks.calls["on_rcpt"]
    (message,) = rmail_hooks.calls["on_message"]
    stored = await rmail_hooks.wait_for("on_store", 2)
    session = connected["session"]
    assert (session.protocol, session.peer_host) == ("smtp", "127.0.0.1")
    assert str(mail["sender"]) == str(rcpt["sender"]) == STRANGER
    assert str(rcpt["recipient"]) == "team@example.com"
    assert {str(call["address"]) for call in rmail_hooks.calls["on_resolve"]} == {
        "team@example.com"
    }
    assert message["submission"].header("Subject") == "Greetings"
    assert {call["stored"].delivery.account for call in stored} == {ALICE, "bob@example.com"}
    ids = {session.id, mail["session"].id, rcpt["session"].id}
    ids |= {call["stored"].delivery.envelope.session.id for call in stored}
    assert len(ids) == 1
    for user in ("alice", "bob"):
        (raw,) = await rmail_server.messages(user)
        assert b"\r\nX-Seen: yes\r\n" in raw


@pytest.mark.parametrize(
    ("hook", "sender", "recipient"),
    [
        ("on_connect", STRANGER, ALICE),
        ("on_mail_from", "spam@remote.test", ALICE),
        ("on_rcpt", STRANGER, "bob@example.com"),
    ],
)
async def test_a_refusal_at_any_stage_reaches_the_client_and_nothing_is_stored(
    rmail_server: RunningServer, outside: Outside, hook: str, sender: str, recipient: str
) -> None:
    at = {"on_connect": "smtp", "on_mail_from": sender, "on_rcpt": recipient}[hook]
    outside.refuses[at] = Reject("Not today", 554, "5.7.1")
    with pytest.raises(smtplib.SMTPException, match="Not today"):
        await receive(rmail_server, recipient, sender=sender)
    assert await rmail_server.messages("alice") == await rmail_server.messages("bob") == []


async def test_on_outbound_takes_what_on_outbound_check_let_in(
    rmail_server: RunningServer, rmail_hooks: HookRecorder, outside: Outside
) -> None:
    await submit(rmail_server, STRANGER, "dave@remote.test", "bob@example.com")
    assert outside.taken == [(STRANGER, "dave@remote.test")]
    asked = [str(call["recipient"]) for call in rmail_hooks.calls["on_outbound_check"]]
    assert asked == [STRANGER, "dave@remote.test"]
    (call,) = rmail_hooks.calls["on_outbound"]
    assert str(call["submission"].envelope.sender) == ALICE
    assert len(await rmail_server.messages("bob")) == 1


async def test_nobody_takes_a_recipient_that_on_outbound_check_does_not_know(
    rmail_server: RunningServer, rmail_hooks: HookRecorder
) -> None:
    with pytest.raises(smtplib.SMTPRecipientsRefused, match=r"elsewhere\.test"):
        await submit(rmail_server, "eve@elsewhere.test")
    assert rmail_hooks.calls["on_outbound"] == []


async def test_strangers_cannot_use_on_outbound(
    rmail_server: RunningServer, outside: Outside
) -> None:
    with pytest.raises(smtplib.SMTPRecipientsRefused, match="Relaying denied"):
        await receive(rmail_server, "dave@remote.test")
    assert outside.taken == []
