"""`rmail migrate`: a store of the original layout becomes ours, whatever stops it, and people with
their clients see the same mail.
"""

from __future__ import annotations

import asyncio
import imaplib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from rmail_kernel.testing import RunningServer
from rmail_kernel.testing.server import make_settings
from tests.cli.conftest import Rmail, tree
from tests.migration.original import ALICE, FLAGS, MAILBOXES, date_of, raw_message


def _quoted(directory: str) -> str:
    """The name of a mailbox as a client sends it."""
    return f'"{directory}"'


@contextmanager
def _session(port: int) -> Iterator[imaplib.IMAP4]:
    with imaplib.IMAP4("127.0.0.1", port, timeout=20) as imap:
        imap.login(ALICE, "secret")
        yield imap


def _listed(answer: list[Any]) -> set[str]:
    found = (re.match(rb'\(.*\) "/" "?([^"]*)"?\Z', line) for line in answer)
    return {match[1].decode() for match in found if match}


def _look(port: int) -> dict[str, Any]:
    """Everything that a client can see."""
    seen: dict[str, Any] = {}
    with _session(port) as imap:
        seen["all"] = _listed(imap.list()[1])
        seen["subscribed"] = _listed(imap.lsub()[1])
        for directory in MAILBOXES:
            assert imap.select(_quoted(directory), readonly=True)[0] == "OK"
            validity, uidnext = _number(imap, "UIDVALIDITY"), _number(imap, "UIDNEXT")
            messages = {}
            if MAILBOXES[directory][2]:
                _, found = imap.uid("FETCH", "1:*", "(UID FLAGS INTERNALDATE BODY.PEEK[])")
                messages = dict(_message(one) for one in found if isinstance(one, tuple))
            seen[directory] = (validity, uidnext, messages)
    return seen


def _number(imap: imaplib.IMAP4, name: str) -> int:
    found = imap.untagged_responses[name][0]
    assert isinstance(found, bytes)
    return int(found)


def _message(answer: tuple[bytes, bytes]) -> tuple[int, tuple[set[str], float, bytes]]:
    uid = re.search(rb"UID (\d+)", answer[0])
    assert uid is not None
    flags = {flag.decode() for flag in imaplib.ParseFlags(answer[0])} - {"\\Recent"}
    date = imaplib.Internaldate2tuple(answer[0])
    assert date is not None
    return int(uid[1]), (flags, time.mktime(date), answer[1])


def _expected() -> dict[str, Any]:
    expected: dict[str, Any] = {"all": set(MAILBOXES), "subscribed": set(MAILBOXES)}
    for directory, (validity, uidnext, letters) in MAILBOXES.items():
        messages = {
            uid: ({FLAGS[one] for one in flags}, float(date_of(uid)), raw_message(directory, uid))
            for uid, flags in letters.items()
        }
        expected[directory] = (validity, uidnext, messages)
    return expected


async def _seen_by_clients(root: Path) -> dict[str, Any]:
    server = RunningServer(make_settings(root, ["imap"]), {})
    await server.start()
    try:
        return await asyncio.to_thread(_look, server.ports["imap"])
    finally:
        await server.stop()


def test_clients_see_the_same_mail(rmail: Rmail, old_store: Path) -> None:
    outcome = rmail("migrate", "--json")
    assert outcome.code == 0, outcome
    assert {one["account"]: one["done"] for one in outcome.data["accounts"]} == {
        ALICE: True,
        "bob@example.com": True,
    }
    assert asyncio.run(_seen_by_clients(old_store)) == _expected()
    assert rmail("fsck").code == 0


def test_accounts_aliases_and_unknown_fields_stay(rmail: Rmail, old_store: Path) -> None:
    assert rmail("migrate").code == 0
    domain = old_store / "domains/example.com"
    record = json.loads((domain / "users/alice/account.json").read_bytes())
    assert (record["version"], record["quota_mb"], record["admin"]) == (1, 2048, True)
    assert record["signature"] == "kept"
    assert record["created"] == "2024-03-01T12:00:00+00:00"
    assert record["password_hash"].startswith("pbkdf2_sha256$")
    assert "password" not in record
    assert json.loads((domain / "aliases.json").read_bytes()) == {
        "version": 2,
        "aliases": [
            {"pattern": "sales-.*", "target": "alice"},
            {"pattern": ".*", "target": "bob"},
        ],
    }
    assert json.loads((domain / "domain.json").read_bytes())["version"] == 1
    listed = rmail("alias", "list", "--json").data
    assert [(rule["pattern"], rule["target"]) for rule in listed] == [
        ("sales-.*", "alice"),
        (".*", "bob"),
    ]


def test_a_dry_run_tells_all_and_changes_nothing(rmail: Rmail, old_store: Path) -> None:
    before = tree(old_store)
    outcome = rmail("migrate", "--dry-run")
    assert outcome.code == 0
    assert f"{ALICE}: would be migrated: {len(MAILBOXES)} mailboxes, 12 messages" in outcome.out
    assert "would move Work/Projects to Work%2FProjects" in outcome.out
    assert "would move R&-D to R&D" in outcome.out
    assert outcome.out.endswith("2 accounts to migrate, 12 messages, 0 problems\n")
    assert tree(old_store) == before


