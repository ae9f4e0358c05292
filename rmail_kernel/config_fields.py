"""Finding the declaration of a setting by its path, reading a variable as its type wants it, and
telling in one line what is wrong with a value. Never shows a secret.
"""

from __future__ import annotations

import contextlib
import difflib
import json
from collections.abc import Mapping
from typing import Any, get_args

from pydantic import BaseModel, SecretStr, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from rmail_kernel.config_sources import Keys
from rmail_kernel.errors import ConfigError
from rmail_kernel.settings import Section, Settings


def field_at(keys: Keys, sections: Mapping[str, type[Section]]) -> FieldInfo | None:
    """The declaration of the setting at a path, or None."""
    model: type[BaseModel] | None = Settings
    if keys[0] in sections:
        model, keys = sections[keys[0]], keys[1:]
    field: FieldInfo | None = None
    for key in keys:
        field = model.model_fields.get(key) if model else None
        model = model_in(field.annotation) if field else None
    return field


def is_secret(field: FieldInfo | None) -> bool:
    """Whether the value of a setting must not be shown."""
    return field is not None and _mentions(field.annotation, SecretStr)


def explain(detail: ErrorDetails, model: type[Section], prefix: Keys) -> ConfigError:
    """One line for the first mistake; the value is shown unless it is long or secret."""
    location = [str(part) for part in detail["loc"]]
    path = ".".join([*prefix, *location])
    if detail["type"] == "extra_forbidden":
        return ConfigError(unknown(location[-1], _keys_at(model, location[:-1])), path=path)
    text = detail["msg"].removeprefix("Value error, ").removeprefix("Input ")
    value = detail["input"]
    is_object = detail["type"].startswith("model")  # text where an object with a secret belongs
    is_hidden = is_object or isinstance(value, dict | list) or _holds_secret(model, location)
    shown = "" if is_hidden else f", not {json.dumps(value, default=repr)[:80]}"
    return ConfigError(text + shown, path=path)


def _holds_secret(model: type[BaseModel], location: list[str]) -> bool:
    current: type[BaseModel] | None = model
    for key in location:
        field = current.model_fields.get(key) if current else None
        if is_secret(field) or "secret" in key or "password" in key:
            return True
        current = model_in(field.annotation) if field else current
    return False


def _keys_at(model: type[BaseModel], location: list[str]) -> list[str]:
    for key in location:
        field = model.model_fields.get(key)
        inner = model_in(field.annotation) if field else None
        if inner is None:
            return []
        model = inner
    return list(model.model_fields)


def model_in(annotation: Any) -> type[BaseModel] | None:
    """The first settings model in a type such as `Smarthost | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := model_in(part))), None)


def _mentions(annotation: Any, wanted: type) -> bool:
    return annotation is wanted or any(_mentions(part, wanted) for part in get_args(annotation))


def near(key: str, known: list[str]) -> str | None:
    """The known name that was probably meant."""
    return next(iter(difflib.get_close_matches(key, known, 1, 0.75)), None)


def unknown(key: str, known: list[str]) -> str:
    """What to say of a setting that there is not."""
    meant = near(key, known)
    return f"unknown setting; did you mean {meant!r}?" if meant else "unknown setting"


def read_variable(field: FieldInfo | None, raw: str) -> Any:
    """The first reading that fits the setting: JSON, text, words between commas. When none does,
    the text, so that validation can say what is wrong with it.
    """
    readings: list[Any] = [raw, raw.split(",")]
    with contextlib.suppress(ValueError, RecursionError):  # plain text, as most variables are
        readings.insert(0, json.loads(raw))
    if field is None or field.annotation is None:
        return readings[0]
    adapter: TypeAdapter[Any] = TypeAdapter(field.annotation)
    for reading in readings:
        try:
            adapter.validate_json(json.dumps(reading), strict=True)
        except ValidationError:
            continue
        return reading
    return readings[0]
