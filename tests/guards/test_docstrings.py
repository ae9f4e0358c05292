"""What a public function raises by itself, its docstring says; that of its class, module or package
may say it for all. "See X" points to where it is told.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from rmail_imap import errors as imap_errors

from rmail_kernel import errors

_ROOT = Path(__file__).parents[2]
_SOURCES = ("rmail_kernel", *(f"plugins/{one.name}/src" for one in (_ROOT / "plugins").iterdir()))
_ERRORS = {
    name
    for module in (errors, imap_errors)
    for name, value in vars(module).items()
    if isinstance(value, type) and issubclass(value, Exception)
}
# Their docstrings are the help of a command, or are told in their hook or table.
_REGISTERED = {"command", "callback", "hookimpl", "property"}
_Function = ast.FunctionDef | ast.AsyncFunctionDef


def _modules() -> Iterator[Path]:
    for folder in _SOURCES:
        yield from sorted((_ROOT / folder).rglob("*.py"))


def _name(node: ast.expr) -> str:
    if isinstance(node, ast.Call):
        return _name(node.func)
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _raised(nodes: Iterable[ast.AST]) -> set[str]:
    """The errors that stand behind `raise` and leave, but not those of functions inside."""
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            continue
        if isinstance(node, ast.Try):
            caught = {_name(one) for handler in node.handlers for one in _caught(handler.type)}
            found |= _raised(node.body) - caught
            found |= _raised([*node.handlers, *node.orelse, *node.finalbody])
            continue
        if isinstance(node, ast.Raise) and node.exc is not None:
            found.add(_name(node.exc))
        found |= _raised(ast.iter_child_nodes(node))
    return found & _ERRORS


def _caught(node: ast.expr | None) -> Iterator[ast.expr]:
    """The classes of an `except`."""
    if isinstance(node, ast.BinOp):  # A | B
        yield from (*_caught(node.left), *_caught(node.right))
    elif isinstance(node, ast.Tuple):
        yield from node.elts
    elif node is not None:
        yield node


def _is_parser(function: _Function) -> bool:
    """A function of a Cursor: it raises BadSyntax, as the package `parse` says of all."""
    return any(arg.arg == "cursor" for arg in function.args.args)


def untold(body: list[ast.stmt], told: str, where: str) -> Iterator[str]:
    """Each public function below `body` that raises what neither it nor `told` speaks of."""
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            more = f"{told}\n{ast.get_docstring(node)}"
            yield from untold(node.body, more, f"{where}{node.name}.")
        elif isinstance(node, _Function) and not node.name.startswith("_"):
            text = ast.get_docstring(node) or ""
            if _REGISTERED & {_name(one) for one in node.decorator_list} or re.search(
                r"\bSee [`A-Z]", text
            ):
                continue
            raised = _raised(node.body) - ({"BadSyntax"} if _is_parser(node) else set())
            words = set(re.findall(r"\w+", f"{told}\n{text}"))
            yield from (f"{where}{node.name}: {error}" for error in sorted(raised - words))


def _docstring(path: Path) -> str:
    return ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""


def test_what_a_public_function_raises_its_docstring_says() -> None:
    found: list[str] = []
    for path in _modules():
        if path.parent.name == "cli":
            continue  # docstrings there are what `--help` prints
        told = f"{_docstring(path)}\n{_docstring(path.with_name('__init__.py'))}"
        tree = ast.parse(path.read_text("utf-8"))
        found += untold(tree.body, told, f"{path.relative_to(_ROOT)} ")
    assert found == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("def f():\n    'Does.'\n    raise Invalid('x')", ["f: Invalid"]),
        ("def f():\n    'Does. Invalid: it is not.'\n    raise Invalid('x')", []),
        ("def f():\n    'See `g`.'\n    raise Invalid('x')", []),
        ("def _f():\n    raise Invalid('x')", []),
        ("def f(cursor):\n    'x.'\n    raise BadSyntax('x')", []),
        (
            "class A:\n    def f(self):\n        'x.'\n        raise errors.NotFound",
            ["A.f: NotFound"],
        ),
        ("class A:\n    'NotFound.'\n    def f(self):\n        'x.'\n        raise NotFound()", []),
        ("def f():\n    'x.'\n    raise ValueError('x')", []),
        (
            "def f():\n    'x.'\n    try:\n        raise Invalid\n    except Invalid:\n        a()",
            [],
        ),
        (
            "def f():\n    'x'\n    try:\n        a()\n    except Invalid:\n        raise NotFound",
            ["f: NotFound"],
        ),
    ],
)
def test_the_check_sees_what_is_untold(text: str, found: list[str]) -> None:
    assert [*untold(ast.parse(text).body, "", "")] == found
