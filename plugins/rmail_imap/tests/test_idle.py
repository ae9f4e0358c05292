"""IDLE (RFC 2177)."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import pytest

from rmail_kernel import composition
from rmail_kernel.content import Content
from rmail_kernel.kernel import Kernel
from rmail_kernel.plugins import new_bus
from rmail_kernel.storage.events import Change
from rmail_kernel.storage.filesystem import flagging
from rmail_kernel.storage.filesystem.batch import Batches, Work
from rmail_kernel.storage.filesystem.disk import Owner
from rmail_kernel.storage.filesystem.layout import AccountPaths
from rmail_kernel.storage.ids import AccountId, MailboxId, Uid
from rmail_kernel.storage.mail import AppendItem
from rmail_kernel.testing import RunningServer, Transcript

if TYPE_CHECKING:
    from plugins.rmail_imap.tests.conftest import Connect, Fill


async def test_changes_are_pushed_at_once(connect: Connect, fill: Fill) -> None:
    await fill(2)
    client, other = await connect("INBOX"), await connect("INBOX")
    await client.run("""
        C: a IDLE
        S: + idling
    """)
    await fill(1)
    await client.run("""
        S: * 3 EXISTS
        S: * * RECENT
    """)
    await other.run("""
        C: a NOOP
        S: * 3 EXISTS
        S: * * RECENT
        S: a OK *
        C: b STORE 2 +FLAGS.SILENT (\\Deleted)
        S: b OK *
    """)
    await client.run("S: * 2 FETCH (UID 2 FLAGS (\\Deleted \\Recent))")
    await other.run("""
        C: c EXPUNGE
        S: * 2 EXPUNGE
        S: c OK *
    """)
    await client.run("""
        S: * 2 EXPUNGE
        C: DONE
        S: a OK IDLE completed
    """)


async def test_idle_without_a_mailbox(client: Transcript) -> None:
    await client.run("""
        C: a IDLE
        S: + idling
        C: done
        S: a OK *
    """)


async def test_idle_ends_with_done_only(client: Transcript) -> None:
    await client.run("""
        C: a IDLE
        S: + idling
        C: b NOOP
        S: a BAD Expected DONE
        C: c NOOP
        S: c OK *
    """)


async def test_a_line_without_end_ends_idle(client: Transcript) -> None:
    await client.run("""
        C: a IDLE
        S: + idling
    """)
    for _ in range(4):
        await client.send(b"x" * 50_000)
    await client.run("S: * BYE [TOOBIG] *")


async def test_done_may_come_with_the_command(client: Transcript) -> None:
    await client.send(b"a IDLE\r\nDONE\r\nb NOOP\r\n")
    await client.run("""
        S: + idling
        S: a OK *
        S: b OK *
    """)


async def test_what_happened_before_idle_is_told_in_it(connect: Connect, fill: Fill) -> None:
    client = await connect("INBOX")
    await fill(1)
    await client.run("""
        C: a IDLE
        S: + idling
        S: * 1 EXISTS
        S: * 1 RECENT
        C: DONE
        S: a OK *
    """)


@pytest.mark.parametrize("rmail_settings", [{"imap": {"sweep_s": 0.05}}])
async def test_a_change_without_event_is_found(
    connect: Connect, rmail_server: RunningServer
) -> None:
    client = await connect("INBOX")
    await client.run("""
        C: a IDLE
        S: + idling
    """)
    elsewhere = Kernel(rmail_server.kernel.settings, new_bus())  # a process whose events are lost
    await composition.start(elsewhere)
    await elsewhere.mail.append(
        AccountId("alice@example.com"), [AppendItem("INBOX", Content.of(b"A: b\r\n\r\nx"))]
    )
    await elsewhere.stop()
    await client.run("""
        S: * 1 EXISTS
        S: * 1 RECENT
        C: DONE
        S: a OK *
    """)


async def test_what_another_process_does_just_before_idle_listens_is_told_in_it(
    connect: Connect, fill: Fill, rmail_server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel, alice = rmail_server.kernel, AccountId("alice@example.com")
    root = kernel.settings.mail_root
    (appended,) = await fill(1)
    elsewhere = Batches(AccountPaths.of(root, alice), Owner.of(root), time.time)
    subscribe = kernel.events.subscribe

    def late(
        account: AccountId, callback: Callable[[Change], None]
    ) -> AbstractContextManager[None]:
        """Nobody listens yet, so the other process tells nobody."""
        box, uids, flags = MailboxId(1), [Uid(appended.uid)], frozenset({"\\Flagged"})
        outcomes, _ = elsewhere.run(
            [Work(lambda tx: flagging.store_flags(tx, box, uids, "add", flags, None))]
        )
        assert outcomes[0].error is None
        return subscribe(account, callback)

    client = await connect("INBOX")
    monkeypatch.setattr(kernel.events, "subscribe", late)
    try:
        await client.send(b"a NOOP\r\nb IDLE\r\n")
        await client.run("""
            S: a OK *
            S: + idling
            S: * 1 FETCH (UID 1 FLAGS (\\Flagged \\Recent))
            C: DONE
            S: b OK *
        """)
    finally:
        elsewhere.close()
