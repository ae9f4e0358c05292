"""Messages that were promised: durable at once, in their mailbox soon, and once."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from rmail_kernel.content import Content
from rmail_kernel.errors import NotFound, QuotaExceeded, Temporary
from rmail_kernel.storage.filesystem import FilesystemMailStore, journal
from rmail_kernel.storage.filesystem.disk import Owner
from rmail_kernel.storage.filesystem.journal import Segment
from rmail_kernel.storage.filesystem.promises import MAX_MESSAGE_BYTES, Promises, is_plain
from rmail_kernel.storage.ids import AccountId, MailboxId, ModSeq, Uid
from rmail_kernel.storage.mail import Appended, AppendItem
from rmail_kernel.testing import FakeClock
from tests.storage_contract.rig import ALICE, BOB, MESSAGE, Opened, item, opened
from tests.storage_filesystem.at_rest import rest

ROOT = Path(__file__).parents[2]
COUNT = 5
LIMIT_S = 20
BUSY = "rmail_kernel.storage.filesystem.promises.BUSY_S"


@pytest.fixture(autouse=True)
def _always_busy_after_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine is."""
    monkeypatch.setattr(BUSY, 600.0)


def mail_item(op_id: str, raw: bytes = MESSAGE) -> AppendItem:
    """As delivery makes it."""
    return item(raw, op_id=op_id, create=True)


class Told:
    """What a store told of promises."""

    def __init__(self, count: int = 1) -> None:
        self.uids: list[int] = []
        self.all = asyncio.Event()
        self._count = count

    def __call__(self, stored: Appended) -> None:
        self.uids.append(stored.uid)
        if len(self.uids) == self._count:
            self.all.set()


class Stub:
    """A store that notes what it gets, and fails as it is told to."""

    def __init__(self) -> None:
        self.got: list[str | None] = []
        self.errors: list[Exception] = []
        self.poison: str | None = None

    async def __call__(self, account: AccountId, items: Sequence[AppendItem]) -> list[Appended]:
        if self.errors:
            raise self.errors.pop()
        if self.poison in [one.op_id for one in items]:
            raise RuntimeError("cannot be stored")
        first = len(self.got) + 1
        self.got += [one.op_id for one in items]
        return [Appended(MailboxId(1), 1, Uid(first + n), ModSeq(1)) for n in range(len(items))]


@pytest.fixture
def stub() -> Stub:
    return Stub()


@pytest.fixture
async def promises(tmp_path: Path, stub: Stub) -> AsyncIterator[Promises]:
    found = Promises(tmp_path / "journal", Owner.of(tmp_path), stub)
    yield found
    await found.close()


def dated(op_id: str) -> AppendItem:
    """A message with its date, as the store hands it on."""
    at = FakeClock().now()
    return AppendItem("INBOX", Content.of(MESSAGE), frozenset({"\\Seen"}), at, op_id, create=True)


async def test_who_reads_the_account_sees_what_it_was_promised(
    store: Opened, mail: FilesystemMailStore
) -> None:
    told = Told(COUNT)
    for number in range(COUNT):
        await mail.promise(ALICE, mail_item(f"op{number}"), told)
    assert list(store.root.glob("journal/*.log")), "it was not busy enough"
    assert (await mail.status(ALICE, "INBOX")).total == COUNT
    assert told.uids == list(range(1, COUNT + 1))


async def test_mailboxes_follow_when_nobody_reads(mail: FilesystemMailStore) -> None:
    told = Told(2 * COUNT)
    for number in range(COUNT):
        await mail.promise(ALICE, mail_item(f"a{number}"), told)
        await mail.promise(BOB, mail_item(f"b{number}"), told)
    async with asyncio.timeout(LIMIT_S):
        await told.all.wait()
    assert sorted(told.uids) == sorted(2 * list(range(1, COUNT + 1)))


async def test_a_lone_message_is_stored_before_it_is_answered(mail: FilesystemMailStore) -> None:
    told = Told()
    await mail.promise(ALICE, mail_item("op"), told)
    assert told.uids == [1]


async def test_the_same_operation_promised_twice_is_stored_once(mail: FilesystemMailStore) -> None:
    told = Told()
    for _ in range(3):
        await mail.promise(ALICE, mail_item("op"), told)
    assert (await mail.status(ALICE, "INBOX")).total == 1
    assert set(told.uids) == {1}


