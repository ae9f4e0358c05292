"""THREAD (RFC 5256 3) against the RFC's rules, written down once more for small mailboxes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rmail_imap.threads import NONE, Forest, Members, ordered_subject, references, refs

if TYPE_CHECKING:
    from plugins.rmail_imap.tests.conftest import Connect, Fill


@dataclass(frozen=True)
class Member:
    """One message, as the rules speak of it."""

    message_id: str | None
    references: tuple[str, ...]
    subject: str
    is_reply: bool
    sent: int
    arrived: int


def member(
    own: str | None,
    refers: str = "",
    subject: str = "",
    at: int = 0,
    arrived: int = 0,
    *,
    is_reply: bool = False,
) -> Member:
    return Member(own, tuple(refers.split()), subject, is_reply, at, arrived)


def columns(members: list[Member]) -> Members:
    return Members(
        sent=[one.sent for one in members],
        arrived=[one.arrived for one in members],
        message_ids=[one.message_id for one in members],
        references=["<".join(one.references) for one in members],
        subjects=[one.subject for one in members],
        are_replies=[one.is_reply for one in members],
    )


def grown(roots: list[int], children: dict[int, list[int]], size: int) -> Forest:
    """A forest by its children."""
    first, following = [NONE] * (size + 1), [NONE] * (size + 1)
    for parent, below in children.items():
        first[parent] = below[0]
        for one, other in pairwise(below):
            following[one] = other
    return Forest(roots, first, following, size)


def shown(forest: Forest) -> str:
    names = range(1, forest.size + 1)
    return b"".join(forest.pieces(names)).decode()


def test_the_responses_look_as_in_the_rfc() -> None:
    # RFC 5256 4, both examples
    forest = grown([2, 3], {3: [6], 6: [4, 44], 4: [23], 44: [7], 7: [96]}, 200)
    assert b"".join(forest.pieces(range(200))) == b"(2)(3 6 (4 23)(44 7 96))"
    forest = grown([10], {10: [3, 5]}, 10)
    assert b"".join(forest.pieces(range(10))) == b"((3)(5))"
    assert b"".join(grown([], {}, 0).pieces([])) == b""


def test_ordered_subject_has_no_grandchildren() -> None:
    members = [
        member("a", subject="X", at=3),
        member("b", subject="Y", at=2),
        member("c", subject="X", at=1),
        member("d", subject="X", at=4),
        member("e", subject="Y", at=5),
    ]
    assert shown(ordered_subject(columns(members))) == "(3 (1)(4))(2 5)"


@pytest.mark.parametrize(
    ("members", "threads"),
    [
        # 1: a chain, in any order of arrival
        ([member("a", at=1), member("b", "a", at=2), member("c", "a b", at=3)], "(1 2 3)"),
        ([member("c", "a b", at=3), member("b", "a", at=2), member("a", at=1)], "(3 2 1)"),
        # a missing message between two is left out
        ([member("a", at=1), member("c", "a b", at=2)], "(1 2)"),
        # a missing first message holds its children together, unless there is one only
        ([member("b", "a", at=1), member("c", "a", at=2)], "((1)(2))"),
        ([member("b", "a", at=1)], "(1)"),
        ([member("b", "z y x a", at=1), member("c", "y q", at=2)], "((1)(2))"),
        # no loops
        ([member("a", "b", at=1), member("b", "a", at=2)], "(2 1)"),
        ([member("a", "a", at=1)], "(1)"),
        # of two messages with one id the second stands alone
        ([member("a", at=1), member("a", at=2), member("b", "a", at=3)], "(1 3)(2)"),
        # 1.B: the last reference is the parent, whatever others said
        (
            [member("c", "a b", at=3), member("d", "a c", at=4), member("a", at=1)],
            "(3 1 2)",
        ),
        # a message without references has no parent, whatever others said
        ([member("c", "a b", at=3), member("b", "", "S", at=2), member("a", at=1)], "(3)(2 1)"),
        # 4, 6: siblings by date, a dummy by its first child
        (
            [member("b", "x", at=5), member("c", "x", at=2), member("d", at=3), member("e", at=1)],
            "(4)((2)(1))(3)",
        ),
        # 5: threads of one subject
        ([member("a", "", "S", 1), member("b", "", "S", 2, is_reply=True)], "(1 2)"),
        ([member("a", "", "S", 2), member("b", "", "S", 1, is_reply=True)], "(1 2)"),
        ([member("a", "", "S", 1), member("b", "", "S", 2)], "((1)(2))"),
        ([member("a", "", "", 1), member("b", "", "", 2)], "(1)(2)"),
        (
            [member("b", "x", "S", 1), member("c", "x", "T", 2), member("d", "", "S", 3)],
            "((1)(2)(3))",
        ),
        (
            [
                member("b", "x", "S", 1),
                member("c", "x", "T", 2),
                member("e", "y", "S", 3),
                member("f", "y", "U", 4),
            ],
            "((1)(2)(3)(4))",
        ),
        (
            [member("a", "", "S", 1), member("b", "", "S", 2), member("c", "", "S", 3)],
            "((1)(2)(3))",
        ),
    ],
)
def test_references(members: list[Member], threads: str) -> None:
    assert shown(references(columns(members))) == threads


def test_refs_looks_at_no_subject_and_sorts_by_the_newest_message() -> None:
    members = [
        member("a", "", "S", 1, arrived=1),
        member("b", "", "S", 2, arrived=2),
        member("c", "a", "S", 3, arrived=4, is_reply=True),
        member("d", "x", "S", 0, arrived=0),
        member("e", "x", "S", 2, arrived=3),
    ]
    assert shown(refs(columns(members))) == "(2)((4)(5))(1 3)"
    assert shown(references(columns(members))) != shown(refs(columns(members)))


def test_refs_sorts_threads_by_arrival_and_within_them_by_date() -> None:
    # draft-ietf-morg-inthread 4
    members = [
        member("a", "", "", 1, arrived=1),
        member("b", "a", "", 9, arrived=2),
        member("c", "a", "", 5, arrived=3),  # sent before b, came after it
        member("d", "", "", 0, arrived=4),  # sent first of all, came last
    ]
    assert shown(refs(columns(members))) == "(1 (3)(2))(4)"


ids = st.sampled_from("abcdefgh")
messages = st.lists(
    st.builds(
        Member,
        st.one_of(st.none(), ids),
        st.lists(ids, max_size=4, unique=True).map(tuple),
        st.sampled_from(["", "S", "T"]),
        st.booleans(),
        st.integers(0, 5),
        st.integers(0, 5),
    ),
    max_size=10,
)


@settings(max_examples=150, deadline=None)
@given(messages)
def test_every_message_is_in_one_thread_once(members: list[Member]) -> None:
    for make in (ordered_subject, references, refs):
        text = shown(make(columns(members)))
        found = text.replace("(", " ").replace(")", " ").split()
        assert sorted(map(int, found)) == list(range(1, len(members) + 1))
        assert text.count("(") == text.count(")")
        assert "()" not in text


@settings(max_examples=150, deadline=None)
@given(messages)
def test_links_are_those_of_the_rules(members: list[Member]) -> None:
    wanted = _slow_links(members)
    forest = refs(columns(members))
    nodes = range(len(forest.first))
    found = {child: parent for parent in nodes for child in forest.children(parent)}
    for index in range(len(members)):
        parent = found.get(index)
        assert (parent if parent is not None and parent < len(members) else None) == wanted[index]


def _slow_links(members: list[Member]) -> list[int | None]:
    """Steps 1 and 3 by the letter: the nearest ancestor of each message that is there."""
    names: dict[str, str] = {}
    own = []
    for index, one in enumerate(members):
        taken = one.message_id is None or one.message_id in names
        own.append(f"#{index}" if taken else str(one.message_id))
        names[own[-1]] = own[-1]
    parent: dict[str, str] = {}

    def above(name: str) -> list[str]:
        found = []
        while name in parent:
            name = parent[name]
            found.append(name)
        return found

    for one, name in zip(members, own, strict=True):
        chain = one.references
        for first, second in pairwise(chain):
            if second not in parent and second not in [first, *above(first)]:
                parent[second] = first
        parent.pop(name, None)
        if chain and name not in [chain[-1], *above(chain[-1])]:
            parent[name] = chain[-1]
    place = {name: index for index, name in enumerate(own)}
    return [next((place[up] for up in above(name) if up in place), None) for name in own]


@pytest.mark.parametrize("is_backwards", [False, True])
def test_a_chain_of_100_000_messages_is_one_thread(is_backwards: bool) -> None:
    count = 100_000
    chain = [member(str(n), str(n - 1) if n else "", at=n) for n in range(count)]
    if is_backwards:
        chain.reverse()
    text = shown(references(columns(chain)))
    assert text.count("(") == 1
    assert text.count(" ") == count - 1


def test_links_made_to_cost_time_are_given_up() -> None:
    # Small trees, each hung below the deepest message of a long chain.
    deep = 40_000
    chain = [member(str(n), str(n - 1) if n else "", at=n) for n in range(deep)]
    for n in range(5000):
        chain.append(member(f"x{n}", f"y{n}"))
        chain.append(member(f"z{n}", f"{deep - 1} y{n}"))
    start = time.process_time()
    forest = references(columns(chain))
    assert time.process_time() - start < 20
    assert sum(child != NONE for child in [*forest.first, *forest.following]) > deep


async def test_threads_on_the_wire(connect: Connect, fill: Fill) -> None:
    await fill(
        [
            b"Message-ID: <a@x>\r\nSubject: one\r\nDate: 1 Feb 2026 10:00 +0000\r\n\r\n",
            b'Message-ID: <"b"@x>\r\nReferences: <a@x>\r\nSubject: Re: one\r\n'
            b"Date: 2 Feb 2026 10:00 +0000\r\n\r\n",
            b"Message-ID: <c@x>\r\nIn-Reply-To: <a@x>\r\nSubject: Re: one\r\n"
            b"Date: 3 Feb 2026 10:00 +0000\r\n\r\n",
            b"Message-ID: <d@x>\r\nReferences: <a@x> <b@x>\r\nSubject: Re: ONE\r\n"
            b"Date: 4 Feb 2026 10:00 +0000\r\n\r\n",
            b"Message-ID: <e@x>\r\nSubject: two\r\nDate: 1 Jan 2026 10:00 +0000\r\n\r\n",
        ]
    )
    client = await connect("INBOX")
    await client.run("""
        C: a THREAD REFERENCES UTF-8 ALL
        S: * THREAD (5)(1 (2 4)(3))
        S: a OK THREAD completed
        C: b UID THREAD orderedsubject US-ASCII NOT SUBJECT two
        S: * THREAD (1 (2)(3)(4))
        S: b OK UID THREAD completed
        C: c THREAD REFS UTF-8 NOT 1
        S: * THREAD *
        S: c OK *
        C: d THREAD REFERENCES UTF-8 SUBJECT nowhere
        S: * THREAD
        S: d OK *
        C: e THREAD JWZ UTF-8 ALL
        S: e BAD *
        C: f THREAD REFERENCES ALL
        S: f BAD *
        C: g THREAD REFERENCES KOI8-R ALL
        S: g NO [BADCHARSET *] *
    """)
