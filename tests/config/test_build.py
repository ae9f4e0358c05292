"""Every setting is checked; the error names its path and never shows a secret."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import Field, SecretStr

from rmail_kernel import config
from rmail_kernel.config import Port, Section
from rmail_kernel.errors import ConfigError

SECRET = "x" * 31 + "Q"


class Smarthost(Section):
    """Where mail goes."""

    host: str
    """Name."""
    password: SecretStr | None = None
    """Secret."""


class Post(Section):
    """A plugin's section."""

    port: Port | None = 25
    """A port."""
    motto: str = ""
    """Any text."""
    smarthost: Smarthost | None = None
    """Nested."""
    pin: SecretStr | None = None
    """A secret whose name does not say so."""
    names: list[str] = Field([])
    """Words."""
    pause_s: float = Field(1.0, ge=0)
    """Seconds."""


SECTIONS: dict[str, type[Section]] = {"post": Post}


def build(data: dict[str, Any] | None = None, **environ: str) -> config.Settings:
    return config.build(data or {}, SECTIONS, environ=environ)


def post(data: dict[str, Any] | None = None, **environ: str) -> Post:
    return build(data, **environ).section("post", Post)


def refusal(data: dict[str, Any] | None = None, **environ: str) -> str:
    with pytest.raises(ConfigError) as caught:
        build(data, **environ)
    assert "\n" not in caught.value.safe
    assert caught.value.safe.startswith(caught.value.path)
    return caught.value.safe


def test_everything_has_a_default() -> None:
    settings = build()
    assert settings.http.port == 9002
    assert settings.section("post", Post).port == 25
    assert settings.warnings == []


def test_an_unknown_key_is_refused_with_a_near_match() -> None:
    assert refusal({"hostnam": "x"}) == "hostnam: unknown setting; did you mean 'hostname'?"
    assert refusal({"http": {"prot": 1}}) == "http.prot: unknown setting; did you mean 'port'?"
    assert refusal({"post": {"moto": ""}}) == "post.moto: unknown setting; did you mean 'motto'?"
    assert refusal({"pots": {}}) == "pots: unknown setting; did you mean 'post'?"
    nested = {"post": {"smarthost": {"host": "a", "pasword": "b"}}}
    assert "did you mean 'password'?" in refusal(nested)


def test_an_unknown_key_without_a_near_match_is_refused_too() -> None:
    assert refusal({"zzz": 1}) == "zzz: unknown setting"


def test_a_section_nobody_claims_is_a_warning() -> None:
    settings = build({"spamfilter": {"level": 5}})
    assert settings.warnings == ["section 'spamfilter' belongs to no installed plugin"]


@pytest.mark.parametrize("port", [70000, -1, "x", "25", 2.5, True, [25]])
def test_a_bad_port_is_refused_with_its_path(port: object) -> None:
    assert refusal({"post": {"port": port}}).startswith("post.port: should be ")


@pytest.mark.parametrize("port", [0, 65535, None])
def test_the_ends_of_the_port_range_and_null_are_taken(port: int | None) -> None:
    assert post({"post": {"port": port}}).port == port


def test_a_wrong_value_is_shown() -> None:
    assert refusal({"post": {"port": 70000}}).endswith("less than or equal to 65535, not 70000")


def test_numbers_must_be_finite() -> None:
    assert refusal({"post": {"pause_s": float("inf")}}).startswith("post.pause_s: should be a fin")


def test_a_null_section_is_refused() -> None:
    assert refusal({"post": None}).startswith("post: should be")


@pytest.mark.parametrize(
    ("data", "path"),
    [
        ({"domains": ["exa mple"]}, "domains.0"),
        ({"hostname": "a\r\nb"}, "hostname"),
        ({"rate_limit": {"whitelist": ["10.0.0.0/8", "ten"]}}, "rate_limit.whitelist.1"),
        ({"http": {"base_url": "mail.example.com"}}, "http.base_url"),
        ({"tls": {"cert_file": "a.pem"}}, "tls.cert_file"),
        ({"log": {"level": "loud"}}, "log.level"),
        ({"auth": {"bcrypt_cost": 3}}, "auth.bcrypt_cost"),
        ({"workers": -1}, "workers"),
    ],
)
def test_values_out_of_their_range_are_refused(data: dict[str, Any], path: str) -> None:
    assert refusal(data).startswith(f"{path}: ")


