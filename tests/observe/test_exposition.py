"""Metrics over several processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rmail_kernel.observe.exposition import FOLDER_VARIABLE, render
from rmail_kernel.observe.metrics import LOGINS
from rmail_kernel.process.supervisor import clean, forget_metrics

COUNT = """
from rmail_kernel.observe.metrics import CONNECTIONS, DELIVERIES
import os
DELIVERIES.labels("stored").inc(2)
CONNECTIONS.labels("imap").inc(3)
print(os.getpid())
"""


def count_in_a_process(folder: Path) -> int:
    """Counts two deliveries and three connections; the pid of the process that did."""
    done = subprocess.run(
        [sys.executable, "-c", COUNT],
        env={**os.environ, FOLDER_VARIABLE: str(folder)},
        check=True,
        capture_output=True,
        text=True,
    )
    return int(done.stdout)


def test_counters_of_all_processes_are_summed_and_gauges_of_dead_ones_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    pids = [count_in_a_process(tmp_path) for _ in range(2)]
    assert b'rmail_deliveries_total{outcome="stored"} 4.0' in render()
    assert b'rmail_connections{listener="imap"} 6.0' in render()
    forget_metrics(pids[0], str(tmp_path))
    assert b'rmail_deliveries_total{outcome="stored"} 4.0' in render()
    assert b'rmail_connections{listener="imap"} 3.0' in render()
    clean(tmp_path)
    assert b"rmail_deliveries_total{" not in render()


def test_one_process_shows_its_own_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    LOGINS.labels("imap", "ok").inc()
    assert b'rmail_logins_total{protocol="imap",result="ok"}' in render()
