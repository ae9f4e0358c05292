"""Threads of messages: ORDEREDSUBJECT and REFERENCES (RFC 5256 3), REFS (draft-ietf-morg-inthread).

Messages are numbers from 0 on, in mailbox order; numbers behind them are dummies, which stand for
messages that are not there. Nothing is recursive, however deep a thread is; no step of much work
keeps other threads out. References are strangers' words: what they can cost is bounded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from rmail_imap.ordering import ordered

NONE: Final = -1
_STEPS: Final = 50
"""Steps per message that looking for loops may take on average; links past that are not made."""
_MIN_STEPS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Members:
    """What threading looks at in messages: a sequence for each, in mailbox order; those that an
    algorithm does not look at may be empty.

    Attributes:
        sent, arrived: Date: and INTERNALDATE, in seconds.
        references: message ids with "<" between.
        subjects: base subjects in the form that compares.
    """

    sent: Sequence[int]
    arrived: Sequence[int]
    message_ids: Sequence[str | None]
    references: Sequence[str]
    subjects: Sequence[str]
    are_replies: Sequence[bool]

    def __len__(self) -> int:
        return len(self.sent)


@dataclass(frozen=True, slots=True)
class Forest:
    """Threads in order. Numbers only: a list for each message would keep the garbage collector
    busy, and so all others waiting.

    Attributes:
        roots: the first message of each.
        first, following: of each message its first child, and the next child of its parent; NONE
            where there is none.
        size: how many messages there are; behind them are dummies.
    """

    roots: Sequence[int]
    first: Sequence[int]
    following: Sequence[int]
    size: int

    def children(self, node: int) -> list[int]:
        """The children of a message."""
        found = []
        node = self.first[node]
        while node != NONE:
            found.append(node)
            node = self.following[node]
        return found

    def pieces(self, names: Sequence[int]) -> Iterator[bytes]:
        """The THREAD response without its start, in small pieces (RFC 5256 4).

        Args:
            names: number or UID of each message.
        """
        close = -2
        for root in self.roots:
            stack = [root]
            while stack:
                node = stack.pop()
                if node == close:
                    yield b")"
                    continue
                yield b"("
                separator, child = b"", node
                while child != NONE and (node == child or self.following[child] == NONE):
                    node = child
                    if node < self.size:  # a dummy is only at the top, and is not told
                        yield b"%b%d" % (separator, names[node])
                        separator = b" "
                    child = self.first[node]
                if child != NONE:
                    yield separator
                stack.append(close)
                stack += reversed(self.children(node) if child != NONE else ())


def ordered_subject(members: Members) -> Forest:
    """ORDEREDSUBJECT: one level of children below the first message of a subject."""
    first: dict[str, int] = {}
    order = ordered([(members.sent, False)])
    parents = [NONE] * len(members)
    for index in order:
        parent = first.setdefault(members.subjects[index], index)
        if parent != index:
            parents[index] = parent
    return _forest(parents, order, len(members))


def references(members: Members) -> Forest:
    """REFERENCES: parents by message ids, threads of one subject gathered, sorted by date."""
    links = _linked(members)
    order = ordered([(members.sent, False)])
    parents = _without_dummies(links, len(members))
    _gather(members, parents, order)
    return _forest(parents, order, len(members))


def refs(members: Members) -> Forest:
    """REFS: parents by message ids alone; the thread in which the last message came is the last.
    Within a thread messages are by their Date:, as in REFERENCES.
    """
    links = _linked(members)
    order = ordered([(members.sent, False)])
    parents = _without_dummies(links, len(members))
    forest = _forest(parents, order, len(members))
    top = _tops(parents)
    by_arrival = ordered([(members.arrived, False)])
    newest = [NONE] * len(parents)
    for place, index in enumerate(by_arrival):
        newest[top[index]] = place
    roots = [top[index] for place, index in enumerate(by_arrival) if newest[top[index]] == place]
    return Forest(roots, forest.first, forest.following, forest.size)


def _tops(parents: Sequence[int]) -> list[int]:
    """What is at the top above each message or dummy, itself if nothing else is."""
    tops = [NONE] * len(parents)
    for start in range(len(parents)):
        path, node = [], start
        while tops[node] == NONE and parents[node] != NONE:
            path.append(node)
            node = parents[node]
        tops[node] = end = tops[node] if tops[node] != NONE else node
        for passed in path:
            tops[passed] = end
    return tops


class _Links:
    """Parents as the references tell (RFC 5256 3, REFERENCES step 1)."""

    def __init__(self, members: Members) -> None:
        self.parents = [NONE] * len(members)
        self._children = [0] * len(members)
        self._nodes: dict[str, int] = {}
        self._steps = max(_MIN_STEPS, _STEPS * len(members))
        for index, message_id in enumerate(members.message_ids):
            if message_id is not None:  # of several with one id the first has it
                self._nodes.setdefault(message_id, index)

    def add(self, index: int, found: Sequence[str]) -> None:
        """Links the messages that a message refers to, and itself to the last of them."""
        nodes = []
        for reference in found:
            node = self._nodes.get(reference)
            nodes.append(self._dummy(reference) if node is None else node)
        for parent, child in pairwise(nodes):
            if self.parents[child] == NONE:
                self._link(parent, child)
        last = nodes[-1] if nodes else NONE
        if self.parents[index] == last:
            return
        if self.parents[index] != NONE:
            self._children[self.parents[index]] -= 1
            self.parents[index] = NONE
        if last != NONE:
            self._link(last, index)

    def _dummy(self, message_id: str) -> int:
        node = self._nodes[message_id] = len(self.parents)
        self.parents.append(NONE)
        self._children.append(0)
        return node

    def _link(self, parent: int, child: int) -> None:
        if parent == child or (self._children[child] and self._is_below(parent, child)):
            return
        self.parents[child] = parent
        self._children[parent] += 1

    def _is_below(self, node: int, above: int) -> bool:
        """Whether a node is a descendant of another; so it is said, too, once looking costs too
        much.
        """
        while node not in (NONE, above):
            node = self.parents[node]
            self._steps -= 1
            if self._steps < 0:
                return True
        return node == above


def _linked(members: Members) -> list[int]:
    links = _Links(members)
    for index, found in enumerate(members.references):
        links.add(index, found.split("<") if found else ())
    return links.parents


def _without_dummies(links: Sequence[int], size: int) -> list[int]:
    """Steps 2 and 3: the parent of each message, NONE for the root. A dummy stays at the top where
    it keeps several messages together; then it has NONE as its own parent.
    """
    above = list(links)  # for dummies: the nearest message above, or else the top dummy
    for node in range(size, len(links)):
        path = []
        at = node
        while at >= size and above[at] >= size:
            path.append(at)
            at = above[at]
        end = above[at] if at >= size and above[at] != NONE else at
        for passed in path:
            above[passed] = end
    parents = list(links)
    kept = [0] * len(links)  # how many messages a dummy keeps together
    for node in range(size):
        parent = links[node]
        if parent >= size:
            parent = parent if above[parent] == NONE else above[parent]
            if parent >= size:
                kept[parent] += 1
        parents[node] = parent
    for node in range(size):
        if kept[parents[node]] == 1 and parents[node] >= size:
            parents[node] = NONE
    parents[size:] = [NONE] * (len(links) - size)
    return parents


def _gather(members: Members, parents: list[int], order: Sequence[int]) -> None:
    """Step 5: threads of one subject become one; `parents` gets new dummies where it needs them."""
    size = len(members)
    roots, first = _roots(parents, order, size)
    subjects = {root: members.subjects[first.get(root, root)] for root in roots}
    table: dict[str, int] = {}
    for root in roots:
        held = table.setdefault(subjects[root], root)
        is_better = root >= size or (_is_reply(members, held) and not _is_reply(members, root))
        if held < size and held != root and is_better:
            table[subjects[root]] = root
    merged: dict[int, int] = {}
    for root in roots:
        subject = subjects[root]
        held = table[subject]
        if not subject or held == root:
            continue
        if held >= size and root >= size:
            merged[root] = held
        elif held >= size or (_is_reply(members, root) and not _is_reply(members, held)):
            parents[root] = held
        else:
            table[subject] = len(parents)
            parents[held] = parents[root] = len(parents)
            parents.append(NONE)
    for node in range(size):
        parents[node] = merged.get(parents[node], parents[node])


def _is_reply(members: Members, node: int) -> bool:
    return node < len(members) and members.are_replies[node]


def _roots(
    parents: Sequence[int], order: Sequence[int], size: int
) -> tuple[list[int], dict[int, int]]:
    """What is at the top, by date, and the first child of each dummy there."""
    roots: list[int] = []
    first: dict[int, int] = {}
    for node in order:
        parent = parents[node]
        if parent == NONE:
            roots.append(node)
        elif parent >= size and parent not in first:
            first[parent] = node
            roots.append(parent)
    return roots, first


def _forest(parents: Sequence[int], order: Sequence[int], size: int) -> Forest:
    """Step 6: siblings by date, for which they are looked at in that order."""
    roots, _ = _roots(parents, order, size)
    first, following = [NONE] * len(parents), [NONE] * len(parents)
    for node in reversed(order):
        parent = parents[node]
        if parent != NONE:
            following[node], first[parent] = first[parent], node
    return Forest(roots, first, following, size)
