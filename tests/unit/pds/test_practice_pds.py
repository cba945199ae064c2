"""The practice PDS keeps the real API's shapes and rules."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx
import pytest
from fhir.resources.R4B.bundle import Bundle
from fhir.resources.R4B.operationoutcome import OperationOutcome
from fhir.resources.R4B.patient import Patient
from hypothesis import given
from hypothesis import strategies as st

from sandbox.pds.app import BASE_PATH, PracticePds, create_app
from sandbox.pds.matching import BadSearch, find, read_search, soundex
from sandbox.pds.people import Person, Register, load_people
from sandbox.pds.settings import PdsSandboxSettings
from sandbox.samples.cast import CAST, PEOPLE_FILE
from tests.support.waiting import aeventually

TOKEN = "practice-token"
NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
ROBIN = {"family": "Testchild", "given": "Robin", "birthdate": "eq2017-03-14"}


class Api:
    """A client of the application, without a network."""

    def __init__(self, settings: PdsSandboxSettings) -> None:
        self.time = 0.0
        app = create_app(
            load_people(PEOPLE_FILE), settings, now=lambda: NOW, monotonic=lambda: self.time
        )
        self.pds: PracticePds = app.state.pds
        self.http = httpx.AsyncClient(
            transport=httpx.ASGITransport(app=app), base_url="http://pds.test"
        )

    async def get(
        self, path: str, *, request_id: str | None = None, **options: Any
    ) -> httpx.Response:
        """A GET with the headers that are wanted."""
        headers = {
            "Authorization": f"Bearer {TOKEN}",
            "X-Request-ID": request_id or str(uuid4()),
            **options.pop("headers", {}),
        }
        headers = {name: value for name, value in headers.items() if value}
        return await self.http.get(f"{BASE_PATH}{path}", headers=headers, **options)

    async def search(self, **parameters: str) -> httpx.Response:
        """A search; ``_`` in a name stands for ``-``, except at its beginning."""
        named = {name[0] + name[1:].replace("_", "-"): text for name, text in parameters.items()}
        return await self.get("/Patient", params=named)


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    """A practice PDS with the samples' people."""
    api = Api(PdsSandboxSettings())
    yield api
    await api.http.aclose()


def code(response: httpx.Response) -> tuple[int, str]:
    """HTTP status and Spine code; the body must be a valid OperationOutcome."""
    OperationOutcome.model_validate(response.json())
    return response.status_code, response.json()["issue"][0]["details"]["coding"][0]["code"]


async def test_retrieval(api: Api) -> None:
    """A record is valid FHIR, with the version as its ETag and the request ids mirrored."""
    request_id = str(uuid4())
    response = await api.get(
        "/Patient/9990001014", request_id=request_id, headers={"X-Correlation-ID": "mine"}
    )
    assert response.status_code == 200
    Patient.model_validate(response.json())
    assert response.headers["etag"] == 'W/"1"'
    assert response.headers["content-type"] == "application/fhir+json"
    assert response.headers["x-request-id"] == request_id
    assert response.headers["x-correlation-id"] == "mine"
    assert "x-sandbox-outcome" not in response.headers


async def test_every_sample_is_valid_fhir(api: Api) -> None:
    """Whatever the samples hold, what comes out is a FHIR Patient or a FHIR OperationOutcome."""
    for person in load_people(PEOPLE_FILE):
        response = await api.get(f"/Patient/{person.nhs_number}")
        if response.status_code == 200:
            Patient.model_validate(response.json())
        else:
            assert code(response) == (404, "INVALIDATED_RESOURCE")


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        ("9990001015", (400, "INVALID_RESOURCE_ID")),
        ("123", (400, "INVALID_RESOURCE_ID")),
        ("９９９0001014", (400, "INVALID_RESOURCE_ID")),
        ("9990001103", (404, "RESOURCE_NOT_FOUND")),
        ("9990001081", (404, "INVALIDATED_RESOURCE")),
    ],
)
async def test_numbers_without_a_record(api: Api, number: str, expected: tuple[int, str]) -> None:
    """Wrong, unknown and invalidated numbers; the two 404s differ in their code alone."""
    response = await api.get(f"/Patient/{number}")
    assert code(response) == expected
    assert "diagnostics" not in response.json()["issue"][0]