async def test_nothing_is_promised_beyond_the_quota(
    store: Opened, mail: FilesystemMailStore
) -> None:
    account = await store.directory.by_id(ALICE)
    assert account is not None
    await store.directory.update(account, quota_messages=3)
    for number in range(3):
        await mail.promise(ALICE, mail_item(f"op{number}"), Told())
    with pytest.raises(QuotaExceeded):
        await mail.promise(ALICE, mail_item("more"), Told())
    assert (await mail.status(ALICE, "INBOX")).total == 3


async def test_what_was_promised_counts_as_used(mail: FilesystemMailStore) -> None:
    for number in range(COUNT):
        await mail.promise(ALICE, mail_item(f"op{number}"), Told())
    quota = await mail.quota(ALICE)
    assert (quota.used_messages, quota.used_bytes) == (COUNT, COUNT * len(MESSAGE))


async def test_mail_for_an_account_that_is_removed_goes_with_it(
    store: Opened, mail: FilesystemMailStore
) -> None:
    for number in range(COUNT):
        await mail.promise(BOB, mail_item(f"op{number}"), Told())
    await store.directory.delete(BOB)
    with pytest.raises(NotFound):
        await mail.status(BOB, "INBOX")
    with pytest.raises(NotFound):
        await mail.promise(BOB, mail_item("late"), Told())


async def test_closing_stores_what_was_promised_and_leaves_no_journal(tmp_path: Path) -> None:
    async with opened(tmp_path / "store", check_after=False) as store:
        for number in range(COUNT):
            await store.mail.promise(ALICE, mail_item(f"op{number}"), Told())
    assert list((tmp_path / "store/journal").iterdir()) == []
    async with opened(tmp_path / "store") as store:
        assert (await store.mail.status(ALICE, "INBOX")).total == COUNT


@pytest.mark.parametrize(
    ("step", "answered"), [("journal.synced", 1), ("commit.after", 2), ("append.landed", 2)]
)
async def test_what_a_process_promised_before_it_was_killed_is_stored_once(
    tmp_path: Path, step: str, answered: int
) -> None:
    program = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from tests.storage_filesystem.test_promises import promise_some\n"
        "asyncio.run(promise_some(Path(sys.argv[1]), sys.argv[2]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "store"), step],
        cwd=ROOT,
        timeout=60,
        check=False,
    )
    assert done.returncode == 137
    async with opened(tmp_path / "store") as store:
        assert isinstance(store.mail, FilesystemMailStore)
        await store.mail.recover()
        status = await store.mail.status(ALICE, "INBOX")
        assert status.total >= answered
        assert status.total == status.uidnext - 1 == 2
        assert list(store.root.glob("journal/*.log")) == []


async def promise_some(root: Path, step: str) -> None:
    """Dies at the step that the second message reaches, the first that is promised."""
    from rmail_kernel import failpoints

    rest()
    pytest.MonkeyPatch().setattr(BUSY, 600.0)
    async with opened(root, check_after=False) as store:
        assert isinstance(store.mail, FilesystemMailStore)
        await store.mail.status(ALICE, "INBOX")
        await store.mail.promise(ALICE, mail_item("op0"), Told())
        failpoints.arm(step, 1)
        await store.mail.promise(ALICE, mail_item("op1"), Told())
        await store.mail.status(ALICE, "INBOX")


async def test_trouble_delays_mail_and_loses_none(promises: Promises, stub: Stub) -> None:
    told = Told(2)
    stub.errors = [Temporary("The disk is full")]
    await promises.take(ALICE, dated("one"), told)
    await promises.flush(ALICE)
    assert stub.got == []
    assert not promises.can_take(ALICE)
    assert promises.can_take(BOB)
    await promises.take(ALICE, dated("two"), told)
    async with asyncio.timeout(LIMIT_S):
        await told.all.wait()
    assert stub.got == ["one", "two"]
    assert promises.can_take(ALICE)


async def test_what_the_store_cannot_take_holds_up_no_other_message(
    promises: Promises, stub: Stub
) -> None:
    stub.poison = "one"
    told = Told(4)
    for name in ("zero", "one", "two"):
        await promises.take(ALICE, dated(name), told)
    await promises.flush(ALICE)
    assert stub.got == ["zero", "two"]
    assert promises.held(ALICE)[0] == 1
    stub.poison = None
    await promises.take(ALICE, dated("six"), told)
    async with asyncio.timeout(LIMIT_S):
        await told.all.wait()
    assert stub.got == ["zero", "two", "one", "six"]


async def test_what_was_stored_is_not_read_again_after_a_kill(
    tmp_path: Path, promises: Promises
) -> None:
    await promises.take(ALICE, dated("one"), Told())
    (path,) = (tmp_path / "journal").iterdir()
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / path.name).write_bytes(path.read_bytes())
    assert read(copy) == ["one"]
    await promises.flush(ALICE)
    (copy / path.name).write_bytes(path.read_bytes())
    assert read(copy) == []