def test_domains_become_lower_case_a_labels() -> None:
    assert build({"domains": ["Bücher.example", "EXAMPLE.com"]}).domains == [
        "xn--bcher-kva.example",
        "example.com",
    ]


def test_relative_paths_count_from_the_folder_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(
        '{"mail_root": "store", "tls": {"cert_file": "c.pem", "key_file": "/k.pem"}}'
    )
    settings = config.load(tmp_path / "config.json", SECTIONS, environ={})
    assert settings.mail_root == tmp_path / "store"
    assert settings.tls.cert_file == tmp_path / "c.pem"
    assert settings.tls.key_file == Path("/k.pem")


def test_a_section_that_no_plugin_declared_is_an_error() -> None:
    with pytest.raises(ConfigError, match="other: no such section"):
        build().section("other", Post)


def test_variables_win_over_the_file() -> None:
    file = {"post": {"port": 1, "motto": "kept"}}
    found = post(file, RMAIL_POST__PORT="2526")
    assert (found.port, found.motto) == (2526, "kept")
    assert build(RMAIL_HOSTNAME="mail.example.com").hostname == "mail.example.com"


def test_a_bad_variable_names_the_path() -> None:
    assert refusal(RMAIL_POST__PORT="abc").startswith("post.port: should be")
    assert refusal(RMAIL_POST__PROT="1").startswith("post.prot: unknown setting; did you mean")


def test_a_variable_takes_the_reading_that_fits_the_setting() -> None:
    assert post(RMAIL_POST__MOTTO="12345").motto == "12345"
    assert post(RMAIL_POST__MOTTO="true").motto == "true"
    assert post(RMAIL_POST__PORT="null").port is None
    assert post(RMAIL_POST__NAMES="a,b").names == ["a", "b"]
    assert post(RMAIL_POST__NAMES='["a,b"]').names == ["a,b"]
    pin = post(RMAIL_POST__PIN="0123").pin
    assert pin is not None
    assert pin.get_secret_value() == "0123"


def test_a_variable_reaches_below_a_section_that_is_null_in_the_file() -> None:
    found = post({"post": {"smarthost": None}}, RMAIL_POST__SMARTHOST__HOST="relay")
    assert found.smarthost is not None
    assert found.smarthost.host == "relay"


def test_a_variable_below_a_plain_value_is_refused() -> None:
    assert refusal(RMAIL_WORKERS__X="1", RMAIL_WORKERS="2").startswith("workers.x: RMAIL_WORKERS")


def test_variables_of_other_programs_are_left_alone() -> None:
    assert build(RMAIL_INTERNAL_FD="3", RMAIL_="x", RMAILX="y", HOME="/").workers is None


@pytest.mark.parametrize(
    "data",
    [
        {"exchange_api": {"token_secret": SECRET[:31]}},
        {"exchange_api": {"token_secret": [SECRET]}},
        {"post": {"pin": [SECRET]}},
        {"post": {"pin": {"x": SECRET}}},
        {"post": {"smarthost": {"host": "a", "password": [SECRET]}}},
        {"post": {"smarthost": SECRET}},
        {"post": {"smarthost": {"password": SECRET}}},
    ],
)
def test_no_error_shows_a_secret(data: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        build(data)
    assert SECRET[:20] not in repr(caught.value)
    assert caught.value.__cause__ is None


def test_a_refused_secret_from_the_environment_is_not_shown() -> None:
    assert "hunter2" not in refusal(RMAIL_EXCHANGE_API__TOKEN_SECRET="hunter2")


def test_settings_do_not_print_secrets() -> None:
    settings = build({"exchange_api": {"token_secret": SECRET}, "post": {"pin": SECRET}})
    assert SECRET not in repr(settings) + str(settings) + repr(settings.section_models)
    assert SECRET not in settings.model_dump_json()
