"""ENVELOPE, BODYSTRUCTURE and section bytes against Dovecot's, where it is installed, on a
generated corpus and on the messages of Python's own tests. Where we differ on purpose: a table.
"""

from __future__ import annotations

import random
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.servers import PASSWORD, dovecot, users
from rmail_kernel.mime import Part, Section, locate, scan, summarise
from tests.mime.corpus import messages
from tests.mime.dovecot import Client, client, parsed
from tests.mime.test_scanner_against_email import python_test_messages

GENERATED = 150
_NO_DOMAIN = "RFC 9051 7.5.2: what is not there is not made up; Dovecot writes MISSING_DOMAIN"
_NO_BOUNDARY = (
    "RFC 2046 5.1: a multipart without a delimiter has no parts, BODYSTRUCTURE needs one: ours has"
    " all the text, so that it can be read; Dovecot's is empty"
)
_PARAMETERS = "RFC 2231 6: servers decode extended parameters; Dovecot gives them as they are"
_CHARSET = (
    "RFC 2045 5.2: us-ascii is the default of a missing Content-Type, not of text/html; Dovecot"
    " adds it to all text"
)
REASONS: dict[str, str] = {
    "msg_05.txt": _NO_DOMAIN,
    "msg_14.txt": "RFC 2045 5.2: a Content-Type without a subtype counts as text/plain",
    "msg_15.txt": _NO_DOMAIN,
    "msg_17.txt": _NO_BOUNDARY,
    "msg_25.txt": _NO_BOUNDARY,
    "msg_27.txt": "RFC 5322 2.2.3: unfolding takes away CRLF only; Dovecot makes a tab a space",
    "msg_29.txt": _PARAMETERS,
    "msg_31.txt": _NO_BOUNDARY,
    "msg_32.txt": _PARAMETERS,
    "msg_33.txt": _PARAMETERS,
    "msg_37.txt": _CHARSET,
    "msg_40.txt": _CHARSET,
    "msg_41.txt": _NO_BOUNDARY,
    "msg_42.txt": _NO_BOUNDARY,
    "msg_43.txt": f"{_NO_DOMAIN}; {_CHARSET}",
    "msg_47.txt": _CHARSET,
}
"""Messages on which we differ from Dovecot, and why by the RFC."""


@pytest.fixture(scope="module")
def other() -> Iterator[Client]:
    """A Dovecot with one empty mailbox."""
    folder = Path(tempfile.mkdtemp(prefix="rmail-dovecot-"))
    folder.chmod(0o755)  # its processes give up root
    try:
        with dovecot(folder / "server") as port:
            if port is None:
                pytest.skip("needs root, to run Dovecot")
            with client(port, users(range(1))[0][0], PASSWORD) as found:
                yield found
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _corpus() -> dict[str, bytes]:
    found = {f"generated {n}": raw for n, raw in enumerate(messages(random.Random(5), GENERATED))}
    for path in python_test_messages():
        raw = re.sub(rb"\r?\n", b"\r\n", path.read_bytes())
        if b"\0" not in raw:
            found[path.name] = raw
    return found


def _parts(part: Part, path: tuple[int, ...] = ()) -> Iterator[tuple[int, ...]]:
    """The numbers of all parts below one."""
    if part.is_multipart:
        for number, child in enumerate(part.numbered, 1):
            yield (*path, number)
            yield from _below(child, (*path, number))
    elif not path:
        yield (1,)
        yield from _below(part, (1,))


def _below(part: Part, path: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    if part.is_message and part.children:
        inner = part.children[0]
        if inner.is_multipart:
            yield from _parts(inner, path)
        else:
            yield (*path, 1)
    elif part.is_multipart:
        yield from _parts(part, path)


def _ours(raw: bytes) -> list[Any]:
    found = summarise(raw)
    return parsed(b"%b %b" % (found.raw_envelope, found.raw_bodystructure))


def _theirs(other: Client, number: int) -> list[Any]:
    answer = parsed(other.command(b"FETCH %d (ENVELOPE BODYSTRUCTURE)" % number))
    found = answer[3]
    return [found[found.index("ENVELOPE") + 1], found[found.index("BODYSTRUCTURE") + 1]]


def _folded(value: Any) -> Any:
    """Without the case of letters: types, encodings and parameter names have none."""
    if isinstance(value, list):
        return [_folded(one) for one in value]
    return value.lower() if isinstance(value, bytes | str) else value


def _differences(other: Client, raw: bytes, number: int) -> list[str]:
    ours, theirs = _ours(raw), _theirs(other, number)
    found = []
    for name, one, two in zip(("ENVELOPE", "BODYSTRUCTURE"), ours, theirs, strict=True):
        if _folded(one) != _folded(two):
            found.append(f"{name}: {one} is not {two}")
    root = scan(raw)
    for path in _parts(root):
        text = ".".join(map(str, path)).encode()
        where = locate(root, Section(path))
        assert where is not None
        answer = parsed(other.command(b"FETCH %d BODY.PEEK[%b]" % (number, text)))
        theirs_bytes = answer[3][-1] or b""
        if raw[slice(*where)] != theirs_bytes:
            found.append(f"{text.decode()}: {raw[slice(*where)]!r} is not {theirs_bytes!r}")
    return found


@pytest.mark.timeout(120)
@pytest.mark.tool("dovecot")
def test_dovecot_reads_the_same_messages_in_the_same_way(other: Client) -> None:
    corpus = _corpus()
    found: dict[str, list[str]] = {}
    for number, (name, raw) in enumerate(corpus.items(), 1):
        other.append(raw)
        other.command(b"NOOP")
        differences = _differences(other, raw, number)
        if differences:
            found[name] = differences
    unexplained = {name: texts for name, texts in found.items() if name not in REASONS}
    assert unexplained == {}
    stale = (REASONS.keys() & corpus.keys()) - found.keys()
    assert stale == set(), "no difference any more"
