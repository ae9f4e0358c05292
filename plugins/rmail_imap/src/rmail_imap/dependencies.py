"""Which capabilities stand on others: switching one off takes those with it that promise it, for no
client may be offered what would then be refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

_STANDS_ON: Final[dict[str, frozenset[str]]] = {
    "ESORT": frozenset({"ESEARCH", "SORT"}),  # RFC 5267 3
    "IMAP4REV2": frozenset(
        {
            "BINARY",
            "ENABLE",
            "ESEARCH",
            "IDLE",
            "LIST-EXTENDED",
            "LIST-STATUS",
            "LITERAL-",
            "MOVE",
            "NAMESPACE",
            "SASL-IR",
            "SEARCHRES",
            "SPECIAL-USE",
            "STATUS=SIZE",
            "UIDPLUS",
            "UNSELECT",
        }
    ),  # RFC 9051 E
    "LIST-METADATA": frozenset({"LIST-EXTENDED", "METADATA"}),  # RFC 9590 3
    "LIST-STATUS": frozenset({"LIST-EXTENDED"}),  # RFC 5819 2
    "QRESYNC": frozenset({"CONDSTORE", "ENABLE"}),  # RFC 7162 3.2.3
    "QUOTA=RES-MESSAGE": frozenset({"QUOTA"}),  # RFC 9208 1
    "QUOTA=RES-STORAGE": frozenset({"QUOTA"}),
    "SEARCHRES": frozenset({"ESEARCH"}),  # RFC 5182 2.1
    "SORT=DISPLAY": frozenset({"SORT"}),  # RFC 5957 3
    "UTF8=ACCEPT": frozenset({"ENABLE"}),  # RFC 9755 3
}
"""Capabilities in upper case, and what each cannot do without."""


def with_dependents(names: Iterable[str]) -> frozenset[str]:
    """Capabilities (in upper case), and all that stand on one of them."""
    found = set(names)
    while more := {name for name, needs in _STANDS_ON.items() if needs & found} - found:
        found |= more
    return frozenset(found)
