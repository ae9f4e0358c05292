"""JSON bodies in and out: strict objects declared as msgspec structs, errors that name the field.

A foreign exception's text never reaches a client: what msgspec finds is put in our words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from aiohttp import web

from rmail_kernel.errors import Invalid

T = TypeVar("T")
_UNKNOWN = re.compile(r"Object contains unknown field `([^`]*)`")
_MISSING = re.compile(r"Object missing required field `([^`]*)`")
_EXPECTED = re.compile(r"Expected `([^`]*)`, got `([^`]*)`")
_PATH = re.compile(r" - at `\$\.?([^`]*)`")
_TYPES = {
    "str": "text",
    "int": "an integer",
    "bool": "true or false",
    "float": "a number",
    "array": "a list",
    "object": "an object",
    "bytes": "base64 text",
}
_MAX_NAME = 100
_DIGITS = re.compile(r"[0-9]{1,18}\Z")


class Body(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Base of request bodies: an object; unknown fields and wrong types are refused."""


def json_response(
    data: Any, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """An answer whose body is `data` as JSON in UTF-8."""
    return web.Response(
        body=msgspec.json.encode(data),
        status=status,
        headers=headers,
        content_type="application/json",
    )


async def read_json(request: web.Request, kind: type[T]) -> T:
    """The request's body as `kind` (a `Body`).

    Raises:
        Invalid: not JSON, not an object, an unknown or missing field, a wrong type; it names the
            field.
    """
    raw = await request.read()
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError as error:
        raise Invalid(_explain(str(error))) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid("Invalid JSON") from error


def query_int(request: web.Request, name: str, default: int, low: int, high: int) -> int:
    """An integer of the query string.

    Raises:
        Invalid: given twice, not an integer, or outside `low` to `high`; it names the parameter.
    """
    values = request.query.getall(name, [])
    if not values:
        return default
    text = values[0]
    if len(values) > 1 or not _DIGITS.match(text) or not low <= int(text) <= high:
        raise Invalid(f"{name}: must be an integer from {low} to {high}")
    return int(text)


def _explain(text: str) -> str:
    """What msgspec found, in our words: `name: what is wrong`."""
    at = _PATH.search(text)
    path = at[1] if at else ""
    if found := _UNKNOWN.search(text):
        return f"{_join(path, found[1])}: unknown field"
    if found := _MISSING.search(text):
        return f"{_join(path, found[1])}: is required"
    found = _EXPECTED.search(text)
    wanted = _TYPES.get(found[1].split(" | ")[0]) if found else None
    if "base64" in text:
        wanted = _TYPES["bytes"]
    if not path:
        return "The body must be a JSON object"
    return f"{path}: must be {wanted}" if wanted else f"{path}: has the wrong type"


def _join(path: str, name: str) -> str:
    name = name[:_MAX_NAME]
    return f"{path}.{name}" if path else name
