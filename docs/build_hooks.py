"""Writes docs/hooks.md from the hook specifications: `python docs/build_hooks.py`."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from rmail_kernel import hookspecs
from rmail_kernel.hooks import Mode

PAGE = Path(__file__).with_name("hooks.md")
_INTRO = """# Hooks

Every hook of rmail, made from `rmail_kernel/hookspecs.py` by `make docs`. How to write a plugin that uses them:
[plugins.md](plugins.md).

| mode | how the implementations are called |
|---|---|
| first | one after the other; the first answer that is not `None` wins. An error or missed deadline is a temporary failure for the caller |
| chain | each sees what the one before returned; `Reject`, `Defer` and `Discard` stop. An error or missed deadline becomes a `Defer` (4xx) |
| notify | all of them, after the fact; an error costs a log line with the plugin's name |
| collect | at start-up; what they return is checked, and any error stops the start with the plugin's name |

An implementation is a method marked `@hookimpl`, plain or `async`, that takes any subset of the arguments by name.
`@hookimpl(tryfirst=True)` and `@hookimpl(trylast=True)` order plugins. Time spent in a hook and its errors are counted in
`rmail_hook_seconds` and `rmail_hook_errors_total` at `/metrics`.
"""


def render() -> str:
    """The page as Markdown, in the order of the source file."""
    parts = [_INTRO]
    source = inspect.getsource(hookspecs)
    for match in re.finditer(
        r"^# --- (.+?) ---$|^(?:async )?def ((?:on|register)_\w+)", source, re.M
    ):
        section, name = match.groups()
        parts.append(f"## {section[0].upper()}{section[1:]}\n" if section else _hook(name))
    return "\n".join(parts)


def _hook(name: str) -> str:
    function = getattr(hookspecs, name)
    mode: Mode = function.rmail_mode
    deadline = "" if mode is Mode.COLLECT else f", deadline {function.rmail_deadline_s:g} s"
    signature = re.sub(r"'", "", str(inspect.signature(function)))
    head = "async def" if inspect.iscoroutinefunction(function) else "def"
    text = inspect.getdoc(function)
    return f"### {name}\n\n`{head} {name}{signature}` — mode {mode}{deadline}\n\n{text}\n"


if __name__ == "__main__":
    PAGE.write_text(render(), "utf-8")
