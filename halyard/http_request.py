"""What a request may say: what its route documents, each once, and a body in JSON.

A parameter that nobody reads, or the first of two members of one name, would be dropped without a
word, and its sender believe that it was heard. Names that are not known are not repeated: they are
the sender's own text.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, get_args, get_origin

from fastapi import Request
from fastapi.dependencies.utils import get_flat_params
from fastapi.params import Query
from fastapi.routing import APIRoute
from pydantic import BaseModel

from halyard.problems import HttpProblem
from halyard.wording import is_control

PARAMETER_UNKNOWN: Final = "http.parameter_unknown"
REPEATED: Final = "http.repeated"
NOT_JSON: Final = "http.not_json"
CONTROL: Final = "http.control_character"
_UNKNOWN: Final = "(a {} that is not known)"

Check = Callable[[Request], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Form:
    """What a route takes."""

    parameters: frozenset[str]
    lists: frozenset[str]  # parameters that may stand more than once
    json: bool  # whether it takes a body in JSON
    members: frozenset[str]  # of that body


def form_of(route: APIRoute) -> Form:
    """What `route` declares."""
    parameters = {
        field.alias: field.field_info.annotation
        for field in get_flat_params(route.dependant)
        if isinstance(field.field_info, Query)
    }
    body = None if route.body_field is None else route.body_field.field_info.annotation
    return Form(
        frozenset(parameters),
        frozenset(name for name, kind in parameters.items() if _is_list(kind)),
        route.body_field is not None,
        frozenset(_members(body)),
    )


def as_documented(exempt: Iterable[str], prefixes: tuple[str, ...]) -> Check:
    """A dependency of every route but the `exempt` paths and those below `prefixes` (which check by
    themselves, or must bear what they do not know). Raises `HttpProblem` 415, 422.
    """
    spared = frozenset(exempt)
    forms: dict[int, Form] = {}  # by the route, which lives as long as the application

    async def check(request: Request) -> None:
        path = request.scope["path"]
        if path in spared or path.startswith(prefixes):
            return
        route = request.scope["route"]
        form = forms.get(id(route))
        if form is None:
            form = forms[id(route)] = form_of(route)
        for name, value in request.path_params.items():
            _check_text(f"path.{name}", str(value))
        if request.scope["query_string"]:
            _check_query(request, form)
        if form.json and (body := await request.body()):
            _check_type(request)
            check_members(body, form.members)

    return check


def check_members(body: bytes, known: frozenset[str]) -> None:
    """Raises `HttpProblem` 422 if an object of the JSON text has a member twice. Of a text that is
    no JSON nothing is said.
    """
    twice: list[str | None] = []  # of each object, the outermost last

    def look(members: list[tuple[str, Any]]) -> None:
        seen: set[str] = set()
        found = None
        for name, _ in members:
            if name in seen:
                found = name
            seen.add(name)
        twice.append(found)

    try:
        json.loads(body, object_pairs_hook=look)
    except (ValueError, RecursionError):
        return  # whoever reads it next says so
    if not any(name is not None for name in twice):
        return
    name = twice[-1]
    if name is None:
        place = "body.(within)"
    else:
        place = f"body.{name if name in known else _UNKNOWN.format('field')}"
    raise HttpProblem(
        422,
        "A member stands twice",
        "Send each member of an object once: which of the two is meant nobody can say.",
        rule=REPEATED,
        place=place,
    )


def _check_query(request: Request, form: Form) -> None:
    seen: set[str] = set()
    for name, value in request.query_params.multi_items():
        if name not in form.parameters:
            taken = ", ".join(sorted(form.parameters)) or "none"
            raise HttpProblem(
                422,
                "A parameter is not known",
                f"It would change nothing, so leave it out. Parameters here: {taken}.",
                rule=PARAMETER_UNKNOWN,
                place=f"query.{_UNKNOWN.format('parameter')}",
            )
        if name in seen and name not in form.lists:
            raise HttpProblem(
                422,
                "A parameter stands twice",
                "Send it once: which of the two is meant nobody can say.",
                rule=REPEATED,
                place=f"query.{name}",
            )
        seen.add(name)
        _check_text(f"query.{name}", value)


def _check_text(place: str, value: str) -> None:
    if any(map(is_control, value)):
        raise HttpProblem(
            422,
            "A character that cannot be read",
            "Send the parameter without NUL, line breaks and other control characters.",
            rule=CONTROL,
            place=place,
        )


def _check_type(request: Request) -> None:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and not (
        kind.startswith("application/") and kind.endswith("+json")
    ):
        raise HttpProblem(
            415,
            "Not JSON",
            "Send the body as JSON, with Content-Type: application/json.",
            rule=NOT_JSON,
        )


def _members(body: Any) -> Iterable[str]:
    is_model = isinstance(body, type) and issubclass(body, BaseModel)
    return body.model_fields if is_model else ()


def _is_list(annotation: Any) -> bool:
    return any(get_origin(one) is list for one in (annotation, *get_args(annotation)))
