"""docs/rfc.toml against the code: nothing cited is unlisted, nothing listed as done is uncited."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from tests.guards import citations
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
            for number in citations.cited(source.read_text("utf-8")):
                cited.setdefault(number, set()).add(name)
    return cited


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("RFC 9051 6.3.4", {"9051"}),
        ("RFC 2045, 2046 5.1 and 2231; RFC 3501 9.", {"2045", "2046", "2231", "3501"}),
        ("RFC 5322,\n# 2045-2047", {"5322", "2045", "2046", "2047"}),
        ('rfc="3501 6.4.3, 4315 2.1"', {"3501", "4315"}),
        ('feature("LITERAL+", "7888 4")', {"7888"}),
        ("RFC 1870 adds 26, RFC 4954 500.", {"1870", "4954"}),
        ("since RFC 2606 in 1999", {"2606"}),
    ],
)
def test_citations_are_told_from_sections_and_years(text: str, numbers: set[str]) -> None:
    assert citations.cited(text) == numbers


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
        assert not {"note", "missing"} <= entry.keys(), number  # the page has room for one


def test_rfc_page_is_made_from_the_list() -> None:
    module = load("docs/build_rfc.py")
    assert module.PAGE.read_text("utf-8") == module.render(), "run `make docs`"
