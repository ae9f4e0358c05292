"""Running a module under the library that makes system calls fail, and arming it from inside."""

from __future__ import annotations

import atexit
import ctypes
import enum
import errno
import functools
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

_SOURCE = Path(__file__).with_name("faults.c")
_ROOT = Path(__file__).parents[2]


class Call(enum.IntFlag):
    """Kinds of system calls, as in faults.c."""

    OPENS = 1
    WRITES = 2
    NAMES = 4
    REMOVALS = 8
    SYNCS = 16
    MAKES = 32


@dataclass(frozen=True, slots=True)
class Trouble:
    """How a disk fails: with which error, in which calls, once or until it is mended."""

    number: int
    calls: Call
    is_lasting: bool


_ALL = Call.WRITES | Call.NAMES | Call.REMOVALS | Call.SYNCS | Call.MAKES
TROUBLES = {
    "full": Trouble(errno.ENOSPC, Call.WRITES | Call.NAMES | Call.MAKES, True),
    "full-for-a-moment": Trouble(errno.ENOSPC, Call.WRITES | Call.NAMES | Call.MAKES, False),
    "broken": Trouble(errno.EIO, _ALL, True),
    "broken-for-a-moment": Trouble(errno.EIO, _ALL, False),
    "read-only": Trouble(errno.EROFS, _ALL & ~Call.SYNCS, True),
    "too-many-files": Trouble(errno.EMFILE, Call.OPENS, True),
    "too-many-files-for-a-moment": Trouble(errno.EMFILE, Call.OPENS, False),
}


@functools.cache
def _library() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="rmail-faults-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    built = folder / "faults.so"
    command = ["gcc", "-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-o", str(built)]
    subprocess.run([*command, str(_SOURCE), "-ldl"], check=True)
    return built


def run_module(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs `python -m module *arguments` with calls that can be made to fail."""
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=_ROOT,
        env=os.environ | {"LD_PRELOAD": str(_library()), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )


class Faults:
    """The library, inside of the process under test."""

    def __init__(self, root: Path) -> None:
        self._library = ctypes.CDLL(None)
        self._library.fault_disarm.restype = ctypes.c_long
        self._library.fault_root(os.fsencode(root))

    def arm(self, trouble: Trouble, nth: int) -> None:
        """Has the `nth` call that fits fail, and with a lasting trouble all after it."""
        self._library.fault_arm(
            ctypes.c_long(nth), trouble.number, int(trouble.calls), int(trouble.is_lasting)
        )

    def disarm(self) -> int:
        """Mends the disk; how many calls failed."""
        return int(self._library.fault_disarm())
