"""The settings of the section `relay`."""

from __future__ import annotations

from pathlib import Path

import pytest
from rmail_relay.config import RelaySettings, Smarthost

from rmail_kernel.errors import ConfigError
from rmail_kernel.testing import make_settings


def test_attempts_go_on_for_37_and_a_half_hours() -> None:
    assert sum(RelaySettings().pauses_s) == RelaySettings().max_age_s == 135_000


def test_a_smarthost_keeps_its_password_to_itself() -> None:
    smarthost = Smarthost.model_validate({"host": "smtp.test", "password": "pss"})
    assert smarthost.tls == "starttls"
    assert "pss" not in repr(smarthost)


@pytest.mark.parametrize(
    ("key", "value"),
    [("retry_schedule_s", []), ("retry_schedule_s", [-1]), ("max_age_s", 0), ("mx_port", 0)],
)
def test_nonsense_is_refused_by_name(tmp_path: Path, key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"relay.{key}"):
        make_settings(tmp_path, ["relay"], {"relay": {key: value}})