def test_the_second_run_has_nothing_to_do(rmail: Rmail, old_store: Path) -> None:
    assert rmail("migrate").code == 0
    records = {path: path.stat().st_mtime_ns for path in old_store.rglob("account.json")}
    files = sorted(old_store.rglob("*.eml"))
    outcome = rmail("migrate")
    assert outcome.out.endswith("0 accounts migrated, 0 messages, 0 problems\n")
    assert f"{ALICE}: is of today's layout" in outcome.out
    assert sorted(old_store.rglob("*.eml")) == files
    assert {path: path.stat().st_mtime_ns for path in records} == records


def test_one_account_alone(rmail: Rmail, old_store: Path) -> None:
    assert rmail("migrate", "bob@example.com").code == 0
    home = old_store / "domains/example.com/users/alice"
    assert not (home / "account.db").exists()
    assert (home / "mailboxes/Work/Projects/status.json").exists()
    assert "there is no account carol@" in rmail("migrate", "carol@example.com").failure()


STEPS = [
    ("migrate.domain", 1),
    *(("migrate.moved", count) for count in range(1, 6)),
    *(("rebuild.before", count) for count in (1, 2)),
    *(("migrate.indexed", count) for count in (1, 2)),
    *(("migrate.summarised", count) for count in (1, 4, 7)),
]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("step", STEPS, ids=lambda step: f"{step[0]}:{step[1]}")
def test_a_migration_that_was_killed_is_finished_by_the_next(
    rmail: Rmail, old_store: Path, step: tuple[str, int]
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "rmail_kernel.cli", "migrate"],
        env=os.environ | {"RMAIL_FAILPOINT": f"{step[0]}:{step[1]}"},
        cwd=old_store.parent,
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 137, done.stderr
    assert rmail("migrate").code == 0
    assert rmail("fsck").code == 0
    seen = asyncio.run(_seen_by_clients(old_store))
    for directory, expected in _expected().items():
        if directory in MAILBOXES:  # UIDNEXT may rise: what was reserved counts as given out
            assert (seen[directory][0], seen[directory][2]) == (expected[0], expected[2])
            assert seen[directory][1] >= expected[1]
        else:
            assert seen[directory] == expected


async def test_it_is_safe_beside_a_running_server(rmail: Rmail, old_store: Path) -> None:
    server = RunningServer(make_settings(old_store, ["imap"]), {})
    await server.start()

    def work() -> None:
        with _session(server.ports["imap"]) as imap:
            assert imap.select("INBOX") == ("OK", [b"5"])
            assert rmail("migrate").code == 0
            assert imap.uid("STORE", "1", "+FLAGS", "(\\Flagged)")[0] == "OK"
            assert imap.append("Work/Projects", "", "", b"Subject: x\r\n\r\n")[0] == "OK"
            assert imap.select('"Work/Projects"') == ("OK", [b"3"])
            assert imap.uid("SEARCH", "ALL")[1] == [b"3 11 12"]

    try:
        await asyncio.to_thread(work)
    finally:
        await server.stop()
    assert len(list(old_store.rglob("*.eml"))) == 13


def _home(root: Path) -> Path:
    return root / "domains/example.com/users/alice"


def test_what_is_lost_is_told_and_the_rest_is_migrated(rmail: Rmail, old_store: Path) -> None:
    inbox = _home(old_store) / "mailboxes/INBOX"
    (inbox / "status.json").write_text('{"uid_valid')
    (inbox / "0000/00000002_.eml").write_bytes(b"Subject: the same UID again\r\n\r\n")
    (inbox / "0000/note.eml").write_bytes(b"Subject: no UID\r\n\r\n")
    (_home(old_store) / "mailboxes/inbox/0000").mkdir(parents=True)
    (_home(old_store) / f"mailboxes/{'n' * 201}/0000").mkdir(parents=True)
    bob = old_store / "domains/example.com/users/bob/account.json"
    bob.write_text(json.dumps(json.loads(bob.read_bytes()) | {"password": "{MD5}x"}))
    (old_store / "domains/example.com/users/Carol").mkdir()
    outcome = rmail("migrate")
    assert outcome.code == 1
    for text in (
        "INBOX: status.json does not tell UIDVALIDITY; clients will load it anew",
        "INBOX: 2 files have no UID of their own; they get new ones",
        "INBOX 2: there is another INBOX, so it becomes INBOX 2",
        "it cannot be a mailbox: A mailbox name has at most 200 bytes",
        "no password hash that is known",
        "users/Carol: not the name of a user",
        f"{ALICE}: migrated",
    ):
        assert text in outcome.out
    assert rmail("fsck").code == 0
    assert len(list(inbox.rglob("*.eml"))) == 7


def test_an_account_whose_record_cannot_be_read_is_left_alone(
    rmail: Rmail, old_store: Path
) -> None:
    (_home(old_store) / "account.json").write_text("{")
    outcome = rmail("migrate", "--json")
    assert outcome.code == 1
    alice, bob = outcome.data["accounts"]
    assert (alice["done"], bob["done"]) == (False, True)
    assert "is not valid JSON" in alice["problems"][0]
    assert (_home(old_store) / "mailboxes/Work/Projects").is_dir()


def test_a_directory_in_the_way_stops_only_its_account(rmail: Rmail, old_store: Path) -> None:
    (_home(old_store) / "mailboxes/50%25 off").write_text("not a directory")
    outcome = rmail("migrate", "--json")
    assert outcome.code == 1
    alice, bob = outcome.data["accounts"]
    assert (alice["done"], bob["done"]) == (False, True)
    assert "in the way" in alice["problems"][0]
    (_home(old_store) / "mailboxes/50%25 off").unlink()
    assert rmail("migrate").code == 0
