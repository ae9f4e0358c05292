"""The identifiers of the storage contract. Opaque outside a driver, except UIDs (RFC 9051
2.3.1.1).
"""

from __future__ import annotations

from typing import NewType

AccountId = NewType("AccountId", str)
"""An account of the store. The embedded driver uses the canonical address `user@domain`; treat it
as opaque.
"""
MailboxId = NewType("MailboxId", int)
"""A mailbox, unique within its account, kept over a rename and never reused."""
Uid = NewType("Uid", int)
ModSeq = NewType("ModSeq", int)
