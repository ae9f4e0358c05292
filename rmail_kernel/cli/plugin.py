"""`rmail plugin`: help for authors of plugins."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()
# Names of modules, which pip takes as well.
NEEDED = ("hatchling", "editables", "pytest", "pytest_asyncio")


@app.callback()
def group() -> None:
    """Start a plugin of your own."""


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="Its name: lower-case letters, digits, _ or -.")],
    directory: Annotated[
        Path | None, typer.Option("--directory", "-d", help="Where; default: ./NAME.")
    ] = None,
) -> None:
    """Write a package with a plugin whose tests pass."""
    from rmail_kernel.cli import scaffold

    folder = scaffold.write(name, directory)
    typer.echo(f"wrote {folder}; install it into the environment of rmail and run its tests:")
    typer.echo(f"  pip install --no-deps --no-build-isolation -e {folder}")
    typer.echo(f"  pytest {folder}")
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        typer.echo(f"these two need more: pip install {' '.join(missing)}")
