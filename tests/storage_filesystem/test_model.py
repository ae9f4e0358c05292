"""A store under random operations, losing its database in between, against a model in memory.

RMAIL_MODEL_EXAMPLES sets the number of runs.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from rmail_kernel.errors import Conflict, Invalid, NotFound
from rmail_kernel.storage.filesystem import FilesystemMailStore
from rmail_kernel.storage.ids import MailboxId, Uid
from rmail_kernel.testing import FakeClock
from tests.storage_contract.rig import ALICE, Opened, item, opened
from tests.storage_filesystem.damage import KINDS, harm, paths
from tests.storage_filesystem.scenario import State, state

NAMES = st.sampled_from(["INBOX", "Sent", "A", "A/B", "C"])
FLAGS = st.frozensets(st.sampled_from(["\\Seen", "\\Deleted", "$A", "$B", "k3"]), max_size=3)
PICK = st.lists(st.integers(0, 9), min_size=1, max_size=4)


@dataclass(slots=True)
class _Box:
    """A mailbox of the model: flags, text and date by UID."""

    id: int
    uidvalidity: int
    uidnext: int = 1
    messages: dict[int, tuple[frozenset[str], str, float]] = field(default_factory=dict)

    def pick(self, numbers: list[int]) -> list[Uid]:
        """Some UIDs, some of which exist."""
        known = sorted(self.messages) or [1]
        return [Uid(known[number % len(known)]) for number in sorted(set(numbers))]


class Store(RuleBasedStateMachine):
    """The store and its model."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.root = Path(tempfile.mkdtemp(prefix="rmail-model-"))
        self.clock = FakeClock()
        self.serial = 0
        self.boxes: dict[str, _Box] = {}
        self.modseq = 0
        self.stack = AsyncExitStack()
        self.store = self.open()
        self.sync_boxes()
        self.subscribed = set(self.runner.run(self.store.mail.subscriptions(ALICE)))

    def open(self) -> Opened:
        """Opens the store as a new process would."""
        entered = self.stack.enter_async_context(
            opened(self.root, clock=self.clock, check_after=False)
        )
        return self.runner.run(entered)

    def sync_boxes(self) -> None:
        """Learns identities that only the store can give."""
        for status in self.runner.run(self.store.mail.mailboxes(ALICE)):
            if status.name not in self.boxes:
                self.boxes[status.name] = _Box(status.id, status.uidvalidity)

    def teardown(self) -> None:
        self.runner.run(self.stack.aclose())
        self.runner.close()
        shutil.rmtree(self.root)

    @rule(name=NAMES, flags=FLAGS, count=st.integers(1, 3))
    def append(self, name: str, flags: frozenset[str], count: int) -> None:
        self.clock.advance(1)
        texts = []
        for _ in range(count):
            self.serial += 1
            texts.append(f"Subject: {self.serial}\r\n\r\n")
        items = [item(text.encode(), *flags, mailbox=name) for text in texts]
        if name not in self.boxes:
            with pytest.raises(NotFound):
                self.runner.run(self.store.put(*items))
            return
        box = self.boxes[name]
        for one, text in zip(self.runner.run(self.store.put(*items)), texts, strict=True):
            assert one.uid >= box.uidnext
            assert one.uidvalidity == box.uidvalidity
            assert one.modseq > self.modseq
            box.messages[one.uid] = (flags, text, self.clock.time())
            box.uidnext = one.uid + 1
        self.modseq = one.modseq

    @rule(name=NAMES, picked=PICK, flags=FLAGS, op=st.sampled_from(["set", "add", "remove"]))
    def store_flags(self, name: str, picked: list[int], flags: frozenset[str], op: str) -> None:
        if name not in self.boxes:
            return
        box = self.boxes[name]
        uids = box.pick(picked)
        self.runner.run(
            self.store.mail.store_flags(ALICE, MailboxId(box.id), uids, op, flags)  # type: ignore[arg-type] # a literal
        )
        for uid in set(uids) & box.messages.keys():
            old, text, date = box.messages[uid]
            new = {"set": flags, "add": old | flags, "remove": old - flags}[op]
            box.messages[uid] = (new, text, date)

    @rule(name=NAMES, into=NAMES, picked=PICK, is_move=st.booleans())
    def transfer(self, name: str, into: str, picked: list[int], is_move: bool) -> None:
        if name not in self.boxes:
            return
        source = self.boxes[name]
        uids = source.pick(picked)
        operation = self.store.mail.move if is_move else self.store.mail.copy
        work = operation(ALICE, MailboxId(source.id), uids, into)
        if into not in self.boxes:
            with pytest.raises(NotFound):
                self.runner.run(work)
            return
        result = self.runner.run(work)
        assert list(result.source) == sorted(set(uids) & source.messages.keys())
        for old, new in zip(result.source, result.target, strict=True):
            found = source.messages.pop(old) if is_move else source.messages[old]
            assert new >= self.boxes[into].uidnext
            self.boxes[into].messages[new] = found
            self.boxes[into].uidnext = new + 1

    @rule(name=NAMES, picked=PICK, only_deleted=st.booleans(), all_of_them=st.booleans())
    def expunge(self, name: str, picked: list[int], only_deleted: bool, all_of_them: bool) -> None:
        if name not in self.boxes:
            return
        box = self.boxes[name]
        uids = None if all_of_them else box.pick(picked)
        removed, _ = self.runner.run(
            self.store.mail.expunge(ALICE, MailboxId(box.id), uids, only_deleted=only_deleted)
        )
        wanted = [
            uid
            for uid in sorted(box.messages)
            if (uids is None or uid in uids)
            and (not only_deleted or "\\Deleted" in box.messages[uid][0])
        ]
        assert removed == wanted
        for uid in removed:
            del box.messages[uid]

    @rule(name=NAMES)
    def create(self, name: str) -> None:
        work = self.store.mail.create(ALICE, name)
        if name in self.boxes:
            with pytest.raises(Conflict):
                self.runner.run(work)
            return
        status = self.runner.run(work)
        assert status.uidvalidity > max(box.uidvalidity for box in self.boxes.values())
        self.sync_boxes()

    @rule(name=NAMES)
    def delete(self, name: str) -> None:
        work = self.store.mail.delete(ALICE, name)
        if name == "INBOX" or name not in self.boxes:
            with pytest.raises(Invalid if name == "INBOX" else NotFound):
                self.runner.run(work)
            return
        self.runner.run(work)
        del self.boxes[name]

    @rule(name=NAMES, new=NAMES)
    def rename(self, name: str, new: str) -> None:
        children = [one for one in self.boxes if one.startswith(f"{name}/")]
        moved = {one: new + one.removeprefix(name) for one in (name, *children)}
        if name == "INBOX" or name not in self.boxes or new.startswith(f"{name}/"):
            return
        work = self.store.mail.rename(ALICE, name, new)
        if any(one in self.boxes for one in moved.values()):
            with pytest.raises((Conflict, Invalid)):
                self.runner.run(work)
            return
        self.runner.run(work)
        for old, now in moved.items():
            self.boxes[now] = self.boxes.pop(old)
            if old in self.subscribed:  # both names are: RFC 9051 6.3.6
                self.subscribed.add(now)
        self.sync_boxes()

    @rule()
    def settle(self) -> None:
        assert isinstance(self.store.mail, FilesystemMailStore)
        self.runner.run(self.store.mail.settle(ALICE))
        if not (self.root / "older.db").exists() and paths(self.root).database.exists():
            shutil.copyfile(paths(self.root).database, self.root / "older.db")

    @rule(kind=st.sampled_from(KINDS))
    def harm_while_open(self, kind: str) -> None:
        assert isinstance(self.store.mail, FilesystemMailStore)
        self.runner.run(self.store.mail.settle(ALICE))
        harm(self.root, kind)

    @rule(kind=st.sampled_from((None, *KINDS)))
    def reopen(self, kind: str | None) -> None:
        self.runner.run(self.stack.aclose())
        if kind is not None:
            harm(self.root, kind)
        self.stack = AsyncExitStack()
        self.store = self.open()

    @invariant()
    def agrees(self) -> None:
        found: State = self.runner.run(state(self.store.mail))
        assert found.pop("") == [[], sorted(self.subscribed)]  # no rule sets annotations
        assert found.keys() == self.boxes.keys()
        for name, rows in found.items():
            model = [
                [uid, sorted(flags), date, text]
                for uid, (flags, text, date) in sorted(self.boxes[name].messages.items())
            ]
            assert rows[1:] == model, name
        for status in self.runner.run(self.store.mail.mailboxes(ALICE)):
            box = self.boxes[status.name]
            assert (status.id, status.uidvalidity) == (box.id, box.uidvalidity)
            assert status.uidnext >= box.uidnext


@pytest.mark.timeout(240)
class TestStore(Store.TestCase):  # type: ignore[misc,valid-type] # made by hypothesis
    """Runs the machine."""


TestStore.settings = settings(
    max_examples=int(os.environ.get("RMAIL_MODEL_EXAMPLES", "12")),
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
