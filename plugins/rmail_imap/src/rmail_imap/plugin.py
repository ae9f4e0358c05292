"""IMAP4rev1: hook implementations, nothing else."""

from __future__ import annotations


class ImapPlugin:
    """IMAP4rev1."""

    name = "imap"
