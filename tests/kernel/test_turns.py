"""Long work on the event loop: one piece in each of its passes, whoever's it is."""

from __future__ import annotations

import asyncio

import pytest

from rmail_kernel import turns
from rmail_kernel.turns import PIECE_S, Pace, rest

_WORKERS = 20
_PIECES = 10


async def test_each_pass_of_the_loop_has_one_piece_of_long_work() -> None:
    pieces: list[int] = []
    most = 0

    async def work(who: int) -> None:
        for _ in range(_PIECES):
            await rest()
            pieces.append(who)

    async def short_work(others: asyncio.Future[list[None]]) -> None:
        nonlocal most
        while not others.done():
            before = len(pieces)
            await asyncio.sleep(0)
            most = max(most, len(pieces) - before)

    others = asyncio.ensure_future(asyncio.gather(*map(work, range(_WORKERS))))
    await short_work(others)
    assert most == 1
    assert pieces == [*range(_WORKERS)] * _PIECES  # first come, first served


async def test_one_who_gave_up_costs_nobody_a_turn() -> None:
    async with asyncio.timeout(5):
        waiting = [asyncio.create_task(rest()) for _ in range(5)]
        await asyncio.sleep(0)
        for task in waiting[1:3]:
            task.cancel()
        done = await asyncio.gather(*waiting, return_exceptions=True)
        assert [isinstance(one, asyncio.CancelledError) for one in done] == [
            False,
            True,
            True,
            False,
            False,
        ]
        await rest()


async def test_a_pace_rests_when_its_piece_took_its_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0
    monkeypatch.setattr(turns, "perf_counter", lambda: now)
    passes = 0
    is_over = False

    async def others() -> None:
        nonlocal passes
        while not is_over:
            passes += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(others())
    pace = Pace()
    await pace.breathe()
    assert passes == 0  # too early
    now = PIECE_S
    await pace.breathe()
    is_over = True
    await task
    assert passes > 1


def test_each_loop_has_its_own_line() -> None:
    for _ in range(3):
        asyncio.run(rest())


@pytest.mark.parametrize("count", [1, 50])
async def test_turns_come_also_to_many(count: int) -> None:
    async with asyncio.timeout(5):
        await asyncio.gather(*(rest() for _ in range(count)))
