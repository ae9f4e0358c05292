"""Alias patterns: compiled once, matched in linear time, the same in every storage driver.

A pattern covers the whole local part without regard to case. Nothing here may ever use a
backtracking engine: patterns come from administrators, local parts from anyone.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Protocol

import re2

from rmail_kernel.errors import Invalid

MAX_PATTERN_CHARS = 256
MAX_PROGRAM_BYTES = 1 << 20  # memory that re2 may use for one pattern
_MATCH_ALL = frozenset({".*", ".+", "(.*)", "(.+)"})


class Pattern(Protocol):
    """A compiled pattern."""

    def fullmatch(self, text: str, /) -> object | None:
        """Something when `text` matches as a whole, None otherwise."""


@lru_cache(maxsize=4096)
def compile_pattern(pattern: str) -> Pattern:
    """Compiles an alias pattern (RE2 syntax, case-insensitive).

    Raises:
        Invalid: empty, longer than MAX_PATTERN_CHARS, or bad syntax (with RE2's reason).
    """
    if not pattern or len(pattern) > MAX_PATTERN_CHARS:
        raise Invalid(f"A pattern has 1 to {MAX_PATTERN_CHARS} characters")
    options = re2.Options()
    options.case_sensitive = False
    options.log_errors = False
    options.max_mem = MAX_PROGRAM_BYTES
    try:
        compiled: Pattern = re2.compile(pattern, options)
    except (re2.error, UnicodeEncodeError) as error:
        raise Invalid(f"Bad pattern: {_reason(error)}", pattern=pattern) from error
    return compiled


def is_catch_all(pattern: str) -> bool:
    """Whether a pattern is written to match every local part; such rules apply last."""
    return pattern.removeprefix("^").removesuffix("$") in _MATCH_ALL


def _reason(error: Exception) -> str:
    text = error.args[0] if error.args else ""
    return text.decode(errors="replace") if isinstance(text, bytes) else "not valid text"
