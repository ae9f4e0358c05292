"""The loop that servers run on: its transports are not asyncio's own classes."""

from __future__ import annotations

from pathlib import Path

import uvloop

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
