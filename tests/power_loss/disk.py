"""A disk that may lose what was not synced: every state in which a power loss can leave it.

A file's bytes and size are safe up to its last fsync, a name up to the last fsync of its folder
(with the earlier changes of the same name or the same file that it rests on). What came later may
be there or not: each name on its own, each block of a write on its own. A rename is there or not
as a whole.
"""

from __future__ import annotations

import enum
import hashlib
import os
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from tests.power_loss.recording import ROOT_OBJECT, Entry, Event, Name, Stamp, Sync, Write

BLOCK_BYTES = 4096
SECTOR_BYTES = 512


class Names(enum.Enum):
    """Which of the names that were not synced are there."""

    NONE = enum.auto()
    ALL = enum.auto()
    EACH = enum.auto()  # any of them, if what it rests on is there
    ORDERED = enum.auto()  # of each folder the changes up to some moment
    JOURNAL = enum.auto()  # of the whole disk, and any sync of anything is one of the journal


@dataclass(frozen=True, slots=True)
class Loss:
    """What a power loss spares of that which was not synced.

    Attributes:
        seed: of all that is left to chance.
        kept: the share of pending names and blocks that are there, 0 to 1.
        block_bytes: how finely a write is torn.
    """

    names: Names
    seed: int
    kept: float
    block_bytes: int = BLOCK_BYTES


NOTHING_SPARED = Loss(Names.NONE, 0, 0.0)
ALL_SPARED = Loss(Names.ALL, 0, 1.0)


@dataclass(slots=True)
class Tree:
    """Folders and files as they are found afterwards, by object."""

    folders: dict[int, dict[str, int]]
    files: dict[int, bytes]
    mtimes: dict[int, int] = field(default_factory=dict)

    def digest(self) -> bytes:
        """Equal for trees in which nobody sees a difference."""
        found = hashlib.sha256()
        files: dict[int, bytes] = {}

        def add(folder: int) -> None:
            found.update(b"%d{" % self.mtimes.get(folder, 0))
            for name, item in sorted(self.folders[folder].items()):
                found.update(os.fsencode(name) + b"\0")
                if item in self.folders:
                    add(item)
                else:
                    if item not in files:
                        files[item] = hashlib.sha256(self.files.get(item, b"")).digest()
                    found.update(files[item] + b"%d" % self.mtimes.get(item, 0))
            found.update(b"}")

        add(ROOT_OBJECT)
        return found.digest()

    def write(self, root: Path) -> None:
        """Makes it real in an empty folder."""
        self._write(ROOT_OBJECT, root, {})

    def _write(self, folder: int, path: Path, made: dict[int, Path]) -> None:
        for name, item in self.folders[folder].items():
            if item in self.folders:
                (path / name).mkdir(0o700)
                self._write(item, path / name, made)
            elif item in made:
                os.link(made[item], path / name)
            else:
                made[item] = path / name
                made[item].write_bytes(self.files.get(item, b""))
                self._stamp(item, path / name)
        self._stamp(folder, path)

    def _stamp(self, item: int, path: Path) -> None:
        if item in self.mtimes:
            os.utime(path, ns=(self.mtimes[item], self.mtimes[item]))


