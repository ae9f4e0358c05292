"""A process that puts jobs into a queue and finishes some, and says what was acknowledged.

`python -m tests.storage_filesystem.queue_writer ROOT` prints a line for each job; `RMAIL_FAILPOINT`
has it die on its way.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from rmail_kernel.clock import Clock
from tests.storage_contract.test_queue import MESSAGE, job, opened, take

JOBS = 6


async def main(root: Path) -> None:
    """Puts two jobs at a time, then finishes one of those that there are."""
    async with opened(root, Clock()) as queue:
        for number in range(JOBS):
            names = [f"{number}a", f"{number}b"]
            await queue.put([job(name) for name in names], MESSAGE)
            print(*names, sep="\n", flush=True)
            (lease, *_) = await take(queue, 1)
            print(f"begun {lease.job.id}", flush=True)
            await queue.done(lease)
            print(f"done {lease.job.id}", flush=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
