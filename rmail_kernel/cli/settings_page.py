"""The settings as a Markdown page, made from their declarations; docs/settings.md is its output."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from rmail_kernel.config import Section, Settings, model_in

_INTRODUCTION = """\
# Settings

Made by `rmail config docs`; do not edit.

All settings stand in one JSON file, `config.json` in the current folder unless `--config` names
another. Every key may be left out. Relative paths count from the folder of the file. A key that
does not exist, a key given twice or a value out of its range stops the start with one line that
names it, and `rmail config check` tells without starting. `rmail config show` prints what is in
force and where each value comes from.

An environment variable wins over the file: `RMAIL_HOSTNAME=mail.example.com`,
`RMAIL_SMTP__PORT=2525` (two underscores between section and key). Its value is read as JSON where
that fits the setting, as text otherwise; a list of words may be written with commas.

In the tables, a type of `integer or null` takes a number or `null`.
"""
_TYPES = {
    "string": "text",
    "integer": "integer",
    "number": "number",
    "boolean": "true or false",
    "null": "null",
    "array": "list",
    "object": "object",
}
_FORMATS = {"path": "path", "password": "secret text"}
_LIMITS = {
    "minimum": "≥",
    "exclusiveMinimum": ">",
    "maximum": "≤",
    "exclusiveMaximum": "<",
}


def render(sections: Mapping[str, type[Section]]) -> str:
    """The whole page.

    Args:
        sections: the settings models of plugins, by section name.
    """
    parts = [_INTRODUCTION, "\n## Top level\n", _table(Settings, "", only_plain=True)]
    own = {
        name: model
        for name, field in Settings.model_fields.items()
        if (model := model_in(field.annotation)) is not None
    }
    for name, model in {**own, **dict(sorted(sections.items()))}.items():
        origin = "" if name in own else "\nSection of a plugin.\n"
        parts.append(f"\n## `{name}`\n\n{_summary(model)}\n{origin}")
        parts.append(_table(model, f"{name}.", only_plain=False))
    return "\n".join(part.strip("\n") + "\n" for part in parts)


def _summary(model: type[BaseModel]) -> str:
    return " ".join((model.__doc__ or "").split("\n\n")[0].split())


def _table(model: type[BaseModel], prefix: str, *, only_plain: bool) -> str:
    rows = ["| key | type | default | unit | meaning |", "|---|---|---|---|---|"]
    rows += [_row(*entry) for entry in _fields(model, prefix, only_plain=only_plain)]
    return "\n".join(rows)


def _fields(
    model: type[BaseModel], prefix: str, *, only_plain: bool
) -> Iterator[tuple[str, FieldInfo, dict[str, Any]]]:
    schema = model.model_json_schema()
    for name, field in model.model_fields.items():
        inner = model_in(field.annotation)
        if only_plain and inner is not None:
            continue
        yield f"{prefix}{name}", field, {"$defs": schema.get("$defs"), **schema["properties"][name]}
        if inner is not None:
            yield from _fields(inner, f"{prefix}{name}.", only_plain=False)


def _row(path: str, field: FieldInfo, schema: dict[str, Any]) -> str:
    extra = field.json_schema_extra
    unit = str(extra["unit"]) if isinstance(extra, dict) and "unit" in extra else ""
    meaning = " ".join((field.description or "").split())
    cells = (f"`{path}`", _type(schema), _default(field), unit, meaning)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _type(schema: dict[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(_type(part) for part in schema["anyOf"])
    if "enum" in schema:
        return " or ".join(f"`{json.dumps(value)}`" for value in schema["enum"])
    if "$ref" in schema:
        return "object"
    if schema.get("format") in _FORMATS:
        return _FORMATS[schema["format"]]
    kind = _TYPES.get(schema.get("type", ""), "any value")
    if kind == "list" and "items" in schema:
        kind = f"list of {_type(schema['items'])}"
    limits = [f"{sign} {schema[key]:g}" for key, sign in _LIMITS.items() if key in schema]
    return " ".join([kind, ", ".join(limits)]).strip()


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is PydanticUndefined:
        return "required"
    if isinstance(value, SecretStr):
        return "`***`"
    if isinstance(value, BaseModel):
        return ""
    return f"`{json.dumps(value, default=str)}`"
