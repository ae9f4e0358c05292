"""Every error of the kernel has an SMTP reply."""

from __future__ import annotations

from rmail_smtp.errors import TABLE

from rmail_kernel import errors
from rmail_kernel.errors import RmailError


def test_each_class_of_the_tree_has_a_row_of_its_own() -> None:
    classes = {
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, RmailError)
    }
    assert set(TABLE) == classes


def test_code_and_status_agree() -> None:
    for code, status in TABLE.values():
        assert status.startswith(f"{code // 100}.")
