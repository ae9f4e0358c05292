"""Which capability brings which word of the grammar, so that a capability can be switched off.

Commands name their capability themselves; here is what others add to them.
"""

from __future__ import annotations

from typing import Final, Literal

Place = Literal[
    "APPEND",
    "CREATE",
    "EXPUNGE",
    "FETCH",
    "FETCH modifier",
    "LIST",
    "RETURN",
    "SEARCH",
    "SELECT",
    "SORT",
    "STATUS",
    "STORE",
    "THREAD",
    "set",
]
"""Where a word stands: after the command of that name, or in its list of modifiers or options."""

GATES: Final[dict[Place, dict[str, str]]] = {
    "APPEND": {"~": "BINARY", "UTF8": "UTF8=ACCEPT"},
    "CREATE": {"USE": "CREATE-SPECIAL-USE"},
    "EXPUNGE": {"": "UIDPLUS"},
    "FETCH": {
        "BINARY": "BINARY",
        "EMAILID": "OBJECTID",
        "MODSEQ": "CONDSTORE",
        "PREVIEW": "PREVIEW",
        "SAVEDATE": "SAVEDATE",
        "THREADID": "OBJECTID",
    },
    "FETCH modifier": {"CHANGEDSINCE": "CONDSTORE", "PARTIAL": "PARTIAL", "VANISHED": "QRESYNC"},
    "LIST": {
        "": "LIST-EXTENDED",
        "METADATA": "LIST-METADATA",
        "SPECIAL-USE": "SPECIAL-USE",
        "STATUS": "LIST-STATUS",
    },
    "RETURN": {
        "": "ESEARCH",
        "PARTIAL": "PARTIAL",
        "RELEVANCY": "SEARCH=FUZZY",
        "SAVE": "SEARCHRES",
    },
    "SEARCH": {
        "EMAILID": "OBJECTID",
        "FUZZY": "SEARCH=FUZZY",
        "MODSEQ": "CONDSTORE",
        "OLDER": "WITHIN",
        "SAVEDATESUPPORTED": "SAVEDATE",
        "SAVEDBEFORE": "SAVEDATE",
        "SAVEDON": "SAVEDATE",
        "SAVEDSINCE": "SAVEDATE",
        "THREADID": "OBJECTID",
        "YOUNGER": "WITHIN",
    },
    "SORT": {
        "": "ESORT",
        "DISPLAYFROM": "SORT=DISPLAY",
        "DISPLAYTO": "SORT=DISPLAY",
        "RELEVANCY": "SEARCH=FUZZY",
    },
    "THREAD": {
        "ORDEREDSUBJECT": "THREAD=ORDEREDSUBJECT",
        "REFERENCES": "THREAD=REFERENCES",
        "REFS": "THREAD=REFS",
    },
    "SELECT": {"CONDSTORE": "CONDSTORE", "QRESYNC": "QRESYNC"},
    "STATUS": {
        "APPENDLIMIT": "APPENDLIMIT",
        "DELETED": "QUOTA=RES-MESSAGE",
        "DELETED-STORAGE": "QUOTA=RES-STORAGE",
        "HIGHESTMODSEQ": "CONDSTORE",
        "MAILBOXID": "OBJECTID",
        "SIZE": "STATUS=SIZE",
    },
    "set": {"$": "SEARCHRES"},
    "STORE": {"UNCHANGEDSINCE": "CONDSTORE"},
}
"""The capability by word; "" is the list itself, for EXPUNGE its set."""
