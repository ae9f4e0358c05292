"""Log lines: their form, what flows into them, what never does."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from pydantic import SecretStr

from rmail_kernel.observe import logs
from rmail_kernel.settings import LogSettings


@pytest.fixture(autouse=True)
def restore() -> Iterator[None]:
    """Gives the other tests back their logging."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield
    root.setLevel(level)
    root.handlers[:] = handlers
    logging.captureWarnings(False)
    structlog.reset_defaults()


def lines(capture: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capture.readouterr().err.splitlines()]


def test_a_line_has_time_level_logger_event_and_the_session(
    capfd: pytest.CaptureFixture[str],
) -> None:
    logs.configure(LogSettings(format="json"))
    session = "0123456789ab"
    with structlog.contextvars.bound_contextvars(session=session):
        structlog.get_logger("rmail.test").info("stored", uid=7)
    [line] = lines(capfd)
    assert line.pop("timestamp").endswith("Z")
    assert line.pop("pid") == os.getpid()
    assert line == {
        "level": "info",
        "logger": "rmail.test",
        "event": "stored",
        "uid": 7,
        "session": session,
    }


def test_the_standard_library_writes_the_same_lines(capfd: pytest.CaptureFixture[str]) -> None:
    logs.configure(LogSettings(format="json"))
    with structlog.contextvars.bound_contextvars(session="s1"):
        logging.getLogger("lib").warning("odd %s", "thing")
    [line] = lines(capfd)
    assert (line["event"], line["logger"], line["level"]) == ("odd thing", "lib", "warning")
    assert line["session"] == "s1"


def test_lines_below_the_level_are_not_written_and_the_level_may_change(
    capfd: pytest.CaptureFixture[str],
) -> None:
    log = structlog.get_logger("rmail.test")
    logs.configure(LogSettings(format="json", level="error"))
    log.warning("quiet")
    logging.getLogger("lib").warning("quiet")
    logs.configure(LogSettings(format="json", level="debug"))
    log.debug("loud")
    assert [line["event"] for line in lines(capfd)] == ["loud"]


def test_a_traceback_is_one_line_without_local_variables(
    capfd: pytest.CaptureFixture[str],
) -> None:
    for form in ("json", "console"):
        logs.configure(LogSettings.model_validate({"format": form}))
        try:
            hidden = "hunter2"
            raise ValueError(len(hidden))
        except ValueError:
            structlog.get_logger("rmail.test").exception("failed")
        text = capfd.readouterr().err
        assert "ValueError: 7" in text
        assert "hunter2" not in text.replace('hidden = "hunter2"', "")


@pytest.mark.parametrize("key", ["password", "token_secret", "Authorization", "cookie"])
def test_secrets_are_masked(key: str, capfd: pytest.CaptureFixture[str]) -> None:
    logs.configure(LogSettings(format="json"))
    structlog.get_logger("rmail.test").info("login", **{key: "hunter2"}, key=SecretStr("hunter2"))
    assert "hunter2" not in capfd.readouterr().err


def test_any_value_can_be_logged(capfd: pytest.CaptureFixture[str]) -> None:
    logs.configure(LogSettings(format="json"))
    structlog.get_logger("rmail.test").info("odd", raw=b"\xff", thing=object, bad="\udcff")
    assert len(lines(capfd)) == 1