async def test_a_journal_that_cannot_be_written_promises_nothing(
    tmp_path: Path, promises: Promises, stub: Stub
) -> None:
    (tmp_path / "journal").write_text("in the way")
    with pytest.raises(Temporary):
        await promises.take(ALICE, dated("one"), Told())
    (tmp_path / "journal").unlink()
    await promises.take(ALICE, dated("two"), Told())
    await promises.flush(ALICE)
    assert stub.got == ["two"]


async def test_without_a_journal_messages_are_stored_at_once(
    store: Opened, mail: FilesystemMailStore
) -> None:
    (store.root / "journal").write_text("in the way")
    told = Told(COUNT)
    for number in range(COUNT):
        await mail.promise(ALICE, mail_item(f"op{number}"), told)
    assert told.uids == list(range(1, COUNT + 1))


async def test_a_journal_is_used_again_when_all_in_it_was_stored(
    tmp_path: Path, promises: Promises
) -> None:
    sizes = set()
    for number in range(COUNT):
        await promises.take(ALICE, dated(f"op{number}"), Told())
        await promises.flush(ALICE)
        sizes |= {path.stat().st_size for path in (tmp_path / "journal").iterdir()}
    assert len(sizes) == 1


async def test_a_living_process_keeps_its_journal(
    tmp_path: Path, promises: Promises, stub: Stub
) -> None:
    stub.errors = [Temporary("Not now")]
    await promises.take(ALICE, dated("one"), Told())
    await promises.flush(ALICE)
    assert journal.abandoned(tmp_path / "journal") == []


def test_what_could_fail_later_is_not_promised() -> None:
    large = MESSAGE + b"x" * MAX_MESSAGE_BYTES
    assert is_plain(mail_item("op"))
    assert not is_plain(mail_item("op", large))
    assert not is_plain(item(create=True))
    assert not is_plain(item(op_id="op", create=True, mailbox="Junk"))
    assert not is_plain(item(MESSAGE, "$Junk", op_id="op", create=True))


# -- the file


def written(path: Path, *names: str) -> Segment:
    """A journal with a record for each name, whose process is dead."""
    segment = Segment(path / "a.log", is_ours=True)
    for name in names:
        journal.write(segment, Owner.of(path.parent), [journal.encode(ALICE, dated(name))])
    return segment


def read(path: Path) -> list[str | None]:
    """The operations in the only journal."""
    (segment,) = journal.abandoned(path)
    found = list(journal.records(segment))
    assert all(account == ALICE and one == dated(str(one.op_id)) for account, one in found)
    segment.close()
    return [one.op_id for _, one in found]


def test_a_journal_gives_what_was_written(tmp_path: Path) -> None:
    written(tmp_path / "journal", "one", "two").close()
    assert read(tmp_path / "journal") == ["one", "two"]


def test_older_records_behind_newer_ones_do_not_count(tmp_path: Path) -> None:
    segment = written(tmp_path / "journal", "one", "two", "six")
    journal.rewind(segment)
    owner = Owner.of(tmp_path)
    journal.write(segment, owner, [journal.encode(ALICE, dated("new"))])
    segment.close()
    assert read(tmp_path / "journal") == ["new"]


@pytest.mark.parametrize("cut", [1, 40, 150])
def test_a_torn_record_ends_a_journal(tmp_path: Path, cut: int) -> None:
    segment = written(tmp_path / "journal", "one", "two")
    segment.close()
    raw = segment.path.read_bytes()
    segment.path.write_bytes(raw[:-cut])
    assert read(tmp_path / "journal") == ["one"]
    segment.path.write_bytes(raw[:-cut] + bytes(cut))
    assert read(tmp_path / "journal") == ["one"]


def test_a_journal_of_another_version_is_left_alone(tmp_path: Path) -> None:
    segment = written(tmp_path / "journal", "one")
    segment.close()
    raw = segment.path.read_bytes()
    segment.path.write_bytes(raw.replace(journal.MAGIC, b"rmail journal 2\n"))
    assert read(tmp_path / "journal") == []


async def test_recovery_keeps_a_journal_that_it_does_not_know(
    tmp_path: Path, promises: Promises, stub: Stub
) -> None:
    segment = written(tmp_path / "journal", "one")
    segment.close()
    segment.path.write_bytes(b"rmail journal 2\n")
    await promises.recover()
    assert stub.got == []
    assert segment.path.exists()
