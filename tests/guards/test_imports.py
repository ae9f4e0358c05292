"""No module imports itself by way of others, not for the names of types either."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = [ROOT, *sorted((ROOT / "plugins").glob("*/src"))]


def _modules() -> dict[str, Path]:
    found = {}
    for source in SOURCES:
        pattern = "rmail_kernel/**/*.py" if source == ROOT else "**/*.py"
        for path in source.glob(pattern):
            name = ".".join(path.relative_to(source).with_suffix("").parts)
            found[name.removesuffix(".__init__")] = path
    return found


def _imported(path: Path, modules: Mapping[str, Path]) -> set[str]:
    """The modules of ours that a module names, wherever in it."""
    named = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            parts = {f"{node.module}.{alias.name}" for alias in node.names}
            named |= {part if part in modules else node.module for part in parts}
        elif isinstance(node, ast.Import):
            named |= {alias.name for alias in node.names}
    return named & modules.keys()


def circles(graph: Mapping[str, set[str]]) -> Iterator[frozenset[str]]:
    """What is left when all that imports nothing left, or that nothing left imports, is gone."""
    left = {name: set(others) for name, others in graph.items()}
    while gone := {
        name
        for name, others in left.items()
        if not others or not any(name in more for more in left.values())
    }:
        left = {name: others - gone for name, others in left.items() if name not in gone}
    while left:
        circle: set[str] = set()
        ring = {next(iter(left))}
        while ring - circle:
            circle |= ring
            ring = set[str]().union(*(left[name] for name in ring))
        yield frozenset(circle)
        left = {name: others - circle for name, others in left.items() if name not in circle}


def test_circles_are_found() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set(), "e": {"f"}, "f": {"e"}}
    assert set(circles(graph)) == {frozenset("bc"), frozenset("ef")}


def test_no_module_imports_itself_by_way_of_others() -> None:
    modules = _modules()
    assert len(modules) > 300
    graph = {name: _imported(path, modules) - {name} for name, path in modules.items()}
    assert list(circles(graph)) == []