async def test_superseded_answers_with_the_last_successor(api: Api) -> None:
    """A merged number, and a chain of them, give 200 with the successor's id."""
    for number in ("9990001073", "9990001111"):
        response = await api.get(f"/Patient/{number}")
        assert (response.status_code, response.json()["id"]) == (200, "9990001065")


async def test_restricted_record_says_nothing_of_the_place(api: Api) -> None:
    """A restricted record is marked R, and has neither address nor practice nor contacts."""
    body = (await api.get("/Patient/9990001057")).json()
    assert body["meta"]["security"][0]["code"] == "R"
    assert body["name"]
    assert not {"address", "telecom", "generalPractitioner", "contact"} & body.keys()


async def test_credentials(api: Api) -> None:
    """No token, or another one: 401 ACCESS_DENIED, each with its diagnostics."""
    for header, expected in (
        ("", "Missing access token"),
        ("Bearer other", "Invalid Access Token"),
    ):
        response = await api.get("/Patient/9990001014", headers={"Authorization": header})
        assert code(response) == (401, "ACCESS_DENIED")
        assert response.json()["issue"][0]["diagnostics"] == expected


async def test_request_id_is_mandatory(api: Api) -> None:
    """Without X-Request-ID: MISSING_VALUE; one that is no UUID: INVALID_VALUE."""
    missing = await api.get("/Patient/9990001014", headers={"X-Request-ID": ""})
    assert code(missing) == (400, "MISSING_VALUE")
    assert code(await api.get("/Patient/9990001014", request_id="1")) == (400, "INVALID_VALUE")


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, (400, "UNSUPPORTED_SERVICE")),
        ({"family": "Testchild"}, (400, "MISSING_VALUE")),
        ({"birthdate": "2017-03-14"}, (400, "INVALID_SEARCH_DATA")),
        ({**ROBIN, "birthdate": "2017-3-14"}, (400, "INVALID_VALUE")),
        ({**ROBIN, "birthdate": "2017-02-29"}, (400, "INVALID_VALUE")),
        ({**ROBIN, "family": "T*"}, (400, "INVALID_SEARCH_DATA")),
        ({**ROBIN, "family": "x" * 36}, (400, "INVALID_VALUE")),
        ({**ROBIN, "gender": "boy"}, (400, "INVALID_VALUE")),
        ({**ROBIN, "surname": "x"}, (400, "ADDITIONAL_PROPERTIES")),
        ({**ROBIN, "_max-results": "2"}, (403, "INVALID_VALUE")),
        ({**ROBIN, "_max-results": "none"}, (400, "INVALID_VALUE")),
        ({**ROBIN, "_fuzzy-match": "yes"}, (400, "INVALID_VALUE")),
        ({**ROBIN, "_fuzzy-match": "true", "given": "Rob*"}, (400, "INVALID_SEARCH_DATA")),
        ({"family": "Testchild", "birthdate": "2017-03-14", "_fuzzy-match": "true"},
         (400, "INVALID_SEARCH_DATA")),
        ({**ROBIN, "address-postcode": "ZZ1 1AA", "address-postalcode": "ZZ1 1AA"},
         (400, "INVALID_SEARCH_DATA")),
    ],
)  # fmt: skip
async def test_searches_that_break_a_rule(
    api: Api, parameters: dict[str, str], expected: tuple[int, str]
) -> None:
    """Each rule of a search has its row of the error table."""
    assert code(await api.get("/Patient", params=parameters)) == expected


async def test_writing_is_not_for_applications(api: Api) -> None:
    """PATCH and POST: 403 INVALID_METHOD, as in restricted mode."""
    headers = {"Authorization": f"Bearer {TOKEN}", "X-Request-ID": str(uuid4())}
    patched = await api.http.patch(f"{BASE_PATH}/Patient/9990001014", headers=headers)
    posted = await api.http.post(f"{BASE_PATH}/Patient", headers=headers)
    assert code(patched) == code(posted) == (403, "INVALID_METHOD")


