"""CapabilityStatements and OpenAPI of the FHIR look-ups say what runs, and nothing else."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from fhir.resources.R4B.capabilitystatement import CapabilityStatement

from flag_service.capability import FACES, Face, statement
from halyard.cli.documents import openapi_document

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize("face", FACES, ids=lambda face: str(face.name))
def test_a_statement_lists_exactly_the_routes_that_run(face: Face) -> None:
    """Each search of the statement is a GET and a POST _search; each route is one of them."""
    told = statement(face, NOW)
    CapabilityStatement.model_validate_json(json.dumps(told))
    (rest,) = told["rest"]
    assert [one["type"] for one in rest["resource"]] == [one.resource for one in face.searches]
    stated = {("get", face.metadata)}
    for resource, search in zip(rest["resource"], face.searches, strict=True):
        assert resource["interaction"] == [{"code": "search-type"}]
        assert f"GET {search.path} or POST {search.path}/_search" in resource["documentation"]
        stated |= {("get", face.get_path(search)), ("post", face.post_path(search))}
    running = {
        (method, path)
        for path, operations in openapi_document()["paths"].items()
        if path.startswith(face.base)
        for method in operations
    }
    assert running == stated


@pytest.mark.parametrize("face", FACES, ids=lambda face: str(face.name))
def test_the_parameters_of_a_statement_are_those_of_the_routes(face: Face) -> None:
    """By GET in the URL, by POST in the form."""
    paths = openapi_document()["paths"]
    for search in face.searches:
        wanted = [one.sent for one in search.parameters]
        in_url = [
            one["name"]
            for one in paths[face.get_path(search)]["get"]["parameters"]
            if one["in"] == "query"
        ]
        (form,) = paths[face.post_path(search)]["post"]["requestBody"]["content"].values()
        assert in_url == wanted
        assert list(form["schema"]["properties"]) == wanted


@pytest.mark.parametrize("face", FACES, ids=lambda face: str(face.name))
def test_no_conformance_is_claimed(face: Face) -> None:
    """A statement names no profile or guide that it would conform to."""
    told = json.dumps(statement(face, NOW))
    assert "No conformance with an NHS interface is claimed" in told
    assert not {"profile", "instantiates", "implementationGuide"} & set(told.split('"'))
