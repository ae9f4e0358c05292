"""The full-text index gives the answers of the reference evaluation, whatever its state."""

from __future__ import annotations

import asyncio
import base64
import random
from datetime import UTC, date, datetime

import apsw
import pytest

from rmail_kernel.storage import evaluate
from rmail_kernel.storage.filesystem import (
    FilesystemMailStore,
    fulltext,
    searching,
    texts,
)
from rmail_kernel.storage.filesystem.layout import AccountPaths
from rmail_kernel.storage.ids import MailboxId, Uid
from rmail_kernel.storage.mail import Field, MailboxView
from rmail_kernel.storage.search import (
    And,
    Arrived,
    Body,
    Dated,
    HasFlag,
    Header,
    ModifiedSince,
    Not,
    Or,
    SearchNode,
    Sized,
    Text,
    UidIn,
)
from tests.storage_contract.rig import ALICE, Opened, item

INBOX = MailboxId(1)
WORDS = [
    *(
        "Straße",
        "STRASSE",
        "e\u0301te\u0301",
        "été",
        "ÉTÉ",
        "会議",
        "会",
        "Ünïcode",
        "ab",
        "a",
        "İx",
    ),
    *('say "x"', "a*b", "NEAR(", "x\x1fy", "x\x00y", "\ufffe", "-", "Hello", "hello world", "ß"),
    *("\U0001f600", "か\u3099", "が", "subject:", "ﬁ", "x" * 70, "x" * 65 + "y"),
]

pytestmark = pytest.mark.usefixtures("patience")


def message(draw: random.Random) -> bytes:
    """A message of one of several forms, with words that searches ask for."""
    subject, body, name = (" ".join(draw.choices(WORDS, k=draw.randint(0, 4))) for _ in range(3))
    word = base64.b64encode(subject.encode()).decode()
    head = f"Subject: =?utf-8?b?{word}?=\r\nX-Own: {body[:9]!a}\r\nDate: 1 Jan 2026 10:00 +0000\r\n"
    text = body.encode()
    match draw.randrange(4):
        case 0:
            head += "Content-Type: text/plain; charset=utf-8\r\n"
        case 1:
            head += "Content-Type: text/html; charset=utf-8\r\n"
            text = b"<p>" + text.replace(b"a", b"&#97;") + b"</p><b>after</b>"
        case 2:
            head += (
                "Content-Type: text/plain; charset=utf-16\r\nContent-Transfer-Encoding: base64\r\n"
            )
            text = base64.encodebytes(body.encode("utf-16"))
        case _:
            head += 'Content-Type: multipart/mixed; boundary="="\r\n'
            encoded = base64.b64encode(name.encode()).decode()
            text = (
                b"--=\r\n\r\n" + text + b"\r\n--=\r\nContent-Type: image/png;\r\n name="
                b'"=?utf-8?b?' + encoded.encode() + b'?="\r\n\r\nhello\r\n--=--\r\n'
            )
    return head.encode() + b"\r\n" + text


def needle(draw: random.Random) -> str:
    """A piece of a word, now and then of two, in some case."""
    text = " ".join(draw.choices(WORDS, k=draw.randint(1, 2)))
    start = draw.randrange(len(text))
    piece = text[start : start + draw.choice([1, 1, 2, 2, 3, 4, 8, 80])]
    return draw.choice([piece, piece.upper(), piece.lower()])