async def test_search_finds_one(api: Api) -> None:
    """One match: a valid Bundle with score 1; a wildcard or a sound-alike has less."""
    response = await api.search(**ROBIN)
    Bundle.model_validate(response.json())
    assert response.json()["entry"][0]["search"]["score"] == 1
    wild = await api.search(**{**ROBIN, "given": "Rob*"})
    assert 0.8 < wild.json()["entry"][0]["search"]["score"] < 1
    fuzzy = await api.search(
        **{**ROBIN, "given": "Robyn", "family": "Testchyld"}, _fuzzy_match="true"
    )
    assert 0.7 < fuzzy.json()["entry"][0]["search"]["score"] < 1
    turned = await api.search(
        family="Robin", given="Testchild", birthdate="2017-03-14", _fuzzy_match="true"
    )
    assert turned.json()["total"] == 1


async def test_search_finds_none(api: Api) -> None:
    """No match: 200, total 0, and no `entry` at all."""
    body = (await api.search(**{**ROBIN, "birthdate": "2017-03-15"})).json()
    assert (body["total"], "entry" in body) == (0, False)


async def test_search_finds_too_many(api: Api) -> None:
    """Two matches where one is allowed: 200, and an OperationOutcome instead of a Bundle."""
    response = await api.search(family="Samename", given="Sam", birthdate="2013-07-07")
    assert code(response) == (200, "TOO_MANY_MATCHES")


async def test_search_by_place_never_finds_a_restricted_child(api: Api) -> None:
    """With postcode or practice a restricted child is not found; without, she is."""
    willow = {"family": "Hideaway", "given": "Willow", "birthdate": "2014-01-30"}
    assert (await api.search(**willow)).json()["total"] == 1
    for place in ({"address-postalcode": "ZZ4*"}, {"general-practitioner": "Y90001"}):
        found = await api.get("/Patient", params={**willow, **place})
        assert found.json()["total"] == 0


async def test_search_on_history(api: Api) -> None:
    """A former name is found only with `_history`, and gives the present names."""
    isla = {"family": "Formerly", "given": "Isla", "birthdate": "2015-05-05"}
    assert (await api.search(**isla)).json()["total"] == 0
    found = await api.search(**isla, _history="true")
    names = found.json()["entry"][0]["resource"]["name"]
    assert [name["use"] for name in names] == ["usual", "nickname"]


async def test_search_finds_the_successor_and_never_the_invalidated(api: Api) -> None:
    """A merged record's successor is found once; an invalidated record not at all."""
    tamsin = await api.search(family="Duplex", given="Tamsin", birthdate="2016-06-18")
    assert [entry["resource"]["id"] for entry in tamsin.json()["entry"]] == ["9990001065"]
    aspen = CAST.invalidated
    gone = await api.search(family=aspen.family, given=aspen.given[0], birthdate=aspen.birth_date)
    assert gone.json()["total"] == 0


async def test_ration(api: Api) -> None:
    """Beyond the calls of one second: 429, until the second is over."""
    limited = Api(PdsSandboxSettings(calls_per_second=2))
    codes = [(await limited.get("/Patient/9990001014")).status_code for _ in range(3)]
    assert codes == [200, 200, 429]
    assert code(await limited.get("/Patient/9990001014")) == (429, "TOO_MANY_REQUESTS")
    limited.time = 1.0
    assert (await limited.get("/Patient/9990001014")).status_code == 200
    await limited.http.aclose()


async def test_calls_are_counted_once_per_request_id(api: Api) -> None:
    """A repeat under the same X-Request-ID is the same call; another question under it is told."""
    request_id = str(uuid4())
    for _ in range(2):
        await api.get("/Patient/9990001014", request_id=request_id)
    await api.get("/Patient/9990001022", request_id=request_id)
    counted = (await api.http.get("/sandbox/calls")).json()
    assert counted == {
        "received": 3,
        "calls": 1,
        "repeated": 2,
        "reused": 1,
        "kind": {"retrieve": 3},
        "outcome": {"FOUND": 3},
    }
    await api.http.post("/sandbox/reset")
    assert (await api.http.get("/sandbox/calls")).json()["received"] == 0


