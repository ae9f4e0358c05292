"""Checking the queue: its rows against its spool files, and what crashes left over.

It runs inside one transaction of the queue, and never removes a job or a message that a job needs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import cast

import apsw

from rmail_kernel.errors import Corrupt, NotFound
from rmail_kernel.storage.filesystem import queue_rows as rows
from rmail_kernel.storage.filesystem.queue_files import SpoolFiles


@dataclass(frozen=True, slots=True)
class QueueFinding:
    """One thing that is not as it should be.

    Attributes:
        is_harmless: only a leftover, or something that the server sets right by itself.
        is_repairable: whether `FilesystemQueue.check` does it when told to repair.
    """

    text: str
    is_harmless: bool = True
    is_repairable: bool = True
    repaired: bool = False


@dataclass(frozen=True, slots=True)
class QueueReport:
    """`jobs`: how many there are, of all kinds."""

    jobs: int = 0
    findings: tuple[QueueFinding, ...] = ()

    def with_repaired(self) -> QueueReport:
        """After the repair."""
        found = (replace(one, repaired=one.is_repairable) for one in self.findings)
        return replace(self, findings=tuple(found))


def check(db: apsw.Connection, files: SpoolFiles, before: float) -> QueueReport:
    """Looks at all rows and files; changes nothing.

    Args:
        before: leftovers that were written since may be somebody's work under way (seconds since
            the epoch).

    Raises:
        OSError: the folder cannot be read.
    """
    jobs = cast(list[tuple[int]], db.execute("SELECT count(*) FROM job").fetchall())[0][0]
    found = [*_of_rows(db, files), *_of_files(db, files, before), *_of_others(files, before)]
    return QueueReport(jobs, tuple(found))


def _of_rows(db: apsw.Connection, files: SpoolFiles) -> Iterator[QueueFinding]:
    """Files that jobs need, each once."""
    query = """SELECT file, min(id), head_bytes + size_bytes, raw IS NOT NULL
        FROM job LEFT JOIN body USING(file) GROUP BY file"""
    for file, job, size_bytes, is_kept in cast(
        list[tuple[str, str, int, int]], db.execute(query).fetchall()
    ):
        reason = _harm(files, file, size_bytes)
        if reason and is_kept:
            yield QueueFinding(f"the file of {job} {reason}; queue.db has its bytes")
        elif reason:
            text = f"the file of {job} {reason}; it waits in vain, see `rmail queue show {job}`"
            yield QueueFinding(text, is_harmless=False, is_repairable=False)


def _harm(files: SpoolFiles, file: str, size_bytes: int) -> str:
    try:
        spooled = files.read(file)
    except NotFound:
        return "is gone"
    except Corrupt as error:
        return f"cannot be read ({error.safe})"
    found_bytes = spooled.head_bytes + spooled.size_bytes
    return "" if found_bytes == size_bytes else f"has {found_bytes} bytes, not {size_bytes}"


def _of_files(db: apsw.Connection, files: SpoolFiles, before: float) -> Iterator[QueueFinding]:
    """Files that no row knows."""
    known = {row[0] for row in db.execute("SELECT DISTINCT file FROM job")}
    for name, is_accepted, written_at in sorted(files.names()):
        if name in known:
            continue
        if rows.is_finished(db, name) or (not is_accepted and written_at < before):
            yield QueueFinding(f"{name} was left over")
        elif is_accepted:
            yield QueueFinding(f"{name} was accepted and is not in queue.db", is_harmless=False)


def _of_others(files: SpoolFiles, before: float) -> Iterator[QueueFinding]:
    for path in sorted(files.leftovers(before)):
        yield QueueFinding(f"{path.name} was left over")
    for path in sorted(files.folder.glob("*.bad")):
        text = f"{path.name} was accepted and cannot be sent; look at it"
        yield QueueFinding(text, is_harmless=False, is_repairable=False)
