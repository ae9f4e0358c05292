"""The requirement files agree with what the distributions declare."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
_PIN = re.compile(r"([A-Za-z0-9._-]+)==[A-Za-z0-9.+!]+\Z")


def project(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))


def name_of(requirement: str) -> str:
    name = re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]
    return re.sub(r"[-_.]+", "-", name).lower()


def lines(name: str) -> list[str]:
    return [line for line in (ROOT / name).read_text("utf-8").splitlines() if line]


def declared() -> set[str]:
    """Everything that a distribution of this repository depends on, but for one another."""
    folders = [ROOT, *(path.parent for path in ROOT.glob("*/*/pyproject.toml"))]
    found = {name_of(text) for path in folders for text in project(path)["project"]["dependencies"]}
    return {name for name in found if name != "rmail" and not name.startswith("rmail-")}


def tools() -> set[str]:
    group = {name_of(text) for text in project(ROOT)["dependency-groups"]["dev"]}
    return {name for name in group if not name.startswith("rmail-")}


def pinned() -> set[str]:
    matches = [_PIN.match(line) for line in lines("constraints.txt")]
    return {name_of(match[1]) for match in matches if match}


def test_constraints_are_plain_pins() -> None:
    for line in lines("constraints.txt"):
        assert _PIN.match(line), line
        assert not line.startswith("rmail")


def test_every_dependency_is_pinned() -> None:
    assert declared() | tools() <= pinned()


def test_the_tools_are_those_of_the_development_group() -> None:
    listed = {name_of(line) for line in lines("requirements-dev.txt") if not line.startswith("-")}
    assert tools() <= listed <= pinned()


def test_every_distribution_is_installed_from_this_repository() -> None:
    shipped = {line.removeprefix("-e ") for line in lines("requirements.txt") if line[:3] == "-e "}
    assert shipped == {".", *(f"plugins/{path.name}" for path in (ROOT / "plugins").iterdir())}
    examples = {line.removeprefix("-e ") for line in lines("requirements-dev.txt")}
    assert {f"examples/{path.name}" for path in (ROOT / "examples").iterdir()} <= examples
