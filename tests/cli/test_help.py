"""`rmail --help` is quick, and every command tells about itself."""

from __future__ import annotations

import subprocess
import sys

import pytest

from rmail_kernel import __version__
from rmail_kernel.cli.app import COMMANDS
from tests.cli.conftest import Rmail

_HEAVY = ("pydantic", "aiohttp", "stevedore", "rich", "bcrypt", "cryptography", "structlog")


def test_help_lists_every_command(rmail: Rmail) -> None:
    outcome = rmail("--help")
    assert outcome.code == 0
    for name, (_, text) in COMMANDS.items():
        assert f"  {name} " in outcome.out
        assert text.split(":")[0] in outcome.out


def test_no_words_show_the_help(rmail: Rmail) -> None:
    assert rmail().out == rmail("--help").out


def test_version(rmail: Rmail) -> None:
    assert rmail("--version").out == f"rmail {__version__}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(rmail: Rmail, name: str) -> None:
    outcome = rmail(name, "--help")
    assert outcome.code == 0
    assert outcome.out.startswith(f"Usage: rmail {name} ")


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from rmail_kernel.cli import main; main(['--help']); "
        f"print([name for name in {_HEAVY} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"


def test_an_unknown_command_names_a_near_one(rmail: Rmail) -> None:
    assert "Did you mean 'user'?" in rmail("usr").refusal()


@pytest.mark.parametrize(
    "words",
    [("user",), ("user", "add"), ("user", "add", "--nonsense"), ("run", "--workers", "x")],
)
def test_wrong_use_is_one_line_that_names_the_help(rmail: Rmail, words: tuple[str, ...]) -> None:
    meant = " ".join(word for word in words[:2] if word in {"user", "add", "run"})
    assert rmail(*words).refusal().endswith(f"see `rmail {meant} --help`")


def test_a_group_without_a_command_names_its_commands(rmail: Rmail) -> None:
    assert rmail("user").refusal().startswith("say which: add, list, show, set, passwd, delete;")


def test_a_command_of_a_plugin_tells_what_its_distribution_is(rmail: Rmail) -> None:
    line = next(one for one in rmail("--help").out.splitlines() if one.startswith("  queue "))
    assert line.endswith("(rmail-relay).")
    assert "A command" not in line


def test_debug_shows_no_traceback_of_wrong_use(rmail: Rmail) -> None:
    assert "Traceback" not in rmail("--debug", "user").err
