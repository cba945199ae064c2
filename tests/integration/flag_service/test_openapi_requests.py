"""Requests made from the OpenAPI document, good and bad: every answer is one that it documents.

schemathesis draws the requests; they go over real HTTP to the face on a real bus and database, with
the tokens of several organisations and with none. No answer may be a 5xx.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from typing import Any, Final

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed
from hypothesis import settings as drawn
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from flag_service.live import Pace
from halyard.cli.documents import openapi_document
from halyard.clock import system_clock
from halyard.postgres import transaction
from stores import uploads
from stores.directory import Credential
from stores.uploads import Line
from tests.support.alerts import alert, save
from tests.support.face import INFIRMARY, NORTH, STRANGER, Hub, bearer, directory, hub, settings
from tests.support.services import Database

CHECKS: Final = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
PEOPLE: Final = {
    "reviewer": (INFIRMARY, ("auditor", "caldicott-guardian", "operator")),
    "nurse": (INFIRMARY, ("clinician", "safeguarding-nurse")),
    "worker": (NORTH, ("social-worker", "caldicott-guardian")),
}
"""Practice tokens of people, with their roles."""
CALLERS: Final[Sequence[dict[str, str]]] = (
    *(bearer(organisation) for organisation in (INFIRMARY, NORTH, STRANGER)),
    *({"Authorization": f"Bearer {token}"} for token in (*PEOPLE, "nobody")),
    {},
)
# Live lists end by themselves, so that each request does
SHORT: Final = Pace(poll=0.01, rest=0.01, longest=0.02)


@pytest.fixture
async def face(kafka_bootstrap: str, namespace: str, database: Database) -> AsyncIterator[Hub]:
    """The whole face; North has just sent a file, so that look-ups can be answered."""
    made = settings(bootstrap=kafka_bootstrap, namespace=namespace, database_url=database.url)
    people = tuple(
        Credential(organisation=code, sha256=sha256(token.encode()).hexdigest(), roles=roles)
        for token, (code, roles) in PEOPLE.items()
    )
    known = directory()
    known = replace(known, credentials=(*known.credentials, *people))
    async with hub(made, pace=SHORT, known=known) as running:
        line = Line(uuid.uuid4(), 1, uuid.uuid4(), NORTH, 1, system_clock() - timedelta(hours=1))
        async with transaction(running.pool) as connection:
            await uploads.register(connection, [line], [])
        await save(running.pool, alert(1), alert(2))
        yield running


def document() -> dict[str, Any]:
    """The document; of alerts it asks for two that are there, so that something happens."""
    made = openapi_document()
    for path, operations in made["paths"].items():
        if "{alert_id}" in path:
            for operation in operations.values():
                for one in operation["parameters"]:
                    if one["name"] == "alert_id":
                        one["schema"]["enum"] = [str(uuid.UUID(int=number)) for number in (1, 2)]
    return made


def wrong_answers(url: str, described: dict[str, Any], examples: int) -> list[str]:
    """What went wrong with so many requests of each kind to each operation of the document."""
    wrong = []
    for result in schemathesis.openapi.from_dict(described).get_all_operations():
        assert isinstance(result, Ok)
        operation = result.ok()
        for mode in GenerationMode:
            try:
                _requests(url, operation, mode, examples)
            except Unsatisfiable:
                # where nothing can be sent, nothing wrong can
                assert mode is GenerationMode.NEGATIVE, operation.label
            except FailureGroup as failures:
                told = "; ".join(str(one) for one in failures.exceptions)
                wrong.append(f"{operation.label} ({mode.value}): {told}")
    return wrong


def _requests(url: str, operation: Any, mode: GenerationMode, examples: int) -> None:
    @seed(20_260_310)
    @drawn(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode), headers=st.sampled_from(CALLERS))
    def one(case: Any, headers: dict[str, str]) -> None:
        answer = case.call(base_url=url, headers=headers, timeout=30)
        case.validate_response(answer, checks=CHECKS)

    one()


async def test_no_request_is_answered_in_an_undocumented_way(face: Hub) -> None:
    """A few requests of each kind to every route, the same each time: no 5xx, none undocumented."""
    assert await asyncio.to_thread(wrong_answers, face.url, document(), 3) == []


async def test_an_answer_that_is_not_documented_is_found(face: Hub) -> None:
    """The checks bite: without its 403, 401 and 422 a route is reported."""
    described = openapi_document()
    worklist = described["paths"]["/worklist"]
    for status in ("401", "403", "422"):
        del worklist["get"]["responses"][status]
    found = await asyncio.to_thread(
        wrong_answers, face.url, {**described, "paths": {"/worklist": worklist}}, 10
    )
    assert any("Undocumented status code" in one for one in found)


@pytest.mark.slow
@pytest.mark.timeout(1_200)
async def test_no_request_of_many_is_answered_in_an_undocumented_way(face: Hub) -> None:
    """The same with many."""
    assert await asyncio.to_thread(wrong_answers, face.url, document(), 40) == []
