"""Checking the spool: accepted messages that nobody can deliver any more, and leftovers of crashes.

Never removes or changes an entry. Blocks.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rmail_kernel.delivery.records import decode_entry, decode_progress
from rmail_kernel.delivery.spool import MAX_HEAD_BYTES, Spool
from rmail_kernel.errors import Corrupt


@dataclass(frozen=True, slots=True)
class SpoolFinding:
    """One thing that is not as it should be. `is_harmless`: only a leftover."""

    text: str
    is_harmless: bool
    repaired: bool = False


@dataclass(frozen=True, slots=True)
class SpoolReport:
    """`waiting`: entries that wait for their next attempt."""

    waiting: int
    findings: list[SpoolFinding]


def check_spool(directory: Path, *, repair: bool) -> SpoolReport:
    """Looks at all entries; with `repair`, leftovers go.

    Raises:
        OSError: the folder cannot be read.
    """
    spool = Spool(directory)
    ids = spool.ids()
    findings = [found for one in ids if (found := _entry(directory, one)) is not None]
    findings += [
        SpoolFinding(f"{path.name} was accepted and cannot be delivered; look at it", False)
        for path in sorted(directory.glob("*.bad"))
    ]
    leftovers = spool.leftovers()
    if repair:
        spool.tidy()
    findings += [SpoolFinding(f"{path.name} was left over", True, repair) for path in leftovers]
    return SpoolReport(len(ids), findings)


def _entry(directory: Path, entry_id: str) -> SpoolFinding | None:
    path = directory / f"{entry_id}.msg"
    try:
        with path.open("rb") as file:
            decode_entry(file.readline(MAX_HEAD_BYTES))
        progress = path.with_suffix(".json")
        if progress.exists():
            decode_progress(progress.read_bytes())
    except FileNotFoundError:
        return None  # delivered meanwhile
    except Corrupt as error:
        return SpoolFinding(f"{path.name} cannot be read: {error.safe}", False)
    return None
