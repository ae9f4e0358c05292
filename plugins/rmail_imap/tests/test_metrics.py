"""Commands that are counted together count as many as they are, each in its bucket."""

from __future__ import annotations

import asyncio

from prometheus_client import REGISTRY
from rmail_imap import metrics

from rmail_kernel.testing import Transcript


def sample(name: str, **labels: str) -> float:
    """What /metrics shows."""
    return REGISTRY.get_sample_value(f"rmail_imap_command{name}", labels) or 0.0


def test_what_is_told_together_is_what_was_counted() -> None:
    for seconds in (0.0005, 0.0006, 0.0006, 11.0):
        metrics.count("PROBE", "OK", seconds)
    metrics.count("PROBE", "NO", 0.1)
    metrics.count("IDLE", "OK", 1000.0)
    idle = sample("_seconds_count", command="IDLE")
    metrics.tell()
    metrics.tell()
    assert sample("s_total", command="PROBE", result="OK") == 4
    assert sample("s_total", command="PROBE", result="NO") == 1
    found = [sample("_seconds_bucket", command="PROBE", le=le) for le in ("0.0005", "0.001", "0.1")]
    assert found == [1, 3, 4]
    assert sample("_seconds_bucket", command="PROBE", le="10.0") == 4
    assert sample("_seconds_count", command="PROBE") == 5
    assert round(sample("_seconds_sum", command="PROBE"), 6) == 11.1017
    assert sample("_seconds_count", command="IDLE") == idle


async def test_what_was_counted_is_told_while_clients_stay(client: Transcript) -> None:
    metrics.tell()
    before = sample("s_total", command="CHECK", result="OK")
    await client.run("C: a SELECT INBOX\nS: * FLAGS *")
    while not (await client.line()).startswith("a OK"):
        pass
    await client.run("C: b CHECK\nS: b OK *")
    async with asyncio.timeout(30):
        while sample("s_total", command="CHECK", result="OK") == before:
            await client.run("C: c NOOP\nS: c OK *")
