"""Whether this process can serve. The answer tells nothing else."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from rmail_kernel.kernel import Kernel


async def is_ready(kernel: Kernel) -> bool:
    """Whether new sessions are welcome: not draining, and a file can be made in the store."""
    if kernel.draining.is_set():
        return False
    return await kernel.run(_is_writable, kernel.settings.mail_root)


def _is_writable(root: Path) -> bool:
    folder = root / "run"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder, buffering=0) as probe:
            probe.write(b"1")  # a full disk refuses data, not empty files
    except OSError:
        return False
    return True
