"""What messages under way take of the memory."""

from __future__ import annotations

from rmail_smtp.intake import MEMORY_BYTES, MIN_MEMORY_BYTES, Intake

from rmail_kernel.content import Content
from rmail_kernel.testing import RunningServer

LIMIT_BYTES = 1 << 22
LINES = b"0123456789abcde\r\n" * 16


async def _taken(intake: Intake, size: int) -> Content:
    for _ in range(size // len(LINES)):
        intake.take(LINES)
        await intake.keep()
    content = await intake.finish()
    assert isinstance(content, Content)
    return content


async def test_a_message_among_many_is_in_memory_only_while_it_is_small(
    rmail_server: RunningServer,
) -> None:
    size = 2 * MIN_MEMORY_BYTES
    alone = await _taken(Intake(rmail_server.kernel, LIMIT_BYTES), size)
    assert isinstance(alone.body, bytes)
    many = [
        Intake(rmail_server.kernel, LIMIT_BYTES) for _ in range(MEMORY_BYTES // MIN_MEMORY_BYTES)
    ]
    content = await _taken(many[-1], size)
    assert not isinstance(content.body, bytes)
    assert content.read() == alone.read()
    many.clear()
    again = await _taken(Intake(rmail_server.kernel, LIMIT_BYTES), size)
    assert isinstance(again.body, bytes)
