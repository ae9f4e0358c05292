"""Plugins on the command line: listed with their state, refused with their name, newly written."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from rmail_kernel.cli import scaffold
from rmail_kernel.errors import ConfigError, Invalid
from tests.cli.conftest import Outcome, Rmail, tree

_MAIN = "import sys; from rmail_kernel.cli import main; sys.exit(main())"
_GOOD = """
from rmail_kernel import hookimpl
class Good:
    name = "good"
    @hookimpl
    def on_deliver(self, delivery): ...
"""
_MISSPELT = _GOOD.replace("on_deliver", "on_delivr").replace("good", "misspelt")
_APP = """
import typer
app = typer.Typer()
@app.command()
def hello(name: str):
    "Greets."
    print(f"hello {name}")
@app.command()
def crash():
    raise KeyError("secret" + "-value")
"""


def install(folder: Path, name: str, source: str, points: str) -> None:
    """Puts a distribution with one module where Python finds it."""
    info = folder / f"{name}-1.2.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(points)
    (folder / f"{name}.py").write_text(source)


def run(folder: Path, *words: str) -> Outcome:
    """A command in a process of its own, which sees what is installed in `folder`/site."""
    done = subprocess.run(
        [sys.executable, "-c", _MAIN, *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder / "site"), "HOME": str(folder / "home")},
        capture_output=True,
        text=True,
        check=False,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def site(folder: Path) -> Path:
    """A folder with a good plugin, two broken ones and a command."""
    site = folder / "site"
    install(site, "goodie", _GOOD, "[rmail.plugins]\ngood = goodie:Good\n")
    install(site, "typo", _MISSPELT, "[rmail.plugins]\nmisspelt = typo:Good\n")
    install(site, "broken", "import absent_module", "[rmail.plugins]\nbroken = broken:Broken\n")
    install(site, "commands", _APP, "[rmail.cli]\ngreet = commands:app\n")
    return site


def configure(folder: Path, *plugins: str) -> None:
    data = {"domains": ["example.com"], "plugins": list(plugins)}
    (folder / "config.json").write_text(json.dumps(data))


def test_plugins_are_listed_with_their_state(folder: Path, site: Path) -> None:
    configure(folder, "good", "smtp")
    found = {record["name"]: record for record in run(folder, "plugins", "--json").data}
    assert found["good"] == {
        "name": "good",
        "distribution": "goodie",
        "version": "1.2",
        "target": "goodie:Good",
        "enabled": True,
        "section": None,
        "hooks": ["on_deliver"],
        "error": None,
    }
    assert found["smtp"]["distribution"] == "rmail-smtp"
    assert not found["broken"]["enabled"]
    assert "No module named 'absent_module'" in found["broken"]["error"]
    assert "there is no hook 'on_delivr'" in found["misspelt"]["error"]


def test_a_plugin_may_implement_hooks_of_another(folder: Path) -> None:
    """`unread_total` is made for the hook that `imap` declares."""
    found = {record["name"]: record for record in run(folder, "plugins", "--json").data}
    assert found["unread_total"]["hooks"] == ["register_imap_extensions"]
    assert [record["error"] for record in found.values()] == [None] * len(found)


def test_a_broken_plugin_is_warned_of_in_the_table(folder: Path, site: Path) -> None:
    outcome = run(folder, "plugins")
    assert outcome.code == 0
    assert "rmail: warning: plugin broken: failed to import: ModuleNotFoundError" in outcome.err
    assert "goodie" in outcome.out


@pytest.mark.parametrize(
    ("plugin", "reason"),
    [
        ("broken", "plugin broken: failed to import: ModuleNotFoundError: No module named"),
        ("misspelt", "plugin misspelt: there is no hook 'on_delivr'"),
        ("gud", "plugin gud: is not installed"),
    ],
)
def test_a_plugin_that_cannot_be_loaded_stops_the_start(
    folder: Path, site: Path, plugin: str, reason: str
) -> None:
    configure(folder, plugin)
    before = tree(folder)
    assert run(folder, "run", "--workers", "0").refusal().startswith(reason)
    after = {path for path in tree(folder) if not path.startswith(("home", "site"))}
    assert after == {path for path in before if not path.startswith(("home", "site"))}


def test_two_plugins_of_one_name_stop_everything(folder: Path, site: Path) -> None:
    install(site, "other", _GOOD, "[rmail.plugins]\ngood = other:Good\n")
    configure(folder, "good")
    line = run(folder, "run").refusal()
    assert line.startswith("plugin good: two distributions offer it: ")


def test_a_plugin_adds_commands(folder: Path, site: Path) -> None:
    assert run(folder, "greet", "hello", "you").out == "hello you\n"
    assert re.search(r"greet +A command of commands\.\n", run(folder, "--help").out)


def test_an_unexpected_error_is_one_line_with_the_place_of_its_traceback(
    folder: Path, site: Path
) -> None:
    line = run(folder, "greet", "crash").failure()
    text, path = line.split("; the traceback is in ")
    assert text == "unexpected KeyError"
    assert "KeyError: 'secret-value'" in Path(path).read_text()
    assert Path(path).stat().st_mode & 0o077 == 0
    Path(path).unlink()


def test_debug_shows_the_traceback(folder: Path, site: Path) -> None:
    outcome = run(folder, "greet", "--debug", "crash")
    assert outcome.code == 1
    assert outcome.err.startswith("Traceback (most recent call last)")
    Path(outcome.err.strip().rpartition(" ")[2]).unlink()


def test_a_new_plugin_passes_its_own_tests(folder: Path) -> None:
    made = scaffold.write("hello-world", folder / "made")
    install(
        folder / "site",
        "rmail_hello_world_metadata",
        "",
        "[rmail.plugins]\nhello_world = rmail_hello_world.plugin:HelloWorldPlugin\n",
    )
    path = f"{made / 'src'}{os.pathsep}{folder / 'site'}"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(made)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, "HOME": str(folder / "home")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


def test_a_new_plugin_is_formatted_and_free_of_faults(folder: Path) -> None:
    """Also where its folder lies in a clone of rmail: the settings of its own package hold."""
    made = scaffold.write("hello-world", folder / "made")
    for words in (("check", "--select", "E,F,I,UP,B"), ("format", "--check")):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *words, "--no-cache", str(made)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout


def test_the_new_package_declares_its_entry_point(folder: Path) -> None:
    import tomllib

    made = scaffold.write("hello-world")
    assert made == Path("hello-world")
    project = tomllib.loads((made / "pyproject.toml").read_text())["project"]
    assert project["name"] == "rmail-hello-world"
    assert project["dependencies"] == ["rmail"]
    assert project["entry-points"]["rmail.plugins"] == {
        "hello_world": "rmail_hello_world.plugin:HelloWorldPlugin"
    }


@pytest.mark.parametrize("name", ["", "Hello", "1st", "a b", "../x", "a/b", "x" * 65, "a__b"])
def test_a_bad_name_writes_nothing(folder: Path, name: str) -> None:
    with pytest.raises(Invalid, match="is not a name"):
        scaffold.write(name)
    assert tree(folder) == {}


def test_a_taken_name_or_folder_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match="a plugin smtp is installed already"):
        scaffold.write("smtp")
    (folder / "unmade").mkdir()
    with pytest.raises(ConfigError, match="unmade exists"):
        scaffold.write("unmade")
    assert tree(folder) == {"unmade": None}


def test_plugin_new_says_what_to_do_next(rmail: Rmail, folder: Path) -> None:
    outcome = rmail("plugin", "new", "unmade")
    assert "pip install --no-deps --no-build-isolation -e unmade" in outcome.out
    assert (folder / "unmade/src/rmail_unmade/plugin.py").is_file()
