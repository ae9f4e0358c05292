"""A folder with a store of the original layout and a configuration for it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import folder, rmail
from tests.migration.original import write_store

__all__ = ["folder", "old_store", "rmail"]


@pytest.fixture
def old_store(folder: Path) -> Path:
    """The root of the store."""
    root = folder / "mailstore"
    write_store(root)
    (folder / "config.json").write_text(
        json.dumps({"mail_root": "mailstore", "domains": ["example.com"], "hostname": "mx.test"})
    )
    return root
