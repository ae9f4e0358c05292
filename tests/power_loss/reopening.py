"""The process that opens a store after a power loss, which itself may end with one.

`python -m tests.power_loss.reopening DISK MARKS`
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from tests.power_loss.workload import ALICE, Say, opened, snapshot


async def main(disk: Path, say: Say) -> None:
    """Looks at everything, and lets the store settle."""
    async with opened(disk) as world:
        say({"opened": True})
        await snapshot(world)
        if await world.directory.by_id(ALICE):
            await world.mail.settle(ALICE)
    say({"closed": True})


if __name__ == "__main__":
    with Path(sys.argv[2]).open("ab", buffering=0) as marks:
        asyncio.run(
            main(Path(sys.argv[1]), lambda value: marks.write(json.dumps(value).encode() + b"\n"))
        )
