"""The config file is strict JSON; every mistake is one sentence with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from rmail_kernel.config_sources import MAX_FILE_BYTES, read_file
from rmail_kernel.errors import ConfigError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.json"


def refusal(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        read_file(path)
    assert "\n" not in caught.value.safe
    assert caught.value.safe.startswith(str(path))
    return caught.value.safe.removeprefix(str(path)).strip(": ")


def test_an_object_is_read_as_it_stands(file: Path) -> None:
    file.write_text('{"hostname": "mail.example.com", "http": {"port": null}}')
    assert read_file(file) == {"hostname": "mail.example.com", "http": {"port": None}}


def test_a_missing_file_names_the_command_that_makes_one(file: Path) -> None:
    assert "does not exist; `rmail init` makes one" in refusal(file)


def test_a_folder_cannot_be_read(file: Path) -> None:
    file.mkdir()
    assert refusal(file) == "cannot be read: Is a directory"


def test_bytes_that_are_not_utf8_are_refused_with_their_place(file: Path) -> None:
    file.write_bytes(b'{"hostname": "\xff"}')
    assert refusal(file) == "is not UTF-8 (byte 14)"


def test_a_half_written_file_is_refused_with_line_and_column(file: Path) -> None:
    file.write_text('{\n  "hostname": "mail.exam')
    assert refusal(file).startswith("is not valid JSON: line 2 column 15")


def test_an_empty_file_is_refused(file: Path) -> None:
    file.write_text("")
    assert refusal(file).startswith("is not valid JSON: line 1 column 1")


@pytest.mark.parametrize("text", ['{"a": 1, "a": 2}', '{"x": {"a": 1, "a": 2}}'])
def test_a_repeated_key_is_refused_at_any_depth(file: Path, text: str) -> None:
    file.write_text(text)
    assert refusal(file) == "the key 'a' stands twice"


@pytest.mark.parametrize("text", ["[]", "1", '"text"', "null"])
def test_anything_but_an_object_is_refused(file: Path, text: str) -> None:
    file.write_text(text)
    assert refusal(file) == "must hold a JSON object"


def test_numbers_outside_json_are_refused(file: Path) -> None:
    file.write_text('{"workers": NaN}')
    assert refusal(file) == "NaN is not JSON"


def test_endless_nesting_is_refused(file: Path) -> None:
    file.write_text("[" * 200_000)
    assert refusal(file) == "is nested too deeply"


def test_a_file_over_the_limit_is_not_read(file: Path) -> None:
    file.write_text('{"a": "' + "x" * MAX_FILE_BYTES + '"}')
    assert refusal(file) == f"is larger than {MAX_FILE_BYTES} bytes"
