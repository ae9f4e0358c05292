"""Dovecot as another opinion: what it answers to FETCH, as nested lists of atoms and strings."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_LITERAL = re.compile(rb"\{(\d+)\+?\}\r\n\Z")
_TOKEN = re.compile(rb'\(|\)|"((?:[^"\\]|\\.)*)"|\{(\d+)\}\r\n|[^\s()"]+')
_ESCAPED = re.compile(rb"\\(.)", re.S)


class Client:
    """A logged-in connection that reads whole answers."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._file = connection.makefile("rb")
        self._file.readline()

    def command(self, text: bytes) -> bytes:
        """The untagged answer to a command that succeeds, literals and all."""
        self._connection.sendall(b"a " + text + b"\r\n")
        return self._answer()

    def append(self, raw: bytes) -> None:
        """Stores a message in INBOX."""
        self._connection.sendall(b"a APPEND INBOX {%d+}\r\n" % len(raw) + raw + b"\r\n")
        self._answer()

    def _answer(self) -> bytes:
        found = b""
        while True:
            line = self._file.readline()
            if line.startswith(b"a "):
                assert line.startswith(b"a OK"), line
                return found
            found += line
            while literal := _LITERAL.search(line):
                found += self._file.read(int(literal[1]))
                line = self._file.readline()
                found += line


@contextmanager
def client(port: int, login: str, password: str) -> Iterator[Client]:
    """A session in INBOX."""
    with socket.create_connection(("127.0.0.1", port), 30) as connection:
        found = Client(connection)
        found.command(f"LOGIN {login} {password}".encode())
        found.command(b"SELECT INBOX")
        yield found


def parsed(raw: bytes) -> list[Any]:
    """The values in an answer: lists, bytes for strings and literals, None for NIL, atoms as they
    are, in capitals.
    """
    stack: list[list[Any]] = [[]]
    at = 0
    while (match := _TOKEN.search(raw, at)) is not None:
        at = match.end()
        token = match[0]
        if token == b"(":
            stack.append([])
        elif token == b")":
            closed = stack.pop()
            stack[-1].append(closed)
        elif match[1] is not None:
            stack[-1].append(_ESCAPED.sub(rb"\1", match[1]))
        elif match[2] is not None:
            stack[-1].append(raw[at : at + int(match[2])])
            at += int(match[2])
        else:
            stack[-1].append(None if token.upper() == b"NIL" else token.decode().upper())
    return stack[0]
