"""Texts that one process has read are taken by others as long as they are whole, and a search never
depends on them.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rmail_kernel.storage.filesystem import FilesystemMailStore, shared_texts
from rmail_kernel.storage.filesystem.layout import AccountPaths
from rmail_kernel.storage.filesystem.reading_apart import Found, Wanted, parse_found, read
from rmail_kernel.storage.filesystem.remembering import Texts
from rmail_kernel.storage.filesystem.shared_texts import Place, path_of, share, shared
from rmail_kernel.storage.filesystem.texts import MessageText
from rmail_kernel.storage.ids import MailboxId
from rmail_kernel.storage.search import Body
from tests.storage_contract.rig import ALICE, Opened, item, opened
from tests.storage_filesystem.damage import harm

INBOX = MailboxId(1)

pytestmark = pytest.mark.usefixtures("patience")


def text_of(word: str) -> MessageText:
    """The text of a message."""
    return MessageText("h", word, is_sure=True)


def put(paths: AccountPaths, start: int, *words: str, uidvalidity: int = 1) -> None:
    """Shares texts of messages from UID `start` on."""
    upto = start + len(words)
    texts = {start + n: text_of(word) for n, word in enumerate(words)}
    share(paths, INBOX, uidvalidity, start, upto, Found(texts, upto).raw)


def taken(paths: AccountPaths, start: int, place: Place | None = None) -> tuple[list[str], int]:
    """What another process takes."""
    found, upto = shared(
        paths, INBOX, 1, start, place or Place(), lambda raw: parse_found(raw).texts
    )
    return [found[uid].body for uid in sorted(found)], upto


@pytest.fixture
def home(tmp_path: Path) -> AccountPaths:
    """The files of an account without any."""
    return AccountPaths.below(tmp_path)


def test_records_that_follow_one_another_are_taken_and_others_passed_over(
    home: AccountPaths,
) -> None:
    assert taken(home, 1) == ([], 1)
    place = Place()
    put(home, 1, "one", "two")
    put(home, 1, "other", uidvalidity=2)
    assert taken(home, 1, place) == (["one", "two"], 3)
    put(home, 2, "two", "three")
    put(home, 9, "nine")
    assert taken(home, 3, place) == (["two", "three"], 4)
    assert taken(home, 4, place) == ([], 4)
    assert taken(home, 1) == (["one", "two", "three"], 4)
    path_of(home).unlink()
    put(home, 4, "four")
    assert taken(home, 4, place) == (["four"], 5)


@pytest.mark.parametrize("damage", ["cut", "flipped", "version", "no JSON", "no list", "zeros"])
def test_a_record_that_is_not_whole_ends_the_file(home: AccountPaths, damage: str) -> None:
    put(home, 1, "one")
    size = path_of(home).stat().st_size
    put(home, 2, "two")
    raw = path_of(home).read_bytes()
    second = raw[size:]
    line, _, texts = second.partition(b"\n")
    path_of(home).write_bytes(
        raw[:size]
        + {
            "cut": second[:-1],
            "flipped": line + b"\n" + texts[:-1] + b"\xff",
            "version": json.dumps([0, *json.loads(line)[1:]]).encode() + b"\n" + texts,
            "no JSON": b"{\n" + texts,
            "no list": b"5\n" + texts,
            "zeros": bytes(len(second)),
        }[damage]
    )
    assert taken(home, 1) == (["one"], 2)


def test_the_file_has_a_bound(home: AccountPaths, patience: pytest.MonkeyPatch) -> None:
    put(home, 1, "one")
    patience.setattr(shared_texts, "MAX_FILE_BYTES", path_of(home).stat().st_size + 10)
    put(home, 2, "two")
    assert taken(home, 1) == (["one"], 2)


def test_trouble_with_the_file_is_none(home: AccountPaths) -> None:
    path_of(home).mkdir()
    put(home, 1, "one")
    shared_texts.drop(home)
    assert taken(home, 1) == ([], 1)


async def test_another_process_searches_what_one_has_read(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths
) -> None:
    await store.put(item(b"Subject: s\r\n\r\none\r\n"), item(b"Subject: s\r\n\r\ntwo\r\n"))
    await mail.settle(ALICE)
    view = await mail.view(ALICE, INBOX)
    read(Wanted(str(paths.home), INBOX, view.uidvalidity, 1), Texts())
    async with opened(store.root, check_after=False) as other:
        assert isinstance(other.mail, FilesystemMailStore)
        await other.mail.view(ALICE, INBOX)
        await other.mail._ahead.idle()
        for file in (paths.mailboxes / "INBOX/0000").iterdir():
            file.write_bytes(bytes(file.stat().st_size))
        assert await other.mail.search(ALICE, INBOX, Body("two")) == [2]


async def test_the_file_goes_when_the_index_has_all_and_with_the_index(
    store: Opened, mail: FilesystemMailStore, paths: AccountPaths
) -> None:
    await store.put(item())
    view = await mail.view(ALICE, INBOX)
    for anew in (False, True):
        read(Wanted(str(paths.home), INBOX, view.uidvalidity, 1), Texts())
        assert path_of(paths).exists()
        await mail.index(ALICE, anew=anew)
        assert not path_of(paths).exists()


async def test_the_file_goes_with_the_database_whose_uids_it_names(
    store: Opened, paths: AccountPaths
) -> None:
    await store.put(item())
    put(paths, 1, "stale")
    harm(store.root, "deleted")
    assert (await store.mail.view(ALICE, INBOX)).total == 1
    assert taken(paths, 1) == ([], 1)
