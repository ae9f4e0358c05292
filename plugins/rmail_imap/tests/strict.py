"""A strict reader of ENVELOPE and BODYSTRUCTURE: exactly the grammar of RFC 3501 9, so that what it
takes every client can take.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

_QUOTED: Final = re.compile(rb'"(?:[\x01-\x09\x0b\x0c\x0e-\x21\x23-\x5b\x5d-\x7f]|\\["\\])*"')
_LITERAL: Final = re.compile(rb"\{(0|[1-9]\d*)\}\r\n")
_NUMBER: Final = re.compile(rb"0|[1-9]\d{0,9}")
_MAX_DEPTH: Final = 500


class Reader:
    """A place in a response."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.at = 0
        self._depth = 0

    def take(self, token: bytes) -> None:
        assert self.raw.startswith(token, self.at), (token, self.raw[self.at : self.at + 60])
        self.at += len(token)

    def is_next(self, token: bytes) -> bool:
        return self.raw.startswith(token, self.at)

    def string(self) -> bytes:
        """string = quoted / literal"""
        quoted = _QUOTED.match(self.raw, self.at)
        if quoted:
            self.at = quoted.end()
            return re.sub(rb"\\(.)", rb"\1", quoted[0][1:-1])
        literal = _LITERAL.match(self.raw, self.at)
        assert literal, self.raw[self.at : self.at + 60]
        self.at = literal.end() + int(literal[1])
        found = self.raw[literal.end() : self.at]
        assert len(found) == int(literal[1])
        assert b"\0" not in found
        return found

    def nstring(self) -> bytes | None:
        """nstring = string / nil"""
        if self.is_next(b"NIL"):
            self.take(b"NIL")
            return None
        return self.string()

    def number(self) -> int:
        """number: 32 bits"""
        found = _NUMBER.match(self.raw, self.at)
        assert found, self.raw[self.at : self.at + 60]
        self.at = found.end()
        assert int(found[0]) < 1 << 32
        return int(found[0])

    def envelope(self) -> None:
        """envelope = "(" env-date SP env-subject SP six address lists SP two nstrings ")" """
        self.take(b"(")
        self.nstring()
        self.take(b" ")
        self.nstring()
        for _ in range(6):
            self.take(b" ")
            self._addresses()
        for _ in range(2):
            self.take(b" ")
            self.nstring()
        self.take(b")")

    def body(self, *, is_extended: bool) -> None:
        """body = "(" (body-type-1part / body-type-mpart) ")" """
        self._depth += 1
        assert self._depth < _MAX_DEPTH
        self.take(b"(")
        if self.is_next(b"("):
            while self.is_next(b"("):
                self.body(is_extended=is_extended)
            self.take(b" ")
            self.string()  # media-subtype
            first = self._params
        else:
            self._one_part(is_extended=is_extended)
            first = self._md5
        if is_extended:
            for part in (first, self._disposition, self._language, self._location):
                self.take(b" ")
                part()
        self.take(b")")
        self._depth -= 1

    def _one_part(self, *, is_extended: bool) -> None:
        kind = self.string().upper()
        self.take(b" ")
        subtype = self.string().upper()
        self.take(b" ")
        self._params()
        steps: list[Callable[[], object]] = [self.nstring, self.nstring, self.string, self.number]
        if kind == b"TEXT":
            steps.append(self.number)
        if kind == b"MESSAGE" and subtype == b"RFC822":
            steps += [self.envelope, lambda: self.body(is_extended=is_extended), self.number]
        for step in steps:
            self.take(b" ")
            step()

    def _addresses(self) -> None:
        """ "(" 1*address ")" / nil"""
        if self.is_next(b"NIL"):
            self.take(b"NIL")
            return
        self.take(b"(")
        while True:
            self.take(b"(")
            for place in range(4):
                self.take(b" " if place else b"")
                self.nstring()
            self.take(b")")
            if self.is_next(b")"):
                break
        self.take(b")")

    def _params(self) -> None:
        """body-fld-param = "(" string SP string *(SP string SP string) ")" / nil"""
        if self.is_next(b"NIL"):
            self.take(b"NIL")
            return
        self.take(b"(")
        while True:
            self.string()
            self.take(b" ")
            self.string()
            if self.is_next(b")"):
                break
            self.take(b" ")
        self.take(b")")

    def _md5(self) -> None:
        self.nstring()

    def _disposition(self) -> None:
        """body-fld-dsp = "(" string SP body-fld-param ")" / nil"""
        if self.is_next(b"NIL"):
            self.take(b"NIL")
            return
        self.take(b"(")
        self.string()
        self.take(b" ")
        self._params()
        self.take(b")")

    def _language(self) -> None:
        """body-fld-lang = nstring / "(" string *(SP string) ")" """
        if not self.is_next(b"("):
            self.nstring()
            return
        self.take(b"(")
        self.string()
        while self.is_next(b" "):
            self.take(b" ")
            self.string()
        self.take(b")")

    def _location(self) -> None:
        self.nstring()
