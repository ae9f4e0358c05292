"""The process whose disk is recorded: a series of operations, each marked when it is answered.

`python -m tests.power_loss.workload DISK MARKS [--forget-folders]`; the option plants a defect: no
folder is ever synced.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import stat
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rmail_kernel.content import Content
from rmail_kernel.delivery.api import Status
from rmail_kernel.delivery.spool import Spool
from rmail_kernel.delivery.targets import Entry, Result, Target
from rmail_kernel.model import Address, Envelope, SessionInfo
from rmail_kernel.process.events import LocalEvents
from rmail_kernel.storage.accounts import Account, Alias
from rmail_kernel.storage.filesystem import FilesystemMailStore, prepare_root, promises
from rmail_kernel.storage.filesystem.directory import FilesystemDirectory
from rmail_kernel.storage.filesystem.disk import sync_directory
from rmail_kernel.storage.filesystem.state import SqliteState
from rmail_kernel.storage.ids import AccountId, MailboxId, Uid
from rmail_kernel.storage.mail import AppendItem, Field
from rmail_kernel.testing import FakeClock

DOMAIN = "example.com"
ALICE = AccountId(f"alice@{DOMAIN}")
CAROL = AccountId(f"carol@{DOMAIN}")
INBOX = MailboxId(1)
STATUS = Path("store/domains", DOMAIN, "users/alice/mailboxes/INBOX/status.json")
BURST = 24
Snapshot = dict[str, Any]
Say = Callable[[dict[str, Any]], object]


@dataclass(frozen=True, slots=True)
class World:
    """All that keeps something on the disk, open. `say` writes a mark."""

    mail: FilesystemMailStore
    directory: FilesystemDirectory
    state: SqliteState
    spool: Spool
    disk: Path
    say: Say


Step = Callable[[World], Awaitable[Any]]


@asynccontextmanager
async def opened(disk: Path, say: Say = lambda _: None) -> AsyncIterator[World]:
    """What a server opens when it starts; made when absent."""
    root, clock, events = disk / "store", FakeClock(), LocalEvents()
    prepare_root(root)
    directory = FilesystemDirectory(root, clock=clock, events=events)
    state = SqliteState(root / "state.db", clock)
    spool = Spool(root / "spool")
    spool.tidy()
    with ThreadPoolExecutor(4) as pool:
        mail = FilesystemMailStore(root, directory, events, clock, pool)
        await mail.recover()
        try:
            yield World(mail, directory, state, spool, disk, say)
        finally:
            await mail.close()
            await state.close()
            await directory.close()


# -- the steps: each one call, answered as a whole; with an op_id it can be called again


def text(name: str, size_bytes: int = 600) -> bytes:
    """A message of about this size; no two blocks of it are alike."""
    lines = b"".join(b"%s %08d\r\n" % (name.encode(), at) for at in range(size_bytes // 16))
    return b"Subject: %s\r\n\r\n%s" % (name.encode(), lines)


def put(
    name: str, *flags: str, mailbox: str = "INBOX", size_bytes: int = 600, more: int = 0
) -> Step:
    """Appends one message, and `more` in the same call."""

    async def step(world: World) -> Any:
        names = [name, *(f"{name}.{at}" for at in range(more))]
        items = [
            AppendItem(
                mailbox, Content.of(text(one, size_bytes)), frozenset(flags), op_id=f"op-{one}"
            )
            for one in names
        ]
        return [asdict(one) for one in await world.mail.append(ALICE, items)]

    return step


def flags(uids: list[int], op: Any, *names: str) -> Step:
    """Changes flags in the INBOX."""
    return lambda w: w.mail.store_flags(ALICE, INBOX, list(map(Uid, uids)), op, frozenset(names))


def transfer(kind: str, uids: list[int], target: str) -> Step:
    """Copies or moves out of the INBOX."""

    async def step(world: World) -> Any:
        call = world.mail.copy if kind == "copy" else world.mail.move
        name = f"{kind}-{uids}-{target}"
        return asdict(await call(ALICE, INBOX, list(map(Uid, uids)), target, op_id=name))

    return step


async def burst(world: World) -> None:
    """Several clients append at the same time; each is answered for itself."""

    async def one(number: int) -> None:
        raw = text(f"burst{number}", 300 + number % 3 * 9000)
        item = AppendItem("Burst", Content.of(raw), op_id=f"burst-{number}")
        (done,) = await world.mail.append(ALICE, [item])
        world.say({"burst": number, "uid": done.uid})

    await asyncio.gather(*map(one, range(BURST)))


def promise(name: str) -> Step:
    """Has messages promised: the first is stored at once, the others are in the journal."""

    async def step(world: World) -> None:
        vars(promises)["BUSY_S"] = 600.0  # however slow the machine is
        for number in range(4):
            raw = text(f"{name}{number}", 900 * number)
            item = AppendItem("INBOX", Content.of(raw), op_id=f"op-{name}{number}", create=True)
            await world.mail.promise(ALICE, item, lambda _: None)

    return step


def entry(name: str) -> Entry:
    """A spool entry for two targets."""
    targets = tuple(
        Target(Address(local, DOMAIN), (Address(local, DOMAIN),), AccountId(f"{local}@{DOMAIN}"))
        for local in ("alice", "carol")
    )
    session = SessionInfo("1", "smtp", "127.0.0.1", 25)
    at = datetime(2026, 1, 2, tzinfo=UTC)
    envelope = Envelope(None, tuple(t.address for t in targets), session, at)
    return Entry(name, envelope, targets)


def spool(name: str, size_bytes: int) -> Step:
    """Accepts a message for delivery."""

    async def step(world: World) -> None:
        world.spool.write(entry(name), Content.of(text(name, size_bytes))).release()

    return step


def note(name: str) -> Step:
    """Notes that one target of it is final."""

    async def step(world: World) -> None:
        held = world.spool.take(name)
        assert held is not None
        world.spool.note(held, 1, {ALICE: Result(Status.STORED)})
        held.release()

    return step


def unspool(name: str) -> Step:
    """Forgets it."""

    async def step(world: World) -> None:
        held = world.spool.take(name)
        assert held is not None
        world.spool.remove(held)

    return step


def create_user(name: AccountId) -> Step:
    """Makes an account."""
    address = Address.parse(name)
    return lambda w: w.directory.create(Account(name, address, "first", quota_mb=64))


def change_user(name: AccountId, **changes: object) -> Step:
    """Changes fields of an account."""

    async def step(world: World) -> None:
        found = await world.directory.by_id(name)
        assert found is not None
        await world.directory.update(found, **changes)

    return step


def _mailbox(function: str, *arguments: Any, **named: Any) -> Step:
    calls: dict[str, Step] = {
        "create": lambda w: w.mail.create(ALICE, *arguments, **named),
        "rename": lambda w: w.mail.rename(ALICE, *arguments),
        "delete": lambda w: w.mail.delete(ALICE, *arguments),
        "subscribe": lambda w: w.mail.subscribe(ALICE, *arguments),
        "expunge": lambda w: w.mail.expunge(ALICE, INBOX, *arguments),
    }
    return calls[function]


async def annotate(world: World) -> None:
    """An administrator adds a field of their own to a status.json, which is kept."""
    path = world.disk / STATUS
    fresh = path.with_name("fresh")
    with fresh.open("wb") as file:
        file.write(json.dumps(json.loads(path.read_bytes()) | {"x-note": "kept"}).encode())
        file.flush()
        os.fsync(file.fileno())
    fresh.rename(path)
    sync_directory(path.parent)


def _settle(world: World) -> Awaitable[None]:
    return world.mail.settle(ALICE)


# One list for each time the store is open.
SESSIONS: list[list[Step]] = [
    [
        lambda w: w.directory.add_domain(DOMAIN),
        create_user(ALICE),
        lambda w: w.mail.mailboxes(ALICE),
        put("one"),
        put("two", "\\Seen", "$Old", size_bytes=20_000),
        create_user(CAROL),
        annotate,
        put("three", more=2),
        _mailbox("create", "Work/Now"),
        put("big", "\\Flagged", size_bytes=300_000, mailbox="Work"),
        flags([1, 3], "add", "\\Seen", "$New"),
        transfer("copy", [1, 2], "Work/Now"),
        spool("s1", 3000),
        transfer("move", [3, 4], "Work"),
        change_user(ALICE, password_hash="second"),
        _mailbox("rename", "Work", "Done/Work"),
        put("six", mailbox="Done/Work"),
        _mailbox("expunge", [Uid(2)]),
        lambda w: w.mail.expunge(ALICE, INBOX, [Uid(2)], only_deleted=False),
        note("s1"),
        spool("s2", 40_000),
        _mailbox("subscribe", "Done/Work", True),
        lambda w: w.state.mark("login:alice", 1e6, "locked"),
        _mailbox("create", "Burst"),
        burst,
        _settle,
        flags([1], "remove", "\\Seen"),
        put("seven", mailbox="Junk", more=1),
        promise("first"),
    ],
    [
        lambda w: w.mail.mailboxes(ALICE),
        put("eight", size_bytes=5000),
        unspool("s1"),
        _mailbox("delete", "Junk"),
        lambda w: w.directory.add_alias(DOMAIN, Alias("sales", "alice")),
        _mailbox("create", "Junk", special_use="\\Junk"),
        put("nine", mailbox="Junk"),
        _mailbox("rename", "Done", "Past"),
        flags([5], "set", "\\Answered", "\\Deleted"),
        _mailbox("expunge", None),
        lambda w: w.directory.delete(CAROL),
        create_user(CAROL),
        transfer("copy", [1], "Past"),
        _mailbox("subscribe", "Past/Work", False),
        _settle,
        _mailbox("rename", "INBOX", "Old"),
        note("s2"),
        put("ten"),
        promise("second"),
        _mailbox("delete", "Past/Work/Now"),
        lambda w: w.directory.remove_alias(DOMAIN, "sales"),
        change_user(CAROL, is_enabled=False),
        put("eleven", mailbox="Old", more=3),
    ],
]
STEPS: list[Step] = [step for steps in SESSIONS for step in steps]


# -- what is seen


async def snapshot(world: World) -> Snapshot:
    """Everything that somebody could see, as JSON values."""
    alice = await world.directory.by_id(ALICE)
    return {
        "directory": await _directory(world),
        "mail": await _mail(world) if alice else {},
        "note": _note(world),
        "spool": _spool(world),
        "state": [[key, value] for key, _, value in await world.state.marks("")],
    }


async def _directory(world: World) -> dict[str, Any]:
    return {
        domain: {
            "users": [
                [u.id, u.password_hash, u.is_enabled, u.quota_mb, u.credential_version]
                for u in await world.directory.users(domain)
            ],
            "aliases": [[a.pattern, *a.targets] for a in await world.directory.aliases(domain)],
        }
        for domain in await world.directory.domains()
    }


async def _mail(world: World) -> dict[str, Any]:
    found = {}
    for status in await world.mail.mailboxes(ALICE):
        view = await world.mail.view(ALICE, status.id)
        messages = {}
        uids = list(map(Uid, view.uids[: view.total]))
        async for some in world.mail.fetch(ALICE, status.id, uids, Field.CONTENT):
            for one in some:
                assert one.content is not None
                raw = await one.content.read()
                one.content.close()
                digest = hashlib.sha256(raw).hexdigest()
                names = sorted(view.flag_names(one.flags))
                date = one.internal_date.timestamp()
                messages[str(one.uid)] = [digest, names, date, len(raw), one.modseq]
        found[status.name] = {
            "fixed": [
                *(status.id, status.uidvalidity, status.objectid),
                *(status.special_use, status.is_subscribed, list(view.keywords)),
            ],
            "rising": [status.uidnext, status.highestmodseq],
            "messages": messages,
        }
        assert len(messages) == status.total
    return found


def _note(world: World) -> object:
    try:
        return json.loads((world.disk / STATUS).read_bytes()).get("x-note")
    except (FileNotFoundError, ValueError):
        return None


def _spool(world: World) -> dict[str, Any]:
    found = {}
    for name in world.spool.ids():
        held = world.spool.take(name)
        assert held is not None
        digest = hashlib.sha256(held.content.read()).hexdigest()
        assert held.entry == entry(name)
        found[name] = [digest, held.attempts, sorted(held.done)]
        held.release()
    return found


# -- the process


async def main(disk: Path, say: Say) -> None:
    """Runs the series."""
    done = 0
    for steps in SESSIONS:
        async with opened(disk, say) as world:
            for step in steps:
                found = await step(world)
                done += 1
                say({"done": done})
                say({"seen": done, "result": _plain(found), "snapshot": await snapshot(world)})
    say({"closed": True})


def _plain(found: Any) -> Any:
    return found if isinstance(found, list | dict) and _is_json(found) else None


def _is_json(found: Any) -> bool:
    try:
        json.dumps(found)
    except TypeError:
        return False
    return True


def _forget_folders() -> None:
    real = os.fsync

    def fsync(fd: Any) -> None:
        number = fd if isinstance(fd, int) else fd.fileno()
        if not stat.S_ISDIR(os.fstat(number).st_mode):
            real(number)

    os.fsync = fsync


if __name__ == "__main__":
    if "--forget-folders" in sys.argv:
        _forget_folders()
    with Path(sys.argv[2]).open("ab", buffering=0) as marks:
        asyncio.run(
            main(Path(sys.argv[1]), lambda value: marks.write(json.dumps(value).encode() + b"\n"))
        )
