"""A map of a file answers like its bytes, across all windows."""

from __future__ import annotations

from pathlib import Path

import pytest

from rmail_kernel.mime import scan, summarise
from rmail_kernel.storage.filesystem.filemap import RESIDENT_BYTES, WINDOW_BYTES, FileMap

HEAD = b'Content-Type: multipart/mixed; boundary="edge"\r\n\r\n--edge\r\n\r\n'


def map_of(path: Path, raw: bytes) -> FileMap:
    """A map of a file with these bytes."""
    path.write_bytes(raw)
    with path.open("rb") as file:
        return FileMap(file.fileno())


@pytest.mark.parametrize("at", [0, WINDOW_BYTES - 3, WINDOW_BYTES - 1, WINDOW_BYTES, 3_000_000])
def test_what_lies_across_two_windows_is_found(tmp_path: Path, at: int) -> None:
    raw = bytearray(3 * WINDOW_BYTES)
    raw[at : at + 4] = b"edge"
    with map_of(tmp_path / "file", bytes(raw)) as found:
        for start, end in ((0, None), (at, None), (at + 1, None), (0, at + 3), (0, at + 4), (5, 9)):
            assert found.find(b"edge", start, end) == bytes(raw).find(b"edge", start, end)
        assert found.find(b"", 7) == 7
        assert found.find(b"\0", -1) == len(raw) - 1


@pytest.mark.parametrize("before", range(-8, 9))
def test_boundaries_at_the_edge_of_a_window_split_the_message(tmp_path: Path, before: int) -> None:
    text = b"x\r\n" * ((WINDOW_BYTES - len(HEAD)) // 3)
    raw = HEAD + text + b"y" * (before + 8) + b"\r\n--edge\r\n\r\nlast\r\n--edge--\r\n"
    with map_of(tmp_path / "file", raw) as found:
        assert scan(found) == scan(raw)


def test_pages_that_were_let_go_of_are_read_again(tmp_path: Path) -> None:
    part = b"--edge\r\nContent-Type: text/plain\r\n\r\n" + b"line\n" * 300_000
    raw = HEAD + part * (3 * RESIDENT_BYTES // len(part)) + b"--edge--\r\n"
    with map_of(tmp_path / "file", raw) as found:
        assert summarise(found) == summarise(raw)
        assert found[:] == raw
        assert found[5] == raw[5]