def query(draw: random.Random, depth: int = 2) -> SearchNode:
    """A query of random shape."""
    if depth and draw.random() < 0.4:
        parts = tuple(query(draw, depth - 1) for _ in range(draw.randint(1, 3)))
        shapes: list[SearchNode] = [And(parts), Or(parts), Not(parts[0])]
        return draw.choice(shapes)
    text = needle(draw)
    leaves: list[SearchNode] = [
        Body(text),
        Text(text),
        Header(draw.choice(["subject", "X-OWN", "date", "nowhere", "é"]), draw.choice([text, ""])),
        UidIn(((draw.randint(1, 40), draw.randint(1, 60)),)),
        Sized(draw.choice(["larger", "smaller"]), draw.randint(100, 400)),
        HasFlag("\\Seen"),
        Dated("sent", draw.choice(["before", "on", "since"]), date(2026, 1, 1)),
        Dated("internal", draw.choice(["before", "on", "since"]), date(2026, 1, 1)),
        Arrived(draw.choice(["until", "from"]), datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ModifiedSince(draw.randint(1, 30)),  # type: ignore[arg-type] # a number is one
    ]
    return draw.choice(leaves)


async def reference(mail: FilesystemMailStore, view: MailboxView, asked: SearchNode) -> list[Uid]:
    """The answer without anything known beforehand."""
    return await evaluate.search(mail, ALICE, view.mailbox, asked, view)


@pytest.mark.parametrize("seed", range(4))
async def test_indexed_searches_answer_as_the_reference_does(
    store: Opened, mail: FilesystemMailStore, seed: int
) -> None:
    draw = random.Random(seed)
    before: list[SearchNode] = []  # asked before: of these, answers are remembered
    for _ in range(3):
        await store.put(*(item(message(draw), *draw.choice([(), ("\\Seen",)])) for _ in range(15)))
        await mail.expunge(ALICE, INBOX, [Uid(draw.randint(1, 45))], only_deleted=False)
        view = await mail.view(ALICE, INBOX)
        before += [query(draw) for _ in range(60)]
        for asked in before:
            assert await mail.search(ALICE, INBOX, asked) == await reference(mail, view, asked)
        await mail.index(ALICE)  # what comes after it is not indexed


async def test_an_indexed_message_is_found_without_a_look_at_it(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths
) -> None:
    await store.put(item(b"Subject: one\r\n\r\nneedle\r\n"), item(b"Subject: two\r\n\r\nhay\r\n"))
    await mail.index(ALICE)
    for file in (paths.mailboxes / "INBOX/0000").iterdir():
        file.write_bytes(bytes(file.stat().st_size))
    assert await mail.search(ALICE, INBOX, Body("eedl")) == [1]
    assert await mail.search(ALICE, INBOX, Body("ha")) == [2]
    assert await mail.search(ALICE, INBOX, Text("two")) == [2]
    assert await mail.search(ALICE, INBOX, Not(Body("zzz"))) == [1, 2]


async def test_what_is_too_large_for_the_index_is_found_and_holds_nothing_up(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths
) -> None:
    line = b"filler " * 100 + b"\r\n"
    large = b"Subject: large\r\n\r\n" + line * (texts.MAX_PART_BYTES // len(line) + 1) + b"last\r\n"
    many = b"".join(b"X%d: b\r\n" % n for n in range(texts.MAX_TEXTS + 1)) + b"\r\nlast\r\n"
    chars = b"Subject: chars\r\n\r\n" + b"c" * texts.MAX_CHARS + b" last"
    small = b"Subject: n\r\n\r\nlast\r\n"
    await store.put(item(large), item(many), item(small), item(chars))
    await mail.index(ALICE)
    for asked in (Body("last"), Body("filler"), Text(f"x{texts.MAX_TEXTS}: b"), Text("large")):
        view = await mail.view(ALICE, INBOX)
        assert await mail.search(ALICE, INBOX, asked) == await reference(mail, view, asked)
    index = fulltext.Index(paths)
    told = index.foreknow(await mail.view(ALICE, INBOX), [Body("last")])[Body("last")]
    assert (told.yes, told.maybe) == ({2, 3}, {1, 4})
    index.close()


async def test_more_conditions_than_are_looked_up_are_found_out_by_reading(
    store: Opened, mail: FilesystemMailStore
) -> None:
    await store.put(*(item(b"Subject: n\r\n\r\nword%03d\r\n" % n) for n in range(80)))
    await mail.index(ALICE)
    assert searching.MAX_CONDITIONS < 80
    asked = Or(tuple(Body(f"word{n:03}") for n in range(80)))
    assert await mail.search(ALICE, INBOX, asked) == list(range(1, 81))


@pytest.mark.parametrize(
    ("messages", "conditions"), [(0, 64), (16_384, 64), (52_428, 20), (1 << 20, 8), (1 << 30, 8)]
)
def test_the_answers_of_one_query_are_bounded_in_memory(messages: int, conditions: int) -> None:
    assert searching.most_conditions(messages) == conditions


@pytest.mark.parametrize("is_indexed", [False, True])
async def test_listed_fields_are_searched_as_they_are_read(
    store: Opened, mail: FilesystemMailStore, is_indexed: bool
) -> None:
    """Where the bytes of a header tell nothing of its text, it is decoded."""
    await store.put(
        item(b"Subject: two\r\n  Words\r\nFrom: ann(of it)@example.org\r\n\r\n"),
        item("Subject: Two \u212aelvin\r\nFrom: b@example.org\r\n\r\n".encode()),
        item(b'Subject: =?utf-8?q?T=77o_=C3=A9t=C3=A9?=\r\nTo: "c d"@example.org\r\n\r\n'),
        item(b"Subject: none\r\nCc: two <x@example.org> (words)\r\n\r\n"),
    )
    if is_indexed:
        await mail.index(ALICE)
    view = await mail.view(ALICE, INBOX)
    wanted: list[tuple[str, str, list[int]]] = [
        ("subject", "TWO", [1, 2, 3]),
        ("subject", "two  words", [1]),
        ("subject", "two words", []),
        ("subject", "kelvin", [2]),
        ("subject", "\u212a", [2]),
        ("subject", "\u00e9t", [3]),
        ("subject", " ", [1, 2, 3]),
        ("from", "ann@example", [1]),
        ("from", "of it", [1]),
        ("to", "c d", [3]),
        ("cc", "x@example.org> (w", [4]),
        ("cc", "x@example.org", [4]),
        ("subject", "x@example.org", []),
    ]
    for name, text, uids in wanted:
        assert await mail.search(ALICE, INBOX, Header(name, text)) == uids, (name, text)
        assert await reference(mail, view, Header(name, text)) == uids, (name, text)


async def test_dates_compare_by_day_from_columns_as_by_message(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths
) -> None:
    await store.put(item(), item(), item())
    for uid, at in ((1, -(10**15)), (2, 1_767_225_600), (3, 10**15)):
        db = apsw.Connection(str(paths.database))
        sql = "UPDATE message SET internal_date=?, save_date=nullif(?, 10000000) WHERE uid=?"
        db.execute(sql, (at, at, uid))
        db.close()
    view = await mail.view(ALICE, INBOX)
    for which in ("internal", "saved", "sent"):
        for op in ("before", "on", "since"):
            for uid in (1, 2, 3):
                found = [
                    m
                    async for batch in mail.fetch(ALICE, INBOX, [Uid(uid)], Field.NONE)
                    for m in batch
                ]
                asked = Dated(which, op, found[0].internal_date.date())
                assert await mail.search(ALICE, INBOX, asked) == await reference(mail, view, asked)


async def test_a_hundred_searches_at_once_answer_and_let_an_append_through(
    store: Opened, mail: FilesystemMailStore
) -> None:
    await store.put(*(item(f"Subject: s\r\n\r\nneedle {n % 2}\r\n".encode()) for n in range(20)))
    await mail.index(ALICE)
    asked = [Text(f"needle {n % 2}") for n in range(100)]
    searches = asyncio.gather(*(mail.search(ALICE, INBOX, one) for one in asked))
    stored = await store.put(item(b"\r\nneedle 2\r\n"))
    for n, uids in enumerate(await searches):
        assert uids == [uid for uid in range(1, 21) if uid % 2 == (n + 1) % 2]
    assert stored[0].uid == 21
    assert await mail.search(ALICE, INBOX, Text("needle 2")) == [21]
