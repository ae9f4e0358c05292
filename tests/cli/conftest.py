"""The command line as a user has it: a folder, words, and what is printed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rmail_kernel.cli import main


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one command did."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """The JSON it printed."""
        return json.loads(self.out)

    def refusal(self) -> str:
        """The one line of a command that refused wrong use or bad configuration."""
        assert self.code == 2, self
        return self.line()

    def failure(self) -> str:
        """The one line of a command that failed."""
        assert self.code == 1, self
        return self.line()

    def line(self) -> str:
        assert self.out == ""
        assert self.err.count("\n") == 1
        assert self.err.startswith("rmail: ")
        assert "Traceback" not in self.err
        return self.err.removeprefix("rmail: ").rstrip("\n")


Rmail = Callable[..., Outcome]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder; nothing is in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RMAIL_AUTH__BCRYPT_COST", "4")
    return tmp_path


@pytest.fixture
def rmail(folder: Path, capsys: pytest.CaptureFixture[str]) -> Rmail:
    """Runs a command in this process."""

    def run(*words: str) -> Outcome:
        code = main(words)
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run


@pytest.fixture
def store(folder: Path, rmail: Rmail) -> Path:
    """A configuration and a store with the domain example.com; the path of the store."""
    assert rmail("init", "--domain", "example.com").code == 0
    return folder / "mailstore"


def tree(folder: Path) -> dict[str, bytes | None]:
    """All that is below a folder: content by path, None for a folder."""
    return {
        str(path.relative_to(folder)): None if path.is_dir() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
    }
