"""Results of operations by their id, so that a retry returns what the first attempt did."""

from __future__ import annotations

import json

from rmail_kernel.storage.filesystem import schema
from rmail_kernel.storage.filesystem.transaction import Transaction


def remember(tx: Transaction, op_id: str, result: list[object]) -> None:
    """Keeps the result of an operation for a retry."""
    tx.db.execute(
        "INSERT INTO op (id, at, result) VALUES (?, ?, ?)", (op_id, tx.now, json.dumps(result))
    )


def remembered(tx: Transaction, op_id: str | None) -> list[object] | None:
    """The result of an operation that was done before."""
    if op_id is None:
        return None
    found = schema.value(tx.db, "SELECT result FROM op WHERE id=?", op_id)
    return list(json.loads(found)) if found else None
