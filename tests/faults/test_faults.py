"""Whatever call of whatever operation fails, the caller gets Temporary, nothing is half-done, a
retry does it, and the store is sound afterwards.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.faults.injection import TROUBLES, run_module
from tests.faults.steps import OPERATIONS

pytestmark = pytest.mark.tool("gcc")  # it builds what makes the calls fail


@pytest.mark.timeout(240)
@pytest.mark.parametrize("trouble", TROUBLES)
def test_an_operation_on_a_failing_disk_is_done_or_not_and_the_caller_knows(
    tmp_path: Path, trouble: str
) -> None:
    done = run_module("tests.faults.steps", str(tmp_path), trouble)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["wrong"] == []
    assert found["failed"].keys() == OPERATIONS.keys()
    assert sum(found["failed"].values()) >= len(OPERATIONS)
