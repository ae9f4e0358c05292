"""What plugins that extend IMAP need; everything else in this package may change freely."""

from __future__ import annotations

from rmail_imap import write
from rmail_imap.additions import Extension, Feature, FetchItem
from rmail_imap.commands import Command, Reply, no_arguments
from rmail_imap.errors import BadSyntax, Refused
from rmail_imap.parse.cursor import Cursor
from rmail_imap.session import Session
from rmail_imap.state import State

__all__ = [
    "BadSyntax",
    "Command",
    "Cursor",
    "Extension",
    "Feature",
    "FetchItem",
    "Refused",
    "Reply",
    "Session",
    "State",
    "no_arguments",
    "write",
]
