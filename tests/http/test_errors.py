"""Every error class has an HTTP answer, and answers tell no secrets."""

from __future__ import annotations

import msgspec
import pytest
from aiohttp import web

from rmail_kernel import errors
from rmail_kernel.errors import RmailError
from rmail_kernel.http.errors import STATUS, known_error, status_of

SEEDS = {400, 401, 403, 404, 413, 429, 500}
BEYOND = {409, 501, 503}


def _classes(base: type[RmailError] = RmailError) -> set[type[RmailError]]:
    return {base}.union(*map(_classes, base.__subclasses__()))


def test_every_error_class_of_the_kernel_has_its_own_row() -> None:
    kernel = {kind for kind in _classes() if kind.__module__ == errors.__name__}
    assert len(kernel) > 12
    assert kernel == set(STATUS)


def test_every_status_is_a_documented_one() -> None:
    assert set(STATUS.values()) == SEEDS | BEYOND


def test_a_class_without_a_row_has_that_of_its_nearest_base() -> None:
    class Overdrawn(errors.QuotaExceeded):
        pass

    assert status_of(Overdrawn) == 413
    assert status_of(Overdrawn("no room")) == 413


@pytest.mark.parametrize(
    ("error", "status", "header"),
    [
        (errors.AuthFailed("Wrong"), 401, ("WWW-Authenticate", "Bearer")),
        (errors.LockedOut(retry_after_s=12.2), 429, ("Retry-After", "13")),
        (errors.RateLimited(retry_after_s=0.0), 429, ("Retry-After", "1")),
        (errors.Temporary("Later"), 503, ("Retry-After", "5")),
    ],
)
def test_some_errors_tell_the_client_what_to_do(
    error: RmailError, status: int, header: tuple[str, str]
) -> None:
    answer = known_error(error)
    assert answer.status == status
    assert answer.headers[header[0]] == header[1]


def test_fields_of_an_error_never_reach_the_client() -> None:
    answer = known_error(errors.NotFound("There is no such folder", event="secret", status=1))
    assert _body(answer) == {"error": "There is no such folder"}


def _body(answer: web.Response) -> dict[str, str]:
    assert isinstance(answer.body, bytes)
    return msgspec.json.decode(answer.body, type=dict[str, str])


@pytest.mark.parametrize("kind", [errors.Corrupt, errors.RmailError])
def test_errors_that_are_ours_say_only_an_id(kind: type[RmailError]) -> None:
    body = _body(known_error(kind("/var/mail/secret")))
    assert body["error"] == "Internal server error"
    assert set(body) == {"error", "id"}
