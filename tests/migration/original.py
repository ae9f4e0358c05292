"""A store exactly as the original product wrote it: nested mailboxes, flags in names, a status.json
of two fields, PBKDF2 hashes, aliases without a version, no index and none of our fields.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from tests.auth.test_passwords import pbkdf2

ALICE, BOB = "alice@example.com", "bob@example.com"
FIRST_AT = 1_600_000_000
MAILBOXES: dict[str, tuple[int, int, dict[int, str]]] = {
    "INBOX": (1700000000, 1042, {1: "", 2: "S", 41: "AFS", 1000: "SF", 1041: "DT"}),
    "Sent": (1700000001, 8, {7: "S"}),
    "Entw&APw-rfe": (1700000002, 2, {1: "ST"}),
    "R&-D": (1700000003, 1, {}),
    "Work": (1700000004, 3, {2: "F"}),
    "Work/Projects": (1700000005, 12, {3: "S", 11: ""}),
    "Work/Projects/2026": (1700000006, 2, {1: "A"}),
    "50% off": (1700000007, 5, {4: ""}),
}
"""Directory: UIDVALIDITY, UIDNEXT, letters by UID."""
FLAGS = {
    "A": "\\Answered",
    "D": "\\Deleted",
    "F": "\\Flagged",
    "S": "\\Seen",
    "T": "\\Draft",
}


def raw_message(directory: str, uid: int) -> bytes:
    """The bytes of a message."""
    subject = f"{directory} {uid}".encode().hex()
    return f"From: Ann <ann@example.org>\r\nSubject: {subject}\r\n\r\nBody {uid}.\r\n".encode()


def date_of(uid: int) -> int:
    """Its INTERNALDATE."""
    return FIRST_AT + 86_400 * uid


def write_store(root: Path) -> None:
    """The domain example.com with alice, who has mail, and bob, who never had any."""
    domain = root / "domains/example.com"
    for user, is_admin in (("alice", True), ("bob", False)):
        home = domain / "users" / user
        home.mkdir(parents=True)
        record = {
            "username": user,
            "domain": "example.com",
            "password": pbkdf2("secret"),
            "admin": is_admin,
            "enabled": True,
            "quota_mb": 2048,
            "created": "2024-03-01T12:00:00",
            "signature": "kept",
        }
        (home / "account.json").write_text(json.dumps(record))
    (domain / "aliases.json").write_text('{"sales-.*": "alice", ".*": "bob"}')
    for directory, (uid_validity, uid_next, letters) in MAILBOXES.items():
        path = domain / "users/alice/mailboxes" / directory
        path.mkdir(parents=True, exist_ok=True)
        status = {"uid_validity": uid_validity, "uid_next": uid_next}
        (path / "status.json").write_text(json.dumps(status))
        for uid, flags in letters.items():
            write_message(path, directory, uid, flags)


def write_message(mailbox: Path, directory: str, uid: int, letters: str) -> None:
    """One message file."""
    shard = mailbox / f"{uid // 1000:04d}"
    shard.mkdir(exist_ok=True)
    file = shard / f"{uid:08d}_{letters}.eml"
    file.write_bytes(raw_message(directory, uid))
    os.utime(file, (date_of(uid), date_of(uid)))
