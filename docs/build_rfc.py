"""Writes docs/rfc.md from docs/rfc.toml: `python docs/build_rfc.py`."""

from __future__ import annotations

import tomllib
from pathlib import Path

LIST = Path(__file__).with_name("rfc.toml")
PAGE = Path(__file__).with_name("rfc.md")
_INTRO = """# RFCs

Made from `rfc.toml` by `make docs`. "partial" names what is missing, "yes" may name a choice.

| RFC | | state | where | |
|---|---|---|---|---|
"""


def render() -> str:
    """The page as Markdown, in numerical order."""
    rows = []
    for number, entry in sorted(tomllib.loads(LIST.read_text("utf-8")).items(), key=_number):
        link = f"[{number}](https://www.rfc-editor.org/rfc/rfc{number})"
        cells = [
            link,
            entry["title"],
            entry["status"],
            ", ".join(entry["where"]),
            entry.get("missing", entry.get("note", "")),
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return _INTRO + "\n".join(rows) + "\n"


def _number(item: tuple[str, object]) -> int:
    return int(item[0])


if __name__ == "__main__":
    PAGE.write_text(render(), "utf-8")
