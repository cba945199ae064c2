"""The checked-in documents are those that the code makes; every route says enough of itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from halyard.cli.documents import asyncapi_document, openapi_document, text

REFERENCE = Path(__file__).parents[3] / "docs" / "reference"


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    """The OpenAPI document."""
    return openapi_document()


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every operation, with its name."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def test_openapi_is_what_the_routes_say(made: dict[str, Any]) -> None:
    """`halyard openapi > docs/reference/openapi.json` makes it so."""
    assert (REFERENCE / "openapi.json").read_text("utf-8") == text(made)


def test_asyncapi_is_what_the_bus_is() -> None:
    """`halyard asyncapi > docs/reference/asyncapi.json` makes it so."""
    assert (REFERENCE / "asyncapi.json").read_text("utf-8") == text(asyncapi_document())


def test_every_operation_describes_itself(made: dict[str, Any]) -> None:
    """Version 3.1; a summary, a tag, an id of its own, and a success whose content is described."""
    assert made["openapi"].startswith("3.1.")
    ids = [one["operationId"] for _, one in operations(made)]
    assert len(set(ids)) == len(ids)
    lacking = [
        name
        for name, one in operations(made)
        if not one.get("summary") or not one.get("tags") or not _success_described(one)
    ]
    assert lacking == []


def _success_described(operation: dict[str, Any]) -> bool:
    for status, answer in operation["responses"].items():
        if status in ("204", "303"):
            return True
        if status.startswith("2"):
            schemas = [one["schema"] for one in answer.get("content", {}).values()]
            return bool(schemas) and all("$ref" in one or one.get("description") for one in schemas)
    return False


def test_every_operation_that_is_not_open_needs_a_credential(made: dict[str, Any]) -> None:
    """401, 403, 429, 500 and 503 are documented wherever somebody must be let in."""
    for name, one in operations(made):
        if one["security"]:
            assert {"401", "403", "429", "500", "503"} <= set(one["responses"]), name


def test_what_takes_a_body_says_how_it_is_refused(made: dict[str, Any]) -> None:
    """Unreadable, stalled and too large."""
    for name, one in operations(made):
        if "requestBody" in one:
            assert {"400", "408", "413"} <= set(one["responses"]), name


def test_no_path_of_our_own_holds_a_number(made: dict[str, Any]) -> None:
    """No parameter is called after the NHS number, but on paths that NHS interfaces fix."""
    for name, one in operations(made):
        if "/patient-flags/" in name or "/cpis/" in name:
            continue
        called = {each["name"] for each in one.get("parameters", ())}
        assert not {one for one in called if "nhs" in one or "patient" in one}, name
