"""docs/api.md against the routes, and what `--plugins api` offers."""

from __future__ import annotations

import re
from pathlib import Path

from rmail_api.resources import routes

from rmail_kernel.testing import RunningServer

PAGE = Path(__file__).parents[3] / "docs" / "api.md"
SEEDS = """
POST /auth/login
GET /folders
GET /folders/{folder}/messages
POST /folders/{folder}/messages
GET /folders/{folder}/messages/{uid}
DELETE /folders/{folder}/messages/{uid}
PATCH /folders/{folder}/messages/{uid}/flags
POST /messages/send
GET /aliases
POST /aliases
DELETE /aliases
DELETE /aliases/{pattern}
GET /admin/users
POST /admin/users
GET /admin/users/{username}
PATCH /admin/users/{username}
DELETE /admin/users/{username}
PUT /admin/users/{username}/password
GET /.well-known/autoconfig/mail/config-v1.1.xml
POST /autodiscover/autodiscover.xml
"""


def _mounted(server: RunningServer) -> set[str]:
    return {
        f"{route.method} {re.sub(r':[^}]*', '', route.path)}" for route in routes(server.kernel)
    }


async def test_every_promised_route_is_mounted(rmail_server: RunningServer) -> None:
    assert set(SEEDS.strip().splitlines()) <= _mounted(rmail_server)


async def test_the_reference_has_every_route_with_an_example(rmail_server: RunningServer) -> None:
    sections = re.split(r"^### `", PAGE.read_text("utf-8"), flags=re.M)[1:]
    documented = {section.partition("`")[0]: section for section in sections}
    assert set(documented) == _mounted(rmail_server)
    for name, section in documented.items():
        assert "```sh\ncurl " in section, f"no example for {name}"


async def test_every_route_has_a_summary(rmail_server: RunningServer) -> None:
    assert all(route.summary.endswith(".") for route in routes(rmail_server.kernel))


async def test_the_api_alone_serves_http_and_nothing_else(rmail_server: RunningServer) -> None:
    assert set(rmail_server.ports) == {"http", "https"}
