"""What the documentation says is what the code has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rmail_kernel import hookspecs
from tests.guards.pages import load

ROOT = Path(__file__).parents[2]


def _hooks() -> list[str]:
    return [name for name, value in vars(hookspecs).items() if hasattr(value, "rmail_mode")]


def test_hooks_page_is_what_the_specifications_say() -> None:
    module = load("docs/build_hooks.py")
    assert module.PAGE.read_text("utf-8") == module.render(), "run `make docs`"


def test_every_hook_is_documented_and_tested() -> None:
    page = (ROOT / "docs/hooks.md").read_text("utf-8")
    tests = "".join(
        path.read_text("utf-8")
        for pattern in ("tests/**/*.py", "plugins/*/tests/*.py", "examples/*/tests/*.py")
        for path in ROOT.glob(pattern)
    )
    hooks = _hooks()
    assert len(hooks) > 15
    for hook in hooks:
        assert f"### {hook}\n" in page
        assert hook in tests, f"no test mentions {hook}"


@pytest.mark.parametrize("page", ["docs/plugins.md", "README.md"])
def test_the_example_is_shown_as_it_is(page: str) -> None:
    guide = (ROOT / page).read_text("utf-8")
    source = ROOT / "examples/rmail_subject_tagger/src/rmail_subject_tagger/__init__.py"
    code = re.sub(r'"""(?s:.)*?"""\n+', "", source.read_text("utf-8"))
    shown = next(
        block
        for block in re.findall(r"```python\n(.*?)```", guide, re.S)
        if "SubjectTagger" in block
    )
    assert [line.strip() for line in shown.split("\n") if line.strip()] == [
        line.strip() for line in code.split("\n") if line.strip()
    ]


def test_links_between_pages_lead_somewhere() -> None:
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("*/*/README.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