class Disk:
    """The disk of a recording.

    Args:
        events: what happened to it.
    """

    def __init__(self, events: Sequence[Event]) -> None:
        self.events = events

    @cached_property
    def _rests_on(self) -> dict[int, list[int]]:
        """For each change of a name those before it that it cannot be there without."""
        last: dict[Name | int, int] = {}
        found: dict[int, list[int]] = {}
        for at, event in enumerate(self.events):
            if isinstance(event, Entry):
                keys = [key for key in (event.gone, event.come, event.item) if key is not None]
                found[at] = sorted({last[key] for key in keys if key in last})
                last.update(dict.fromkeys(keys, at))
        return found

    def after(self, end: int, loss: Loss) -> Tree:
        """The disk when the power fails after the first `end` events."""
        chance = random.Random(f"{end} {loss.seed}")
        synced = {e.item: at for at, e in enumerate(self.events[:end]) if isinstance(e, Sync)}
        tree = Tree({ROOT_OBJECT: {}}, {})
        kept = self._kept_names(end, loss, chance)
        contents: dict[int, bytearray] = {}
        for at, event in enumerate(self.events[:end]):
            if isinstance(event, Entry):
                _enter(tree, event, is_kept=at in kept)
            elif isinstance(event, Write):
                content = contents.setdefault(event.item, bytearray())
                if at < synced.get(event.item, 0):
                    _write(content, event)
                else:
                    _tear(content, event, loss, chance)
            elif isinstance(event, Stamp) and (
                at < synced.get(event.item, 0) or chance.random() < loss.kept
            ):
                tree.mtimes[event.item] = event.mtime_ns
        tree.files = {item: bytes(content) for item, content in contents.items()}
        return tree

    def _kept_names(self, end: int, loss: Loss, chance: random.Random) -> set[int]:
        entries = [at for at, e in enumerate(self.events[:end]) if isinstance(e, Entry)]
        if loss.names is Names.ALL:
            return set(entries)
        safe = self._safe_names(end)
        pending = [at for at in entries if at not in safe]
        if loss.names is Names.NONE or not pending:
            return safe
        if loss.names is Names.JOURNAL:
            last = max(
                (at for at, e in enumerate(self.events[:end]) if isinstance(e, Sync)), default=0
            )
            until = max(last, chance.choice([*pending, end]))
            return safe | {at for at in pending if at < until}
        if loss.names is Names.ORDERED:
            return safe | self._until_some_moment(pending, chance)
        kept = set(safe)
        for at in pending:
            if chance.random() < loss.kept and kept.issuperset(self._rests_on[at]):
                kept.add(at)
        return kept

    def _safe_names(self, end: int) -> set[int]:
        open_: dict[int, list[int]] = {}
        safe: set[int] = set()
        for at, event in enumerate(self.events[:end]):
            if isinstance(event, Entry):
                for name in (event.gone, event.come):
                    if name is not None:
                        open_.setdefault(name[0], []).append(at)
            elif isinstance(event, Sync):
                todo = open_.pop(event.item, [])
                while todo:
                    one = todo.pop()
                    if one not in safe:
                        safe.add(one)
                        todo += self._rests_on[one]
        return safe

    def _until_some_moment(self, pending: Sequence[int], chance: random.Random) -> set[int]:
        cut: dict[int, int] = {}
        kept: set[int] = set()
        lost: set[int] = set()
        for at in pending:
            event = self.events[at]
            assert isinstance(event, Entry)
            folders = {name[0] for name in (event.gone, event.come) if name is not None}
            for folder in folders:
                cut.setdefault(folder, chance.choice([*pending, pending[-1] + 1]))
            if all(at < cut[folder] for folder in folders) and lost.isdisjoint(self._rests_on[at]):
                kept.add(at)
            else:
                lost.add(at)
                cut.update({folder: min(cut[folder], at) for folder in folders})
        return kept


def _enter(tree: Tree, event: Entry, *, is_kept: bool) -> None:
    if event.is_folder:
        tree.folders[event.item] = {}
        tree.mtimes[event.item] = dict(event.mtimes)[event.item]
    if not is_kept:
        return
    if event.gone is not None:
        folder, name = event.gone
        tree.folders[folder].pop(name, None)
    if event.come is not None:
        folder, name = event.come
        tree.folders[folder][name] = event.item
    tree.mtimes.update({folder: at for folder, at in event.mtimes if folder != event.item})


def _write(content: bytearray, event: Write) -> None:
    if event.data is None:
        del content[event.offset :]
        content.extend(bytes(event.offset - len(content)))
        return
    if event.offset > len(content):
        content.extend(bytes(event.offset - len(content)))
    content[event.offset : event.offset + len(event.data)] = event.data


def _tear(content: bytearray, event: Write, loss: Loss, chance: random.Random) -> None:
    """Does as much of a write as the loss spares; a block that is not there may still count."""
    if event.data is None:
        if chance.random() < loss.kept:
            _write(content, event)
        return
    at, end = event.offset, event.offset + len(event.data)
    while at < end:
        stop = min(end, (at // loss.block_bytes + 1) * loss.block_bytes)
        if chance.random() < loss.kept:
            _write(
                content, Write(event.item, at, event.data[at - event.offset : stop - event.offset])
            )
        elif loss.kept > 0 and chance.random() < 0.5 and stop > len(content):
            content.extend(bytes(stop - len(content)))
        at = stop
