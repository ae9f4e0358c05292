"""How names of the original layout are read."""

from __future__ import annotations

from pathlib import Path

import pytest

from rmail_kernel.storage.filesystem.original import MAX_DEPTH, find_mailboxes, from_modified_utf7


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("Entw&APw-rfe", "Entwürfe"),
        ("&ZeVnLIqe-", "日本語"),
        ("R&-D", "R&D"),
        ("plain", "plain"),
        ("R&D", "R&D"),  # UTF-8 on disk: not modified UTF-7
        ("Entwürfe &APw-", "Entwürfe &APw-"),
        ("&A-", "&A-"),  # half a character
        ("&2D0-", "&2D0-"),  # half a surrogate pair
        ("x&-APw-", "x&-APw-"),  # what it means would be read as something else next time
    ],
)
def test_a_name_is_what_the_client_meant_and_stays_so(text: str, meant: str) -> None:
    assert from_modified_utf7(text) == meant
    assert from_modified_utf7(meant) == meant


@pytest.mark.parametrize(("levels", "is_found"), [(MAX_DEPTH + 1, True), (MAX_DEPTH + 2, False)])
def test_nesting_is_followed_so_deep_and_no_deeper(
    tmp_path: Path, levels: int, is_found: bool
) -> None:
    deep = tmp_path.joinpath("mailboxes", *["d"] * levels)
    deep.mkdir(parents=True)
    (deep / "status.json").write_text("{}")
    found = find_mailboxes(tmp_path / "mailboxes")
    assert any(one.directory == "/".join("d" * levels) for one in found) == is_found
