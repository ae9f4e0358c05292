"""A server process waits little for its own threads and its garbage."""

from __future__ import annotations

import subprocess
import sys

from rmail_kernel.process.interpreter import SWITCH_S

_PROBE = """
import gc, sys
from rmail_kernel.process import interpreter
interpreter.settle()
print(sys.getswitchinterval(), gc.get_freeze_count() > 1000, gc.get_threshold()[0] > 700)
"""


def test_settled_interpreter_switches_soon_and_spares_what_is_imported() -> None:
    command = [sys.executable, "-c", _PROBE]  # of its own: it is for the whole process
    found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    assert found.stdout.split() == [str(SWITCH_S), "True", "True"]
