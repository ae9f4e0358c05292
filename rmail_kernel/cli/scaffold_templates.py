"""The files of a new plugin by path, with $name fields for `string.Template`. Text only."""

from __future__ import annotations

_PYPROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "$distribution"
version = "0.1.0"
description = "A plugin for rmail"
readme = "README.md"
requires-python = ">=3.11"
dependencies = ["rmail"]

[project.entry-points."rmail.plugins"]
$plugin = "$package.plugin:${cls}Plugin"

[tool.hatch.build.targets.wheel]
packages = ["src/$package"]

[tool.pytest.ini_options]
addopts = ["--import-mode=importlib"]
asyncio_mode = "auto"
asyncio_default_fixture_loop_scope = "function"
testpaths = ["tests"]

[tool.ruff]
line-length = 100
"""

_PLUGIN = '''\
"""Marks every message that arrives: hook implementations, nothing else."""

from __future__ import annotations

from rmail_kernel import Delivery, Kernel, hookimpl

from $package.config import ${cls}Settings


class ${cls}Plugin:
    """Adds a header field to each message before it is stored."""

    name = "$plugin"
    settings = ${cls}Settings

    def __init__(self) -> None:
        self.kernel: Kernel | None = None

    @hookimpl
    def on_start(self, kernel: Kernel) -> None:
        self.kernel = kernel

    @hookimpl
    def on_deliver(self, delivery: Delivery) -> Delivery | None:
        assert self.kernel is not None
        greeting = self.kernel.section(self.name, ${cls}Settings).greeting
        return delivery.with_header("$header", greeting) if greeting else None
'''

_CONFIG = '''\
"""The section "$plugin" of config.json."""

from __future__ import annotations

from rmail_kernel import Section


class ${cls}Settings(Section):
    """What the plugin $plugin does."""

    greeting: str = "hello"
    """Text of the header field $header; empty: none is added."""
'''

_TEST = '''\
"""The plugin in a whole server."""

from __future__ import annotations

from typing import Any

import pytest
from rmail_kernel.testing import RunningServer

MESSAGE = b"From: carol@remote.test\\r\\nSubject: Hi\\r\\n\\r\\nHow are you?\\r\\n"


@pytest.fixture
def rmail_plugins() -> list[str]:
    return ["$plugin"]


async def test_a_message_is_marked(rmail_server: RunningServer) -> None:
    await rmail_server.deliver(MESSAGE)
    (raw,) = await rmail_server.messages("alice")
    assert b"$header: hello\\r\\n" in raw
    assert raw.endswith(b"\\r\\n\\r\\nHow are you?\\r\\n")


class TestWithoutGreeting:
    @pytest.fixture
    def rmail_settings(self) -> dict[str, Any]:
        return {"$plugin": {"greeting": ""}}

    async def test_a_message_is_left_alone(self, rmail_server: RunningServer) -> None:
        await rmail_server.deliver(MESSAGE)
        (raw,) = await rmail_server.messages("alice")
        assert b"$header" not in raw
'''

_README = """\
# $distribution

A plugin for rmail: it adds a header field to each message that arrives.

```
pip install --no-deps --no-build-isolation -e .   # into the environment of rmail
pytest
rmail plugins                                     # lists it
```

Then put "$plugin" into `plugins` of config.json, or try it:
`rmail run --plugins smtp,imap,$plugin`.
Its setting: `"$plugin": {"greeting": "hello"}`.

What else hooks can do stands in docs/plugins.md and docs/hooks.md of rmail.
"""

FILES = {
    "pyproject.toml": _PYPROJECT,
    "README.md": _README,
    "src/$package/__init__.py": '"""The plugin $plugin of rmail."""\n',
    "src/$package/plugin.py": _PLUGIN,
    "src/$package/config.py": _CONFIG,
    "src/$package/py.typed": "",
    "tests/test_$plugin.py": _TEST,
}
