"""The states of a session. RFC 3501 3."""

from __future__ import annotations

import enum


class State(enum.Enum):
    """Where a session stands (RFC 3501 3), and for a command: where it must stand at least."""

    ANY = "any"
    NOT_AUTHENTICATED = "not authenticated"
    AUTHENTICATED = "authenticated"
    SELECTED = "selected"
