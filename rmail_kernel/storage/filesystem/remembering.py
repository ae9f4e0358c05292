"""What searches of one process remember: texts of messages that no index has yet, and which
messages have a text. Both stay true, for a UID stands for the same content for ever; whoever was
not there when they were found out is looked at.
"""

from __future__ import annotations

import sys
import threading
from array import array
from collections import OrderedDict
from collections.abc import Iterable, Set
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from rmail_kernel.storage.filesystem.texts import MessageText
from rmail_kernel.storage.narrowing import Split
from rmail_kernel.storage.search import SearchNode

MAX_TEXT_BYTES: Final = 32 << 20
MAX_ANSWER_BYTES: Final = 8 << 20
_PACKED: Final = 1000
"""From so many UIDs on they are kept as an array, which takes a twentieth of the bytes of a set."""
_UID_BYTES: Final = 4
_ELEMENT_BYTES: Final = 100
_ENTRY_BYTES: Final = 500
_TEXT_BYTES: Final = 200


class Box(NamedTuple):
    """A mailbox, of an open account or of one life of its index."""

    of: object
    mailbox: int
    uidvalidity: int


class Texts:
    """Texts of messages by mailbox and UID, as many as there is room for."""

    def __init__(self, max_bytes: int = MAX_TEXT_BYTES) -> None:
        self._room = max_bytes
        self._of: OrderedDict[Box, dict[int, MessageText]] = OrderedDict()
        self._lock = threading.Lock()

    def known(
        self, box: Box, uids: Iterable[int], *, with_header: bool = True
    ) -> dict[int, MessageText]:
        """Those of some messages."""
        with self._lock:
            texts = self._of.get(box)
            if texts is None:
                return {}
            self._of.move_to_end(box)
            found = {uid: texts[uid] for uid in uids if uid in texts}
        if with_header:
            return {uid: text for uid, text in found.items() if text.header is not None}
        return found

    def add(self, box: Box, found: dict[int, MessageText]) -> bool:
        """Keeps what there is room for, at the cost of other mailboxes; whether that was all."""
        is_all = True
        with self._lock:
            texts = self._of.setdefault(box, {})
            self._of.move_to_end(box)
            for uid, text in found.items():
                if uid in texts:
                    self._room += _size(texts.pop(uid))  # which lacked the header
                size = _size(text)
                while self._room < size and len(self._of) > 1:
                    self._drop(next(iter(self._of)))
                if self._room >= size:
                    texts[uid] = text
                    self._room -= size
                else:
                    is_all = False
            if not texts:
                del self._of[box]
        return is_all

    def has(self, box: Box) -> bool:
        """Whether there are any of this mailbox."""
        return box in self._of

    def forget(self, box: Box, below: int) -> None:
        """Drops those of UIDs that the index has now."""
        with self._lock:
            texts = self._of.get(box, {})
            for uid in [uid for uid in texts if uid < below]:
                self._room += _size(texts.pop(uid))
            if not texts:
                self._of.pop(box, None)

    def drop(self, of: object) -> None:
        """Drops those of an account that was open."""
        with self._lock:
            for box in [box for box in self._of if box.of is of]:
                self._drop(box)

    def _drop(self, box: Box) -> None:
        self._room += sum(map(_size, self._of.pop(box).values()))


def _size(text: MessageText) -> int:
    return sys.getsizeof(text.header or "") + sys.getsizeof(text.body) + _TEXT_BYTES


_Uids: TypeAlias = "frozenset[int] | array[int]"


@dataclass(frozen=True, slots=True)
class Answer:
    """Which of the messages below `upto` match a condition, and which may."""

    upto: int
    yes: _Uids
    maybe: frozenset[int]

    @property
    def size_bytes(self) -> int:
        """About how much memory it takes."""
        one = _UID_BYTES if isinstance(self.yes, array) else _ELEMENT_BYTES
        return _ENTRY_BYTES + one * len(self.yes) + _ELEMENT_BYTES * len(self.maybe)

    def split(self) -> Split:
        """The messages below `upto`."""
        return Split(frozenset(self.yes), self.maybe)


class Answers:
    """Answers to conditions, the newest ones. For the event loop."""

    def __init__(self, max_bytes: int = MAX_ANSWER_BYTES) -> None:
        self._room = max_bytes
        self._known: OrderedDict[tuple[Box, SearchNode], Answer] = OrderedDict()

    def get(self, box: Box, condition: SearchNode) -> Answer | None:
        """The answer to a condition."""
        found = self._known.get((box, condition))
        if found is not None:
            self._known.move_to_end((box, condition))
        return found

    def keep(self, box: Box, condition: SearchNode, upto: int, found: Split) -> None:
        """Keeps what was found out of all messages below `upto`."""
        known = self._known.get((box, condition))
        if known is not None and known.upto == upto and len(known.maybe) == len(found.maybe):
            return
        answer = Answer(upto, _packed(found.yes), frozenset(found.maybe))
        if known is not None:
            self._drop((box, condition))
        self._known[box, condition] = answer
        self._room -= answer.size_bytes
        while self._room < 0:
            self._drop(next(iter(self._known)))

    def _drop(self, key: tuple[Box, SearchNode]) -> None:
        self._room += self._known.pop(key).size_bytes


def _packed(uids: Set[int]) -> _Uids:
    return frozenset(uids) if len(uids) < _PACKED else array("I", uids)


class Memory:
    """Both of one store."""

    def __init__(self) -> None:
        self.texts = Texts()
        self.answers = Answers()
