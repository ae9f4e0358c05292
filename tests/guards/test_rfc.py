"""docs/rfc.toml against the code: nothing cited is unlisted, nothing listed as done is uncited."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from tests.guards.pages import load

ROOT = Path(__file__).parents[2]
LIST = tomllib.loads((ROOT / "docs/rfc.toml").read_text("utf-8"))


def _cited() -> dict[str, set[str]]:
    """RFC number -> the distributions that cite it."""
    cited: dict[str, set[str]] = {}
    for folder, name in [("rmail_kernel", "kernel")] + [
        (f"plugins/{path.name}/src", path.name.removeprefix("rmail_"))
        for path in sorted((ROOT / "plugins").iterdir())
    ]:
        for source in (ROOT / folder).rglob("*.py"):
            text = source.read_text("utf-8")
            for number in re.findall(r"RFCs? (\d{3,5})", text) + re.findall(
                r'rfc="(\d{3,5})', text
            ):
                cited.setdefault(number, set()).add(name)
    return cited


def test_every_cited_rfc_is_listed_with_where() -> None:
    cited = _cited()
    assert len(cited) > 20
    missing = {number: sorted(names) for number, names in cited.items() if number not in LIST}
    assert missing == {}
    for number, names in cited.items():
        assert set(LIST[number]["where"]) >= names, f"RFC {number} is cited in {sorted(names)}"


def test_every_listed_rfc_is_cited_unless_it_is_not_done() -> None:
    cited = _cited()
    for number, entry in LIST.items():
        assert entry["status"] in ("yes", "partial", "no"), number
        assert (number in cited) or entry["status"] == "no", f"RFC {number} is cited nowhere"
        assert (entry["status"] == "partial") == ("missing" in entry), number


def test_rfc_page_is_made_from_the_list() -> None:
    module = load("docs/build_rfc.py")
    assert module.PAGE.read_text("utf-8") == module.render(), "run `make docs`"
