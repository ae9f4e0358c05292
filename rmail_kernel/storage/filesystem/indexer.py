"""The process that indexes: `python -m rmail_kernel.storage.filesystem.indexer`, started by
IndexerProcess only.

It has a low priority, and an interpreter of its own, so that no answer waits for it. It ends
when its standard input closes.
"""

from __future__ import annotations

import json
import logging
import os
import signal
from contextlib import suppress
from io import FileIO
from typing import Final

import apsw
import structlog

from rmail_kernel.storage.filesystem.indexer_process import parse
from rmail_kernel.storage.filesystem.indexing import index_slice
from rmail_kernel.storage.filesystem.reading_apart import MAX_KEPT_BYTES, Wanted, read
from rmail_kernel.storage.filesystem.remembering import Texts

NICE: Final = 15
"""Beside one that wants all of a core, this gets a thirtieth of it: little, but not nothing."""


def main() -> None:
    """Answers questions until there are no more."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # they are for the process that started it
    os.setpriority(os.PRIO_PROCESS, 0, NICE)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    kept = Texts(MAX_KEPT_BYTES)
    with (
        os.fdopen(0, "rb") as questions,
        os.fdopen(1, "wb", buffering=0) as answers,
        suppress(BrokenPipeError),  # who asked was killed
    ):
        for line in questions:
            _send(answers, answer(line, kept))


def _send(answers: FileIO, raw: bytes) -> None:
    left = memoryview(raw)
    while left:
        left = left[answers.write(left) :]


def answer(line: bytes, kept: Texts) -> bytes:
    """Does what a line asks for; the texts, the outcome, or the trouble."""
    asked = parse(line)
    if isinstance(asked, Wanted):
        return read(asked, kept).dump()
    paths, owner, anew = asked
    try:
        outcome = index_slice(paths, owner, anew=anew, wait=False, kept=kept)
    except (OSError, apsw.Error) as error:
        return json.dumps(["", str(error) or type(error).__name__]).encode() + b"\n"
    return json.dumps([outcome.name, ""]).encode() + b"\n"


if __name__ == "__main__":
    main()
