"""Sessions while the disk gives trouble: what can be told is told."""

from __future__ import annotations

import errno
import fcntl
import os
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from rmail_kernel.testing import RunningServer

if TYPE_CHECKING:
    from plugins.rmail_imap.tests.conftest import Connect, Fill


async def test_mail_can_be_read_while_nothing_can_be_written(
    connect: Connect, fill: Fill, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> NoReturn:
        raise OSError(errno.ENOSPC, "No space left on device")

    await fill([b"Subject: a\r\n\r\nb\r\n"])
    client = await connect("INBOX")
    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "flock", full)
        await client.run("""
            C: a FETCH 1 BODY[TEXT]
            S: * 1 FETCH (BODY[TEXT] {3}
            S: b
            S: )
            S: a OK *
            C: b STORE 1 +FLAGS (\\Seen)
            S: b NO [UNAVAILABLE] *
        """)
    await client.run("""
        C: c FETCH 1 BODY[TEXT]
        S: * 1 FETCH (FLAGS (\\Seen \\Recent) BODY[TEXT] {3}
        S: b
        S: )
        S: c OK *
    """)


@pytest.mark.parametrize("rmail_settings", [{"imap": {"sweep_s": 0.05}}])
async def test_news_that_cannot_be_had_now_end_no_idle(
    rmail_server: RunningServer, connect: Connect, fill: Fill, monkeypatch: pytest.MonkeyPatch
) -> None:
    stat, failed = os.stat, 0

    def broken(path: Any, *arguments: Any, **more: Any) -> os.stat_result:
        nonlocal failed
        if str(path).endswith("/account.db"):
            failed += 1
            raise OSError(errno.EIO, "Input/output error")
        return stat(path, *arguments, **more)

    client, other = await connect("INBOX"), await connect()
    await client.run("C: a IDLE\nS: + idling")
    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", broken)
        await other.run("C: a STATUS INBOX (MESSAGES)\nS: a NO [UNAVAILABLE] *")
        seen = failed
        while failed == seen:
            await other.run("C: b NOOP\nS: b OK *")
    await fill(1)
    await client.run("S: * 1 EXISTS\nS: * 1 RECENT\nC: DONE\nS: a OK *")
