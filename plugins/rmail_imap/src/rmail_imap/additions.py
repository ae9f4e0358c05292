"""What can be added to IMAP besides commands, and what all additions have in common.

It must import nothing that parses or acts: grammar, tables and session stand on it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rmail_kernel.storage.mail import Fetched, Field


@dataclass(frozen=True, slots=True)
class Extension:
    """What can be added to IMAP."""


@dataclass(frozen=True, slots=True)
class Feature(Extension):
    """A capability that is no command, for instance one that announces what a hook does."""

    name: str
    rfc: str = ""


@dataclass(frozen=True, slots=True)
class FetchItem(Extension):
    """A data item of FETCH, which a client asks for by its name alone.

    Attributes:
        name: in upper case; it stands before each value in the response.
        values: what to tell of messages, in their order and in wire form (`rmail_imap.write`).
        fields: what the store must read for it.
        capability: what advertises it, "" for nothing.
    """

    name: str
    values: Callable[[Sequence[Fetched]], Sequence[bytes]]
    fields: Field = Field.NONE
    capability: str = ""
    rfc: str = ""
