"""/aliases: the regex rules of the caller's domain, listed by users, changed by administrators."""

from __future__ import annotations

from functools import partial

from aiohttp import web

from rmail_kernel.errors import Invalid
from rmail_kernel.http import PRINCIPAL, Access, Route, json_response, read_json
from rmail_kernel.http.payload import Body
from rmail_kernel.kernel import Kernel
from rmail_kernel.storage.accounts import Alias

PATH = "/aliases"


def routes(kernel: Kernel) -> list[Route]:
    """List, add and remove."""
    remove = partial(remove_alias, kernel)
    return [
        Route(
            "GET",
            PATH,
            partial(list_aliases, kernel),
            summary="List the alias rules of your domain.",
        ),
        Route(
            "POST",
            PATH,
            partial(add_alias, kernel),
            Access.ADMIN,
            summary="Add an alias rule to your domain.",
        ),
        Route("DELETE", PATH, remove, Access.ADMIN, summary="Remove an alias rule, named in JSON."),
        Route(
            "DELETE",
            PATH + "/{pattern:.+}",
            remove,
            Access.ADMIN,
            summary="Remove an alias rule, named in the URL.",
        ),
    ]


class NewAlias(Body):
    """A rule: addresses whose local part matches the pattern go to the target, or to each of the
    targets; one of both is given.
    """

    pattern: str
    target: str | None = None
    targets: list[str] | None = None

    def rule(self) -> Alias:
        """The rule. Invalid: not one of `target` and `targets`, or no target."""
        if (self.target is None) == (self.targets is None):
            raise Invalid("An alias has either target or targets")
        return Alias.to(
            self.pattern, [self.target] if self.target is not None else self.targets or ()
        )


class Pattern(Body):
    """The pattern of the rule to remove."""

    pattern: str


async def list_aliases(kernel: Kernel, request: web.Request) -> web.Response:
    """The rules in the order in which they apply."""
    rules = await kernel.directory.aliases(request[PRINCIPAL].address.domain)
    return json_response({"aliases": [_form(rule) for rule in rules]})


async def add_alias(kernel: Kernel, request: web.Request) -> web.Response:
    """Appends a rule.

    Raises:
        Invalid: a bad pattern or target. Conflict: the pattern has a rule.
    """
    body = await read_json(request, NewAlias)
    rule = body.rule()
    await kernel.directory.add_alias(request[PRINCIPAL].address.domain, rule)
    return json_response(_form(rule), 201)


async def remove_alias(kernel: Kernel, request: web.Request) -> web.Response:
    """Removes a rule by its pattern, from the URL or from the body.

    Raises:
        NotFound: no such rule.
    """
    pattern = request.match_info.get("pattern")
    if pattern is None:
        pattern = (await read_json(request, Pattern)).pattern
    await kernel.directory.remove_alias(request[PRINCIPAL].address.domain, pattern)
    return json_response({"deleted": pattern})


def _form(rule: Alias) -> dict[str, str | list[str]]:
    """`target` is always there; `targets` when there are several, `target` is the first then."""
    found: dict[str, str | list[str]] = {"pattern": rule.pattern, "target": rule.target}
    return found | ({"targets": list(rule.targets)} if rule.others else {})
