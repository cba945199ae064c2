"""The matrix at work: whether a caller may use a route at all, decided before its body is read."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from starlette.routing import BaseRoute, Route
from starlette.types import Scope

from flag_service import matrix
from flag_service.door import use_unknown
from flag_service.matrix import MATRIX, Line
from flag_service.refusals import Refusals
from halyard.caller import Caller
from halyard.errors import ConfigurationError
from halyard.problems import HttpProblem
from stores.credentials import Kind

RULE: Final = "access.role_not_allowed"
PEOPLE_RULE: Final = "access.people_only"
SESSION_RULE: Final = "session.use_post"
ORGANISATION_RULE: Final = "flags.not_allowed"


@dataclass(slots=True)
class Authorising:
    """The hook `authorise` of the edge. It refuses everybody until it knows the routes (`bind`).

    `kinds_of` says what an organisation is (`Directory.kinds_of`); without it none is anything.
    """

    table: Sequence[Line] = MATRIX
    refusals: Refusals | None = None
    kinds_of: Callable[[str], Collection[Kind]] = lambda _organisation: ()
    _routes: Sequence[tuple[Route, dict[str, Line]]] = ()

    def bind(self, routes: Iterable[BaseRoute]) -> None:
        """Take the application's routes, in its order. Raises `ConfigurationError` for one that has
        no line, and for a table that contradicts itself.
        """
        table = checked(self.table)
        known: list[tuple[Route, dict[str, Line]]] = []
        for route in flat(routes):
            methods = methods_of(route)
            if lacking := [one for one in methods if (one, route.path) not in table]:
                raise ConfigurationError(
                    f"{', '.join(lacking)} {route.path} has no line in the authorisation matrix; "
                    "add one in flag_service/matrix.py."
                )
            known.append((route, {one: table[one, route.path] for one in methods}))
        self._routes = known

    def __call__(self, scope: Scope, caller: Caller | None) -> HttpProblem | None:
        """Why the caller may not use the route, or None. A path that no route has is answered here
        too, as the router would: what is not in the table goes no further.
        """
        found = self._find(scope["method"], scope["path"])
        if not isinstance(found, Line):
            return found
        refused = refusal_of(found, caller, self.kinds_of)
        if refused is not None and caller is not None and self.refusals is not None:
            line = f"{found.method} {found.route}"
            self.refusals.note(caller, line, refused.rule, scope["state"])
        if refused is None and caller is not None and caller.unchecked and not _harmless(found):
            return use_unknown()
        return refused

    def _find(self, method: str, path: str) -> Line | HttpProblem:
        """The line of the route that the router will take: the first that has path and method."""
        asked = "GET" if method == "HEAD" else method
        there = False
        for route, lines in self._routes:
            if route.path == path or route.path_regex.match(path):
                there = True
                if method in (route.methods or ()):
                    return lines[asked]
        status = HTTPStatus.METHOD_NOT_ALLOWED if there else HTTPStatus.NOT_FOUND
        return HttpProblem(
            status,
            status.phrase,
            status.description,
            rule=f"http.{status.phrase.lower().replace(' ', '_')}",
        )


def refusal_of(
    line: Line, caller: Caller | None, kinds_of: Callable[[str], Collection[Kind]]
) -> HttpProblem | None:
    """Why a caller may not use the route of `line`, or None. Pure; `kinds_of` says what an
    organisation is.
    """
    if line.who == matrix.ANYBODY:
        return None
    if caller is None or not line.admits(caller.roles):
        return HttpProblem(
            403,
            "None of your roles may do this",
            "GET /me tells your roles and what they may do; ask your organisation's administrator.",
            rule=RULE,
        )
    if line.people and not caller.person:
        return HttpProblem(
            403,
            "A person decides this",
            "Log in as a person; a system's credential opens this in no role.",
            rule=PEOPLE_RULE,
        )
    if line.organisations is not None and line.organisations.isdisjoint(
        kinds_of(caller.organisation)
    ):
        return HttpProblem(
            403,
            "Only hospitals and local authorities may ask",
            "Use the token of an organisation that the hub's directory names as one.",
            rule=ORGANISATION_RULE,
        )
    # a link of another site brings the cookie (Lax); a change needs more than that
    by_link = line.method == "GET" and line.scope is matrix.Scope.PERSON
    if by_link and caller.credential == "session":
        return HttpProblem(
            403,
            "Nobody is looked up by a link",
            "From a browser send POST …/_search or /flags/query with the X-CSRF-Token.",
            rule=SESSION_RULE,
        )
    return None


def _harmless(line: Line) -> bool:
    """Whether a token that may have been used before may do it again: hand in, which goes on
    without a database, or what concerns nobody's rows.
    """
    return line.right is matrix.Right.SEND or line.scope is matrix.Scope.NOBODY


def flat(routes: Iterable[BaseRoute]) -> Iterator[Route]:
    """The routes, with those of included routers in their places. Raises `ConfigurationError` for
    what is neither: the matrix could not tell what stands behind it.
    """
    for route in routes:
        if isinstance(route, Route):
            yield route
            continue
        included = getattr(route, "original_router", None)
        context = getattr(route, "include_context", None)
        if included is None or context is None or context.prefix:
            raise ConfigurationError(
                f"A {type(route).__name__} among the routes cannot be authorised; mount nothing, "
                "and give a router's prefix to APIRouter itself."
            )
        yield from flat(included.routes)


def methods_of(route: Route) -> list[str]:
    """The methods that need a line; HEAD goes by GET's."""
    methods = set(route.methods or ())
    if "HEAD" in methods:
        methods = methods - {"HEAD"} | {"GET"}
    return sorted(methods)


def checked(table: Iterable[Line]) -> dict[tuple[str, str], Line]:
    """The table by method and route. Raises `ConfigurationError` for two lines of one route, and
    for one that gives a role what is not the role's.
    """
    found: dict[tuple[str, str], Line] = {}
    for line in table:
        place = f"{line.method} {line.route}"
        if (line.method, line.route) in found:
            raise ConfigurationError(f"{place} has two lines in the authorisation matrix.")
        found[line.method, line.route] = line
        if isinstance(line.who, str):
            if line.scope is not matrix.Scope.NOBODY:
                raise ConfigurationError(f"{place}: what roles do not guard shows nobody's rows.")
            if line.who == matrix.ANYBODY and "{" in line.route:
                raise ConfigurationError(f"{place}: an open path has no parameters.")
            continue
        for role in sorted(line.who):
            if line.right not in matrix.RIGHTS[role]:
                raise ConfigurationError(
                    f"{place} gives {role} the right to {line.right}, which is not the role's; "
                    "see RIGHTS in flag_service/matrix.py."
                )
            if line.scope is matrix.Scope.PERSON and role not in matrix.MAY_ASK_OF_A_PERSON:
                raise ConfigurationError(
                    f"{place} lets {role} ask of a person; no role but "
                    "those of MAY_ASK_OF_A_PERSON may."
                )
        if line.scope is matrix.Scope.PERSON and line.purpose is None:
            raise ConfigurationError(f"{place}: who asks about somebody says what for.")
        if line.scope is matrix.Scope.PERSON and line.organisations is None:
            raise ConfigurationError(f"{place}: say which organisations may ask about somebody.")
    return found
