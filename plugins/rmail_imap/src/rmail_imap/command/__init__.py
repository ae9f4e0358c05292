"""One module per IMAP command; importing it registers the command in the table."""

from __future__ import annotations

import importlib
from typing import Final

MODULES: Final = (
    "append",
    "authenticate",
    "capability",
    "check",
    "close",
    "compress",
    "copy",
    "create",
    "delete",
    "enable",
    "expunge",
    "fetch",
    "id",
    "idle",
    "list_mailboxes",
    "login",
    "logout",
    "metadata",
    "move",
    "namespace",
    "noop",
    "quota",
    "rename",
    "replace",
    "search",
    "select",
    "sort",
    "starttls",
    "status",
    "store",
    "subscribe",
    "thread",
    "unauthenticate",
    "unselect",
)


def load() -> None:
    """Fills the command table. Idempotent."""
    for name in MODULES:
        importlib.import_module(f"{__name__}.{name}")
