"""Places for long work: how many at a time, and who is next."""

from __future__ import annotations

import asyncio

import pytest

from rmail_kernel.lanes import Lanes


class _Work:
    """Notes who works; each works until it is let go."""

    def __init__(self, places: int) -> None:
        self.lanes = Lanes(places)
        self.began: list[str] = []
        self.at_once = self.most = 0
        self.may_end = asyncio.Semaphore(0)

    async def __call__(self, name: str) -> None:
        async with self.lanes.place(name[0]):
            self.began.append(name)
            self.at_once += 1
            self.most = max(self.most, self.at_once)
            try:
                await self.may_end.acquire()
            finally:
                self.at_once -= 1


async def _settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_no_more_than_the_places_work_at_a_time() -> None:
    work = _Work(2)
    tasks = [asyncio.create_task(work(f"a{n}")) for n in range(20)]
    await _settle()
    assert work.began == ["a0", "a1"]
    for _ in tasks:
        work.may_end.release()
    await asyncio.gather(*tasks)
    assert (work.most, work.began) == (2, [f"a{n}" for n in range(20)])


async def test_who_asks_often_does_not_go_before_who_asks_once() -> None:
    work = _Work(1)
    names = [*(f"a{n}" for n in range(50)), "b0", "c0", "b1"]
    tasks = [asyncio.create_task(work(name)) for name in names]
    await _settle()
    for _ in tasks:
        work.may_end.release()
    await asyncio.gather(*tasks)
    assert work.began[:8] == ["a0", "a1", "b0", "c0", "a2", "b1", "a3", "a4"]
    assert len(work.began) == len(names)


@pytest.mark.parametrize("gone", [[0], [1], [1, 2, 3], [3], [0, 1, 2, 3]])
async def test_who_gives_up_takes_no_place_with_it(gone: list[int]) -> None:
    work = _Work(1)
    tasks = [asyncio.create_task(work(f"a{n}")) for n in range(4)]
    await _settle()
    for place in gone:
        tasks[place].cancel()
    async with asyncio.timeout(5):
        for _ in tasks:
            work.may_end.release()
        await asyncio.gather(*tasks, return_exceptions=True)
        work.may_end.release()
        await work("b0")


async def test_who_is_let_in_while_it_gives_up_passes_the_place_on() -> None:
    lanes = Lanes(1)

    async def take() -> None:
        async with lanes.place("x"):
            pass

    async with asyncio.timeout(5):
        async with lanes.place("a"):
            waiting = asyncio.create_task(take())
            await _settle()
        waiting.cancel()  # its turn has come, and it has not run since
        await asyncio.gather(waiting, return_exceptions=True)
        await take()
