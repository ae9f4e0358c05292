"""The loop that servers run on: its transports are not asyncio's own classes."""

from __future__ import annotations

from pathlib import Path

import pytest
import uvloop
from prometheus_client import REGISTRY
from rmail_imap import metrics

from rmail_kernel.testing import RunningServer, make_settings


def test_sessions_and_starttls_on_uvloop(tmp_path: Path) -> None:
    async def scenario() -> None:
        server = RunningServer(make_settings(tmp_path / "mailstore", ["imap"]), {})
        await server.start()
        try:
            for listener in ("imap", "imaps"):
                async with server.connect(listener) as client:
                    await client.run("S: * OK *")
                    if listener == "imap":
                        await client.run("C: a STARTTLS\nS: a OK *")
                        await client.start_tls()
                    await client.run("""
                        C: b LOGIN alice secret
                        S: b OK *
                        C: c APPEND INBOX {9}
                        S: + *
                        C: Subject:x
                        S: c OK [APPENDUID *
                        C: d LOGOUT
                        S: * BYE *
                        S: d OK *
                    """)
                    await client.expect_close()
        finally:
            await server.stop()

    uvloop.run(scenario())


def test_commands_are_timed_finer_than_the_loop_ticks(tmp_path: Path) -> None:
    async def scenario() -> None:
        server = RunningServer(make_settings(tmp_path / "mailstore", ["imap"]), {})
        await server.start()
        try:
            async with server.connect("imap") as client:
                await client.run("S: * OK *")
                for _ in range(20):
                    await client.run("C: a NOOP\nS: a OK *")
        finally:
            await server.stop()

    labels = {"command": "NOOP"}
    metrics.tell()
    before = REGISTRY.get_sample_value("rmail_imap_command_seconds_sum", labels) or 0.0
    uvloop.run(scenario())
    metrics.tell()
    took_s = (REGISTRY.get_sample_value("rmail_imap_command_seconds_sum", labels) or 0.0) - before
    assert took_s * 1000 != pytest.approx(round(took_s * 1000), abs=1e-6)
