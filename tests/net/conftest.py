"""Settings in a fresh folder, and certificates of any kind."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from rmail_kernel.config import Settings, build
from rmail_kernel.net import certificate

MakeSettings = Callable[..., Settings]
WritePair = Callable[[str], tuple[Path, Path]]


@pytest.fixture
def make_settings(tmp_path: Path) -> MakeSettings:
    """Settings of a store in the test's folder; keyword arguments are top-level keys."""

    def make(**keys: Any) -> Settings:
        return build({"mail_root": "store", **keys}, {}, base=tmp_path, environ={})

    return make


@pytest.fixture
def write_pair(tmp_path: Path) -> WritePair:
    """Writes a certificate for a name and its key; gives both paths."""

    def write(name: str) -> tuple[Path, Path]:
        key, cert = certificate.make([name], datetime.now(UTC))
        cert_file, key_file = tmp_path / f"{name}.crt", tmp_path / f"{name}.key"
        cert_file.write_bytes(cert)
        key_file.write_bytes(key)
        return cert_file, key_file

    return write
