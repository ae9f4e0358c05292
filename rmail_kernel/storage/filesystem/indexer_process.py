"""This process's end of the one that indexes, or reads texts: questions go down its standard
input, whose closing ends it; answers come up its standard output. It is started when there is
something for it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

from rmail_kernel.storage.filesystem.disk import Owner
from rmail_kernel.storage.filesystem.indexing import Outcome
from rmail_kernel.storage.filesystem.layout import AccountPaths
from rmail_kernel.storage.filesystem.reading_apart import Found, Wanted, parse_found


def dump(paths: AccountPaths, owner: Owner, *, anew: bool) -> bytes:
    """A question, as a line."""
    return json.dumps([str(paths.home), owner.uid, owner.gid, owner.is_needed, anew]).encode()


def parse(line: bytes) -> tuple[AccountPaths, Owner, bool] | Wanted:
    """The question that a line is."""
    if line.startswith(b"{"):
        return Wanted(**json.loads(line))
    home, uid, gid, is_needed, anew = json.loads(line)
    return AccountPaths.below(Path(home)), Owner(uid, gid, is_needed), anew


class IndexerProcess:
    """At most one process. `slice` is of one thread at a time, `end` of any."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    @property
    def pid(self) -> int | None:
        """Its id; None: there is none now."""
        return None if self._process is None else self._process.pid

    def slice(self, paths: AccountPaths, owner: Owner, *, anew: bool) -> Outcome:
        """Has a slice indexed there. Blocks.

        Raises:
            OSError: trouble that a later attempt may not meet.
        """
        outcome, trouble = json.loads(self._ask(dump(paths, owner, anew=anew) + b"\n"))
        if trouble:
            raise OSError(trouble)
        return Outcome[outcome]

    def texts(self, wanted: Wanted) -> Found:
        """Has messages read there. Blocks.

        Raises:
            OSError: as `slice`.
        """
        return parse_found(self._ask(wanted.dump(), has_bytes=True))

    def _ask(self, question: bytes, *, has_bytes: bool = False) -> bytes:
        """The line that answers a question, or the bytes that it tells the number of."""
        process = self._started()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(question)
            process.stdin.flush()
            line = process.stdout.readline()
            size = int(line) if has_bytes and line else 0
            raw = process.stdout.read(size) if size else line
        except (OSError, ValueError) as error:  # ValueError: `end` has closed the pipes
            self.end()
            raise OSError("the process that indexes has ended") from error
        if not raw or len(raw) < size:
            self.end()
            raise OSError("the process that indexes has ended")
        return raw

    def _started(self) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._process is None:
                self._process = subprocess.Popen(
                    [
                        sys.executable,
                        "-P",  # the working directory is no place to import from
                        "-m",
                        "rmail_kernel.storage.filesystem.indexer",
                    ],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                )
            return self._process

    def end(self) -> None:
        """Ends it at once; what it had not committed is done again later."""
        with self._lock:
            process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdout, process.stdin):
                assert pipe is not None
                with suppress(BrokenPipeError):  # what was asked of it and not sent
                    pipe.close()
