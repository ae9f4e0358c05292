"""SASLprep: names and passwords in the one form in which both ends of an exchange hash them.

RFC 4013 on RFC 3454; texts are prepared as stored strings, as RFC 5802 2.2 wants it.
"""

from __future__ import annotations

import stringprep
import unicodedata
from collections.abc import Callable

from rmail_kernel.errors import Invalid

# RFC 4013 2.3
_PROHIBITED: tuple[Callable[[str], bool], ...] = (
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
    stringprep.in_table_a1,  # RFC 4013 2.5: unassigned code points, in stored strings
)


def saslprep(text: str) -> str:
    """The prepared form of a name or password.

    Raises:
        Invalid: it holds what SASLprep prohibits, mixes directions of writing, or nothing is left.
    """
    if text.isascii() and text.isprintable() and text:
        return text
    mapped = "".join(
        " " if stringprep.in_table_c12(c) else c for c in text if not stringprep.in_table_b1(c)
    )
    prepared = unicodedata.ucd_3_2_0.normalize("NFKC", mapped)
    if not prepared or any(test(c) for c in prepared for test in _PROHIBITED):
        raise Invalid("A character that cannot stand in a name or password")
    _check_direction(prepared)
    return prepared


def _check_direction(text: str) -> None:
    # RFC 3454 6
    if not any(map(stringprep.in_table_d1, text)):
        return
    is_enclosed = stringprep.in_table_d1(text[0]) and stringprep.in_table_d1(text[-1])
    if not is_enclosed or any(map(stringprep.in_table_d2, text)):
        raise Invalid("Directions of writing that cannot stand together")
