"""Bitmaps of short texts have each message at its place, and forget whole blocks only."""

from __future__ import annotations

import random
from collections.abc import Iterator

import apsw
import pytest

from rmail_kernel.storage.filesystem import schema, shortgrams
from rmail_kernel.storage.filesystem.shortgrams import BLOCK, Gathered, is_kept, uids_with

LOW = 7 << 32
UIDS = [1, 2, BLOCK - 1, BLOCK, BLOCK + 1, 5 * BLOCK + 9, 0xFFFFFFFE]


@pytest.fixture
def db() -> Iterator[apsw.Connection]:
    """The table, with messages of three mailboxes: all have "ab", odd UIDs have "xy" in field 1."""
    found = apsw.Connection(":memory:")
    found.execute(shortgrams.TABLE)
    for uid in UIDS:  # each by itself: later ones are added to what is there
        gathered = Gathered()
        for mailbox in (6, 7, 8):
            gathered.add(schema.summary_key(mailbox, uid), 0, "ab")
            if uid % 2:
                gathered.add(schema.summary_key(mailbox, uid), 1, "wxyz")
        gathered.save(found)
    yield found
    found.close()


def test_each_message_of_the_mailbox_is_found_and_no_other(db: apsw.Connection) -> None:
    odd = {uid for uid in UIDS if uid % 2}
    assert uids_with(db, LOW, (0,), "ab") == set(UIDS)
    assert uids_with(db, LOW, (0, 1), "xy") == odd
    assert uids_with(db, LOW, (1,), "y") == odd
    assert uids_with(db, LOW, (0,), "y") == set()
    assert uids_with(db, LOW, (1,), "wy") == set()


def test_blocks_are_forgotten_whole(db: apsw.Connection) -> None:
    shortgrams.forget(db, LOW, LOW + BLOCK)  # the second block has more than that
    assert uids_with(db, LOW, (0,), "ab") == {uid for uid in UIDS if uid >= BLOCK}
    shortgrams.forget(db, LOW, LOW + 0xFFFFFFFF)
    assert uids_with(db, LOW, (0,), "ab") == set()
    assert uids_with(db, 6 << 32, (0,), "ab") == uids_with(db, 8 << 32, (0,), "ab") == set(UIDS)


@pytest.mark.parametrize("seed", range(20))
def test_the_kept_grams_of_a_text_are_those_that_stand_in_it(
    db: apsw.Connection, seed: int
) -> None:
    draw = random.Random(seed)
    letters = draw.choices("ab é я会\U0001f600,\x1f\r\n  ", k=draw.randint(0, 30))
    text = "".join(draw.choices(letters or " ", k=draw.randint(0, 60)))
    pieces = {text[at : at + size] for at in range(len(text)) for size in (1, 2)}
    gathered = Gathered()
    gathered.add(2 * LOW, 1, text)
    gathered.save(db)
    found = schema.rows(db, "SELECT gram FROM short WHERE block=?", 2 * LOW // BLOCK)
    assert {gram for (gram,) in found} == {piece for piece in pieces if is_kept(piece)}


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("a", True),
        ("é7", True),
        ("я ", True),
        ("abc", False),
        ("a-", False),
        ("会", False),
        ("a会", False),
        ("\x1f", False),
    ],
)
def test_bitmaps_are_of_letters_of_few_scripts(text: str, kept: bool) -> None:
    assert is_kept(text) is kept
