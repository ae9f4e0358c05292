"""Every policy stage can accept, defer, reject and annotate; where a plugin breaks, the sender is
told to come back, and the message is taken once the plugin is well.
"""

from __future__ import annotations

import asyncio

import pytest

from rmail_kernel import Accept, Annotate, Defer, Reject, SessionInfo, hookimpl, hookspecs
from rmail_kernel.model import Submission
from rmail_kernel.testing import RunningServer, Transcript

HOOKS = ("on_connect", "on_helo", "on_mail_from", "on_rcpt", "on_message")
STEPS = (
    b"EHLO client.test\r\n",
    b"MAIL FROM:<carol@remote.test>\r\n",
    b"RCPT TO:<alice@example.com>\r\n",
    b"DATA\r\n",
    b"Subject: hello\r\n\r\nbody\r\n.\r\n",
)
HANG, RAISE = "hang", "raise"


class Judge:
    """Gives one answer at one stage, and no opinion elsewhere."""

    hook = ""
    answer: object = None

    async def _at(self, hook: str) -> object:
        if hook != self.hook:
            return None
        if self.answer == RAISE:
            raise RuntimeError("secret detail")
        if self.answer == HANG:
            await asyncio.Event().wait()
        return self.answer

    @hookimpl
    async def on_connect(self, session: SessionInfo) -> object:
        return await self._at("on_connect")

    @hookimpl
    async def on_helo(self) -> object:
        return await self._at("on_helo")

    @hookimpl
    async def on_mail_from(self) -> object:
        return await self._at("on_mail_from")

    @hookimpl
    async def on_rcpt(self) -> object:
        return await self._at("on_rcpt")

    @hookimpl
    async def on_message(self, submission: Submission) -> object:
        answer = await self._at("on_message")
        if isinstance(answer, Annotate):
            return submission.with_added_header(answer.name, answer.value)
        return answer


@pytest.fixture
def judge() -> Judge:
    return Judge()


@pytest.fixture
def rmail_extra_plugins(judge: Judge) -> dict[str, object]:
    return {"judge": judge}


@pytest.fixture(autouse=True)
def _short_deadlines(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in HOOKS:
        monkeypatch.setattr(getattr(hookspecs, name), "rmail_deadline_s", 0.2)


async def _reply(client: Transcript) -> str:
    """The last line of the next reply."""
    while (line := await client.line())[3] == "-":
        pass
    return line


async def _send(server: RunningServer) -> tuple[str, str]:
    """Sends one message as far as it goes: the stage that was refused, or "", and the reply."""
    async with server.connect("smtp") as client:
        reply = await _reply(client)
        if not reply.startswith("220 "):
            return "on_connect", reply
        for raw, stage in zip(STEPS, (*HOOKS[1:4], "", "on_message"), strict=True):
            await client.send(raw)
            reply = await _reply(client)
            if reply[0] in "45":
                return stage, reply
    return "", reply


@pytest.mark.parametrize(
    ("hook", "answer"),
    [
        (hook, answer)
        for hook in HOOKS
        for answer in (None, Accept(), Annotate("X-Judged", "yes"))
        if hook != "on_message" or not isinstance(answer, Accept)  # it hands the message on instead
    ],
)
async def test_who_is_accepted_or_annotated_is_delivered(
    rmail_server: RunningServer, judge: Judge, hook: str, answer: object
) -> None:
    judge.hook, judge.answer = hook, answer
    assert (await _send(rmail_server))[0] == ""
    (raw,) = await rmail_server.messages("alice")
    assert (b"\r\nX-Judged: yes\r\n" in raw) == isinstance(answer, Annotate)


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize(
    ("answer", "reply", "at_connect"),
    [
        (Defer("Later", 450, "4.7.1"), "450 4.7.1 Later", "421 4.7.1 Later"),
        (Reject("Never", 550, "5.7.1"), "550 5.7.1 Never", "554 5.7.1 Never"),
        (RAISE, "451 4.3.0 Temporary failure", "421 4.3.0 Temporary failure"),
        (HANG, "451 4.3.0 Temporary failure", "421 4.3.0 Temporary failure"),
        (42, "451 4.3.0 Temporary failure", "421 4.3.0 Temporary failure"),
    ],
)
async def test_who_is_refused_hears_it_at_its_stage_and_may_come_again(
    rmail_server: RunningServer,
    judge: Judge,
    hook: str,
    answer: object,
    reply: str,
    at_connect: str,
) -> None:
    judge.hook, judge.answer = hook, answer
    stage, heard = await _send(rmail_server)
    assert stage == hook
    assert heard.startswith(at_connect if hook == "on_connect" else reply)
    assert "secret" not in heard
    assert await rmail_server.messages("alice") == []
    judge.hook = ""
    assert (await _send(rmail_server))[0] == ""
    assert len(await rmail_server.messages("alice")) == 1