@pytest.mark.parametrize(
    ("fault", "status", "spine"),
    [
        ({"down": True}, 503, None),
        ({"status": 401}, 401, "ACCESS_DENIED"),
        ({"status": 408}, 408, "UNABLE_TO_CALL_SERVICE"),
        ({"status": 429}, 429, "TOO_MANY_REQUESTS"),
        ({"status": 502}, 502, None),
        ({"not_supported": True}, 200, "NOT_SUPPORTED"),
        ({"garbage": True}, 200, None),
        ({"latency_ms": 1}, 200, None),
    ],
)
async def test_faults(api: Api, fault: dict[str, Any], status: int, spine: str | None) -> None:
    """A fault holds for as many requests as it was set for, then all is well."""
    await api.http.post("/sandbox/faults", json={**fault, "times": 1})
    response = await api.get("/Patient/9990001014")
    assert response.status_code == status
    if spine is not None:
        assert code(response) == (status, spine)
    assert (await api.get("/Patient/9990001014")).json()["id"] == "9990001014"


@pytest.mark.parametrize("body", ["[]", '{"dwon": true}', '{"down": 1}', "{", '{"times": true}'])
async def test_wrong_faults_are_refused(api: Api, body: str) -> None:
    """A fault that is not known is refused and says which there are."""
    response = await api.http.post("/sandbox/faults", content=body)
    assert response.status_code == 400
    assert "latency_ms" in response.json()["error"]


async def test_a_person_can_change(api: Api) -> None:
    """A record put in replaces the one with its number, so that a child can become restricted."""
    record = {"nhs_number": "9990001014", "family": "Testchild", "given": ["Robin"],
              "birth_date": "2017-03-14", "restricted": True}  # fmt: skip
    assert (await api.http.post("/sandbox/people", json=record)).status_code == 200
    body = (await api.get("/Patient/9990001014")).json()
    assert body["meta"]["security"][0]["code"] == "R"
    assert (await api.http.post("/sandbox/people", json={"family": "x"})).status_code == 400


async def test_latency_delays_only_its_own_request(api: Api) -> None:
    """A slow answer holds up nobody else."""
    await api.http.post("/sandbox/faults", json={"latency_ms": 60_000, "times": 1})
    slow = asyncio.create_task(api.get("/Patient/9990001014"))
    await aeventually(lambda: api.pds.calls()["received"] == 1, timeout=5)
    assert (await api.get("/Patient/9990001022")).status_code == 200
    slow.cancel()


def test_soundex_puts_like_sounds_together() -> None:
    """Classic pairs share their code; names without Latin letters have one too."""
    assert soundex("Robert") == soundex("Rupert") == "r163"
    assert soundex("Ashcraft") == "a261"
    assert soundex("Σοφία") != ""


@given(st.lists(st.tuples(
    st.sampled_from(["family", "given", "birthdate", "gender", "_fuzzy-match", "_history",
                     "_exact-match", "_max-results", "address-postalcode", "x"]),
    st.sampled_from(["true", "1", "Sam", "Sa*", "*", "", "eq2013-07-07", "ge2010-01-01", "male"])
    | st.text(max_size=8)), max_size=6))  # fmt: skip
def test_any_query_has_an_answer(parameters: list[tuple[str, str]]) -> None:
    """Whatever the query, it is a search or one of the API's problems; a person is found once."""
    register = Register(load_people(PEOPLE_FILE))
    try:
        search = read_search(parameters, restricted_mode=True)
    except BadSearch:
        return
    found = [person.nhs_number for _, person in find(search, register)]
    assert len(found) == len(set(found))


@given(st.sampled_from(load_people(PEOPLE_FILE)))
def test_everybody_is_found_by_their_own_names(person: Person) -> None:
    """A search by somebody's names and birth date finds them, or who stands for them now."""
    if person.minimal or person.invalidated or len(person.birth_date) < 10:
        return
    register = Register(load_people(PEOPLE_FILE))
    parameters = [("family", person.family), ("birthdate", person.birth_date)]
    parameters += [("given", name) for name in person.given]
    found = [hit for _, hit in find(read_search(parameters, restricted_mode=True), register)]
    assert register.successor(person) in found
