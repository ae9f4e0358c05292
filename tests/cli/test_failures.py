"""Every failure is one line on standard error and an exit code."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from rmail_kernel.cli import failures
from rmail_kernel.cli.output import plain
from rmail_kernel.errors import ConfigError, Conflict, Invalid, NotFound, PluginError, Temporary


def _port_in_use() -> OSError:
    return OSError(errno.EADDRINUSE, "Address already in use")


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ConfigError("wrong", path="a.b"), 2, "a.b: wrong"),
        (PluginError("wrong", plugin="p"), 2, "plugin p: wrong"),
        (Invalid("bad name"), 2, "bad name"),
        (NotFound("no such thing"), 1, "no such thing"),
        (Conflict("exists"), 1, "exists"),
        (Temporary("later"), 1, "later"),
        (Conflict("two\nlines"), 1, "two lines"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), 2, "/x: Permission denied"),
        (_port_in_use(), 2, "Address already in use"),
        (OSError(errno.ENOSPC, "No space left on device", "/x"), 1, "/x: No space left on device"),
        (typer.Abort(), 130, "stopped"),
        (KeyboardInterrupt(), 130, "stopped"),
    ],
)
def test_an_error_has_its_code_and_line(
    error: BaseException, code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert failures.report(error, is_debug=False) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == f"rmail: {line}\n"


def test_a_reader_that_goes_away_is_no_news(tmp_path: Path) -> None:
    code = "from rmail_kernel.cli import main; import sys; sys.exit(main(['--help']))"
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], stdout=writing, stderr=subprocess.PIPE, check=False
        )
    finally:
        os.close(writing)
    assert done.stderr == b""


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        ("", "-"),
        ([], "-"),
        (True, "yes"),
        (False, "no"),
        (["a", True], "a, yes"),
        ("a\x1b[2Jb\n", "a\\x1b[2Jb\\n"),
        ("Bücher", "Bücher"),
    ],
)
def test_text_from_the_store_cannot_move_the_cursor(value: object, text: str) -> None:
    assert plain(value) == text


def test_the_shell_completes_commands_and_options() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from rmail_kernel.cli import main; main([])"],
        env={
            **os.environ,
            "_RMAIL_COMPLETE": "complete_bash",
            "COMP_WORDS": "rmail user pass",
            "COMP_CWORD": "2",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "passwd"
