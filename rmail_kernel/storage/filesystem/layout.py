"""Where things lie below the store root and how files are named. No file is touched here.

A message is `mailboxes/{name}/{uid // 1000:04d}/{uid:08d}_{flags}.eml`; the letters of its flags
are A D F S T and a to z for the keywords of the mailbox's table.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

from rmail_kernel.errors import Invalid, NotFound
from rmail_kernel.storage.ids import AccountId
from rmail_kernel.storage.mail import FIRST_KEYWORD_BIT, LETTER_KEYWORDS

SHARD_SIZE = 1000
MAX_UID = 0xFFFFFFFF
MAX_DIRECTORY_BYTES = 200
_LETTERS = "ADFST"
_FILE = re.compile(r"([0-9]{8,10})_([A-Za-z]*)\.eml\Z")
_SHARD = re.compile(r"[0-9]{4,7}\Z")
_UNFIT = re.compile(r"\A\ufeff|[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_ENCODED = {chr(code) for code in (*range(0x20), 0x7F, *range(0x80, 0xA0))} | {"/", "%"}


@dataclass(frozen=True, slots=True)
class AccountPaths:
    """The files of one account."""

    home: Path
    database: Path
    lock: Path
    temporary: Path
    mailboxes: Path
    counters: Path  # mail.json
    index: Path  # search.db
    index_lock: Path

    def __hash__(self) -> int:
        return hash(self.home)

    @classmethod
    def of(cls, root: Path, account: AccountId) -> AccountPaths:
        """Raises NotFound for an id that cannot be an account of this store."""
        user, _, domain = account.rpartition("@")
        for part in (user, domain):
            if not part or part.startswith(".") or "/" in part or "\0" in part:
                raise NotFound("No such account", account=account)
        return cls.below(root / "domains" / domain / "users" / user)

    @classmethod
    def below(cls, home: Path) -> AccountPaths:
        """The files of the account whose directory this is."""
        return cls(
            home,
            home / "account.db",
            home / "account.lock",
            home / "tmp",
            home / "mailboxes",
            home / "mail.json",
            home / "search.db",
            home / "search.lock",
        )

    def mailbox(self, name: str) -> Path:
        """The directory of a mailbox, by its canonical name."""
        return _directory(self.mailboxes, name)


def canonical(name: str) -> str:
    """The stored form of a mailbox name: NFC, INBOX in capitals also as a parent (RFC 9051 5.1).

    Raises:
        Invalid: empty, an empty level, or too long as a directory name.
    """
    name = unicodedata.normalize("NFC", name)
    head, slash, rest = name.partition("/")
    if head.isascii() and head.upper() == "INBOX":
        name = "INBOX" + slash + rest
    if not all(name.split("/")):
        raise Invalid("A mailbox name has no empty levels", name=name)
    try:
        encoded = directory_name(name).encode()
    except UnicodeEncodeError as error:
        raise Invalid("A mailbox name is Unicode text", name=ascii(name)) from error
    if len(encoded) > MAX_DIRECTORY_BYTES:
        raise Invalid(f"A mailbox name has at most {MAX_DIRECTORY_BYTES} bytes", name=name)
    return name


def canonical_new(name: str) -> str:
    """The stored form of the name of a mailbox that is to be made. Those that are there keep what
    they have.

    Raises:
        Invalid: as `canonical`, or there are control characters or ends of lines in it, or a
            byte order mark at its beginning: no protocol could tell it.
    """
    if _UNFIT.search(name):
        raise Invalid("A mailbox name has no control characters", name=ascii(name))
    return canonical(name)


@lru_cache(maxsize=1024)
def directory_name(name: str) -> str:
    """A mailbox's directory: `/`, `%`, control characters and a leading `.` percent-encoded."""
    encoded = "".join(quote(c, safe="") if c in _ENCODED else c for c in name)
    return "%2E" + encoded[1:] if encoded.startswith(".") else encoded


def mailbox_name(directory: str) -> str | None:
    """The mailbox that a directory holds, or None if no mailbox has such a directory."""
    try:
        name = unquote_to_bytes(directory).decode()
        return name if directory_name(canonical(name)) == directory else None
    except (UnicodeError, Invalid):
        return None


def parents(name: str) -> list[str]:
    """The names above `name`, outermost first."""
    levels = name.split("/")
    return ["/".join(levels[:depth]) for depth in range(1, len(levels))]


def shard_of(uid: int) -> int:
    """The number of the directory that holds a message."""
    return uid // SHARD_SIZE


def shard_name(shard: int) -> str:
    """The directory name of a shard."""
    return f"{shard:04d}"


@lru_cache(maxsize=1024)
def shard_path(mailbox: Path, shard: int) -> Path:
    """The directory of a shard; kept, for to make a Path is dear."""
    return mailbox / shard_name(shard)


@lru_cache(maxsize=1024)
def _directory(mailboxes: Path, name: str) -> Path:
    return mailboxes / directory_name(name)


def parse_shard(name: str) -> int | None:
    """The number of a shard directory, or None."""
    return int(name) if _SHARD.match(name) and shard_name(int(name)) == name else None


def file_name(uid: int, word: int) -> str:
    """The file name of a message with these flags."""
    return f"{uid:08d}_{_letters(word)}.eml"


def parse_file(name: str) -> tuple[int, int] | None:
    """UID and flag word of a file name, or None; letters that mean nothing are left out."""
    match = _FILE.match(name)
    if match is None:
        return None
    word = 0
    for letter in match[2]:
        word |= letter_bit(letter)
    uid = int(match[1])
    return (uid, word) if 0 < uid < MAX_UID else None


def letter_bit(letter: str) -> int:
    """The flag bit of a letter, 0 for none."""
    if letter.islower():
        return 1 << (FIRST_KEYWORD_BIT + ord(letter) - ord("a"))
    return 1 << _LETTERS.index(letter) if letter in _LETTERS else 0


@lru_cache(maxsize=4096)
def _letters(word: int) -> str:
    system = [letter for index, letter in enumerate(_LETTERS) if word >> index & 1]
    own = [
        chr(ord("a") + index)
        for index in range(LETTER_KEYWORDS)
        if word >> (FIRST_KEYWORD_BIT + index) & 1
    ]
    return "".join(system + own)
