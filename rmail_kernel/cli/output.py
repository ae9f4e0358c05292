"""Printing data: aligned columns for people, JSON for programs. Text from the store cannot move
the cursor: control characters are shown, not sent.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import typer


def show_json(value: Any) -> None:
    """Prints one JSON value; what JSON does not know is printed as its text."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def show_table(titles: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Prints rows below their titles, each column as wide as its widest text."""
    lines = [titles, *([plain(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        typer.echo("  ".join(cells).rstrip())


def show_fields(fields: dict[str, object]) -> None:
    """Prints one record, a field a line."""
    width = max(map(len, fields))
    for name, value in fields.items():
        typer.echo(f"{name.ljust(width)}  {plain(value)}".rstrip())


def plain(value: object) -> str:
    """One line of printable text: yes and no, "-" for nothing, escapes for control characters."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(plain, value)) or "-"
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in str(value))
