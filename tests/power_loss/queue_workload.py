"""The process whose queue is recorded: each operation is marked when it is answered.

`python -m tests.power_loss.queue_workload DISK MARKS`
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rmail_kernel.clock import Clock
from rmail_kernel.content import Content
from rmail_kernel.storage.queue import Queue
from tests.storage_contract.test_queue import job, opened, take

ROUNDS = 6
Say = Callable[[dict[str, Any]], object]


def text(name: str) -> bytes:
    """The message of a job; some are larger than a block."""
    return b"Subject: x\r\n\r\n" + f"{name} ".encode() * (50 if name < "3" else 20_000)


class Later(Clock):
    """Some minutes ahead: what waits for some seconds to go by is done."""

    def time(self) -> float:
        """Seconds since the epoch."""
        return super().time() + 300


async def one_round(queue: Queue, number: int, say: Say) -> None:
    """Several clients put jobs at a time; some are finished, some given back."""

    async def put(name: str) -> None:
        await queue.put([job(f"{name}a"), job(f"{name}b")], Content.of(text(name)))
        say({"put": [f"{name}a", f"{name}b"]})

    await asyncio.gather(*(put(f"{number}{letter}") for letter in "xyz"))
    for lease in await take(queue, 4):
        say({"begun": lease.job.id})
        if lease.job.id.endswith("a") or number % 2:
            await queue.done(lease)
            say({"done": lease.job.id})
        else:
            record = {"round": number}
            noted = await queue.note(lease, record)
            say({"noted": lease.job.id, "record": record})
            await queue.retry(noted, 1e12, "451", record)


async def main(disk: Path, say: Say) -> None:
    """Opens the queue twice."""
    for half in range(2):
        async with opened(disk / "store", Later() if half else Clock()) as queue:
            for number in range(ROUNDS // 2):
                await one_round(queue, half * ROUNDS // 2 + number, say)


if __name__ == "__main__":
    with Path(sys.argv[2]).open("ab", buffering=0) as marks:
        asyncio.run(
            main(Path(sys.argv[1]), lambda value: marks.write(json.dumps(value).encode() + b"\n"))
        )
