"""Sets of UIDs tell of a query what each message by itself tells, as far as anything is known."""

from __future__ import annotations

import random
from array import array
from typing import Literal

import pytest

from rmail_kernel.storage.evaluate import narrow
from rmail_kernel.storage.ids import MailboxId, ModSeq, Uid
from rmail_kernel.storage.mail import FIRST_KEYWORD_BIT, MailboxView
from rmail_kernel.storage.narrowing import Foreknown, Split, split
from rmail_kernel.storage.search import All, And, Body, HasFlag, Not, Or, SearchNode, UidIn

UIDS = range(2, 90, 3)
SEEN = 1 << 3


def view(total: int) -> MailboxView:
    """A mailbox; every other message is seen. The arrays hold more, which came later."""
    flags = array("I", [SEEN * (n % 2) for n in range(len(UIDS))])
    uids = array("I", UIDS)
    return MailboxView(MailboxId(1), 7, Uid(99), ModSeq(5), total, uids, flags, ())


def query(draw: random.Random, depth: int = 3) -> SearchNode:
    """A query of random shape."""
    if depth and draw.random() < 0.7:
        parts = tuple(query(draw, depth - 1) for _ in range(draw.randint(0, 3)))
        if draw.random() < 0.5:
            return Not(query(draw, depth - 1))
        return draw.choice((And(parts), Or(parts or (All(),))))
    low = draw.randrange(90)
    leaves: list[SearchNode] = [
        All(),
        HasFlag("\\Seen"),
        HasFlag("none"),
        UidIn(((low, low + 20), (low - 5, low + 2))),
        Body(draw.choice("abc")),
    ]
    return draw.choice(leaves)


def expected(asked: SearchNode, uid: int, flags: int, known: Foreknown) -> bool | None:
    """What one message tells; None: that is not known."""
    told = known.get(asked)
    if told is not None:
        return True if uid in told.yes else None if uid in told.maybe else False
    match asked:
        case All():
            return True
        case And(parts):
            answers = [expected(part, uid, flags, known) for part in parts]
            return False if False in answers else None if None in answers else True
        case Or(parts):
            answers = [expected(part, uid, flags, known) for part in parts]
            return True if True in answers else None if None in answers else False
        case Not(part):
            answer = expected(part, uid, flags, known)
            return None if answer is None else not answer
        case HasFlag(name):
            return name == "\\Seen" and bool(flags & SEEN)
        case UidIn(ranges):
            return any(low <= uid <= high for low, high in ranges)
        case _:
            return None


@pytest.mark.parametrize("seed", range(40))
async def test_a_query_splits_the_messages_as_each_by_itself_tells(seed: int) -> None:
    draw = random.Random(seed)
    for _ in range(25):
        seen = view(draw.choice((0, 1, len(UIDS) - 3, len(UIDS))))
        known: dict[SearchNode, Split] = {}
        for text in draw.sample("abc", draw.randint(0, 3)):
            yes = {uid for uid in range(100) if draw.random() < draw.choice((0.02, 0.5))}
            maybe = {uid for uid in range(100) if draw.random() < draw.choice((0, 0.3))} - yes
            known[Body(text)] = Split(yes, maybe)
        if draw.random() < 0.2:
            known[Not(Body("a"))] = Split({5}, {8})
        asked = query(draw)
        found = split(asked, seen, known)
        assert not found.yes & found.maybe
        answers = {
            uid: expected(asked, uid, flags, known)
            for uid, flags in zip(seen.uids[: seen.total], seen.flags, strict=False)
        }
        narrowed = await narrow(asked, seen, known)
        assert narrowed.found == [uid for uid, answer in answers.items() if answer]
        assert list(narrowed.open) == [uid for uid, answer in answers.items() if answer is None]


@pytest.mark.parametrize("code", ["I", "Q"])
async def test_a_flag_is_found_in_whatever_bit_it_is(code: Literal["I", "Q"]) -> None:
    draw = random.Random(code)
    bits = array(code).itemsize * 8
    words = array(code, [draw.getrandbits(bits) for _ in UIDS])
    keywords = tuple(f"$k{n}" for n in range(bits - FIRST_KEYWORD_BIT + 1))  # one has no room
    seen = MailboxView(
        MailboxId(1), 7, Uid(99), ModSeq(5), len(UIDS) - 2, array("I", UIDS), words, keywords
    )
    places = [FIRST_KEYWORD_BIT + n for n in range(len(keywords))]
    for name, bit in [("\\Seen", 3), *zip(keywords, places, strict=True)]:
        known = [*zip(UIDS, words, strict=True)][:-2]
        has_it = [uid for uid, word in known if word >> bit & 1]
        has_not = [uid for uid, word in known if not word >> bit & 1]
        assert (await narrow(HasFlag(name.upper()), seen, {})).found == has_it
        assert (await narrow(Not(HasFlag(name)), seen, {})).found == has_not
        both = And((All(), HasFlag(name)))
        assert (await narrow(both, seen, {})).found == has_it
