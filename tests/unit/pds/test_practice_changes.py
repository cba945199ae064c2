"""Records of the practice PDS change on demand, and each change gives its event."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx
import pytest
from fhir.resources.R4B.bundle import Bundle
from hypothesis import given
from hypothesis import strategies as st

from sandbox.pds.app import BASE_PATH, PracticePds, create_app
from sandbox.pds.changes import CHANGES, BadChange, apply_change
from sandbox.pds.people import Register, load_people
from sandbox.pds.settings import PdsSandboxSettings
from sandbox.samples.cast import CAST, PEOPLE_FILE

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
EVENT_ID = "0b1f6d6e-6f0e-4a52-9a5c-0d0f3a4c7b11"
ROBIN = CAST.robin.nhs_number
SKYE = CAST.looked_after.nhs_number
URL = f"http://pds.test{BASE_PATH}"


class Practice:
    """A practice PDS without a network."""

    def __init__(self) -> None:
        app = create_app(
            load_people(PEOPLE_FILE),
            PdsSandboxSettings(token=None),
            now=lambda: NOW,
            new_id=lambda: EVENT_ID,
        )
        self.pds: PracticePds = app.state.pds
        self.http = httpx.AsyncClient(
            transport=httpx.ASGITransport(app=app), base_url="http://pds.test"
        )

    async def change(self, change: str, number: str = ROBIN, **more: Any) -> dict[str, Any]:
        """Change a record and give its CloudEvent."""
        body = {"change": change, "nhs_number": number, **more}
        response = await self.http.post("/sandbox/changes", json=body)
        assert response.status_code == 200, response.text
        event: dict[str, Any] = response.json()["event"]
        return event

    async def get(self, path: str) -> httpx.Response:
        """A read of the API."""
        return await self.http.get(BASE_PATH + path, headers={"X-Request-ID": str(uuid4())})


@pytest.fixture
async def practice() -> AsyncIterator[Practice]:
    """A practice PDS with the samples' people."""
    practice = Practice()
    yield practice
    await practice.http.aclose()


async def test_a_superseded_record_gives_its_successor_and_a_number_change(
    practice: Practice,
) -> None:
    """GET of the old number gives the new one's record; the event names the old number alone."""
    event = await practice.change("supersede", by=SKYE)
    response = await practice.get(f"/Patient/{ROBIN}")
    assert (response.status_code, response.json()["id"]) == (200, SKYE)
    assert event == {
        "specversion": "1.0",
        "id": EVENT_ID,
        "source": "https://fhir.nhs.uk/Id/nhsSpineASID/477121000324",
        "type": "nhs-number-change-2",
        "time": "2026-11-20T12:00:00.000+00:00",
        "subject": ROBIN,
        "dataref": f"{URL}/Patient/{ROBIN}",
        "versionid": 'W/"2"',
    }


async def test_an_invalidated_record_is_gone_and_linked_to_nothing(practice: Practice) -> None:
    """GET gives 404 INVALIDATED_RESOURCE; the event is a number change that says no more."""
    event = await practice.change("invalidate")
    response = await practice.get(f"/Patient/{ROBIN}")
    coding = response.json()["issue"][0]["details"]["coding"][0]
    assert (response.status_code, coding["code"]) == (404, "INVALIDATED_RESOURCE")
    assert event["type"] == "nhs-number-change-2"
    assert "filtering" not in event


async def test_a_restricted_record_and_its_event_say_nothing_of_the_place(
    practice: Practice,
) -> None:
    """Restricting takes address and practice from the answer, and the practice from the event;
    lifting it brings both back. The version counts up, and is the ETag."""
    event = await practice.change("restrict")
    response = await practice.get(f"/Patient/{ROBIN}")
    assert response.headers["etag"] == event["versionid"] == 'W/"2"'
    assert response.json()["meta"]["security"][0]["code"] == "R"
    assert "address" not in response.json()
    assert event["type"] == "pds-record-change-2"
    assert event["filtering"] == {"nhsnumber": ROBIN, "changed_name": False}
    event = await practice.change("unrestrict")
    assert event["filtering"]["registeredgpodscode"] == CAST.robin.practice
    assert "address" in (await practice.get(f"/Patient/{ROBIN}")).json()


async def test_a_renamed_person_is_found_by_the_old_name_on_history(practice: Practice) -> None:
    """The new names are the usual ones; the old ones are kept with their end, or not at all."""
    event = await practice.change("rename", family="Newname", given=["Robyn", "Jo"])
    assert event["filtering"]["changed_name"] is True
    names = (await practice.get(f"/Patient/{ROBIN}")).json()["name"]
    assert [(name["use"], name["family"], name["given"]) for name in names] == [
        ("usual", "Newname", ["Robyn", "Jo"]),
        ("old", CAST.robin.family, list(CAST.robin.given)),
    ]
    assert names[1]["period"]["end"] == "2026-11-20"
    old = f"/Patient?family={CAST.robin.family}&birthdate=eq{CAST.robin.birth_date}"
    assert (await practice.get(old)).json()["total"] == 0
    assert (await practice.get(f"{old}&_history=true")).json()["total"] == 1
    await practice.change("rename", SKYE, family="Forgotten", keep=False)
    assert len((await practice.get(f"/Patient/{SKYE}")).json()["name"]) == 1


async def test_moving_dying_and_another_practice(practice: Practice) -> None:
    """A new postcode, a death (today or a given, perhaps partial day) and a new practice."""
    event = await practice.change("move", postcode="ZZ8 8ZZ")
    assert event["type"] == "pds-record-change-2"
    body = (await practice.get(f"/Patient/{ROBIN}")).json()
    assert body["address"][0]["postalCode"] == "ZZ8 8ZZ"
    assert (await practice.change("die"))["type"] == "pds-death-notification-2"
    assert (await practice.get(f"/Patient/{ROBIN}")).json()["deceasedDateTime"] == "2026-11-20"
    await practice.change("die", SKYE, date="2026-11")
    assert (await practice.get(f"/Patient/{SKYE}")).json()["deceasedDateTime"] == "2026-11"
    event = await practice.change("change-practice", practice="Y90002")
    assert event["type"] == "pds-change-of-gp-2"
    body = (await practice.get(f"/Patient/{ROBIN}")).json()
    assert body["generalPractitioner"][0]["identifier"]["value"] == "Y90002"


async def test_events_are_kept_in_order_in_both_shapes(practice: Practice) -> None:
    """GET /sandbox/events gives every event since the last reset; bundles are valid FHIR."""
    await practice.change("restrict")
    await practice.change("die", SKYE)
    told = (await practice.http.get("/sandbox/events")).json()
    assert [event["subject"] for event in told["events"]] == [ROBIN, SKYE]
    for event, bundle in zip(told["events"], told["bundles"], strict=True):
        Bundle.model_validate(bundle)
        assert bundle["type"] == "history"
        parameters = bundle["entry"][0]["resource"]["parameter"]
        context = {part["name"]: part for part in parameters[4]["part"]}
        assert context["event-type"]["valueString"] == event["type"]
        subject = context["subject"]["valueReference"]["identifier"]["value"]
        assert subject == event["subject"]
        assert context["version-id"]["valueString"] == event["versionid"]
    assert practice.pds.events[0].nhs_number not in repr(practice.pds.events[0])
    await practice.http.post("/sandbox/reset")
    assert (await practice.http.get("/sandbox/events")).json() == {"events": [], "bundles": []}


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("canary", "Send a JSON object"),
        ({"change": "canary", "nhs_number": ROBIN}, "supersede, invalidate"),
        ({"change": "restrict"}, "nhs_number is a text"),
        ({"change": "restrict", "nhs_number": "9990001015"}, "never issued"),
        ({"change": "restrict", "nhs_number": "999"}, "ten digits"),
        ({"change": "restrict", "nhs_number": CAST.nobody.nhs_number}, "No record has that"),
        ({"change": "restrict", "nhs_number": ROBIN, "canary": 1}, "takes nothing more"),
        ({"change": "supersede", "nhs_number": ROBIN}, "by is a text"),
        ({"change": "supersede", "nhs_number": ROBIN, "by": ROBIN}, "another record"),
        ({"change": "supersede", "nhs_number": ROBIN, "by": CAST.nobody.nhs_number}, "another"),
        ({"change": "supersede", "nhs_number": CAST.superseded_new.nhs_number,
          "by": CAST.superseded_old.nhs_number}, "superseded by this one"),
        ({"change": "rename", "nhs_number": ROBIN, "given": []}, "given is a list"),
        ({"change": "rename", "nhs_number": ROBIN, "given": [1]}, "given is a list"),
        ({"change": "rename", "nhs_number": ROBIN, "keep": 1}, "keep is true or false"),
        ({"change": "move", "nhs_number": ROBIN}, "postcode is a text"),
        ({"change": "die", "nhs_number": ROBIN, "date": "canary"}, "date is a date"),
        ({"change": "change-practice", "nhs_number": ROBIN, "practice": "canary"}, "ODS code"),
    ],
)  # fmt: skip
async def test_changes_that_cannot_be_made(practice: Practice, body: Any, says: str) -> None:
    """400 with what to send, never with what was sent; nothing changes and there is no event."""
    before = practice.pds.register.get(ROBIN)
    response = await practice.http.post("/sandbox/changes", json=body)
    assert response.status_code == 400
    assert says in response.json()["error"]
    assert "canary" not in response.text
    assert practice.pds.register.get(ROBIN) is before
    assert not practice.pds.events


@given(
    st.fixed_dictionaries(
        {"change": st.sampled_from([*CHANGES, "x"]), "nhs_number": st.sampled_from([ROBIN, SKYE])},
        optional={
            name: st.none() | st.integers() | st.text(max_size=5) | st.lists(st.text(max_size=3))
            | st.sampled_from([SKYE, "2026-01-02", "Y90002", True])
            for name in ("by", "family", "given", "keep", "postcode", "date", "practice")
        },
    )
)  # fmt: skip
def test_any_change_is_made_or_refused(body: dict[str, Any]) -> None:
    """Whatever is sent: one event with a version more, or `BadChange` and nothing changed."""
    register = Register(load_people(PEOPLE_FILE))
    before = register.get(body["nhs_number"])
    assert before is not None
    try:
        event = apply_change(body, register, base_url=URL, now=NOW, new_id=lambda: EVENT_ID)
    except BadChange:
        assert register.get(body["nhs_number"]) is before
        return
    after = register.get(body["nhs_number"])
    assert after is not None
    assert after.version == before.version + 1 == event.version
    assert event.cloud_event()["subject"] == body["nhs_number"]


@pytest.mark.parametrize(
    ("header", "required", "status", "code"),
    [
        ("X26", False, 200, None),
        (None, False, 200, None),
        (None, True, 400, "MISSING_VALUE"),
        ("x26", False, 400, "INVALID_VALUE"),
        ("X 26", True, 400, "INVALID_VALUE"),
    ],
)
async def test_for_whom_is_asked_is_checked(
    header: str | None, required: bool, status: int, code: str | None
) -> None:
    """NHSD-End-User-Organisation-ODS is an ODS code, and can be demanded."""
    app = create_app(
        load_people(PEOPLE_FILE), PdsSandboxSettings(token=None, organisation_required=required)
    )
    headers = {"X-Request-ID": str(uuid4())}
    if header is not None:
        headers["NHSD-End-User-Organisation-ODS"] = header
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://pds.test") as client:
        response = await client.get(f"{BASE_PATH}/Patient/{ROBIN}", headers=headers)
    assert response.status_code == status
    if code is not None:
        assert response.json()["issue"][0]["details"]["coding"][0]["code"] == code


@pytest.mark.parametrize(
    "wrong",
    [{"given": "Robin"}, {"given": [1]}, {"restricted": "yes"}, {"version": "1"},
     {"birth_date": "14/03/2017"}, {"nhs_number": "9990001015"}, {"nhs_number": 9990001014},
     {"former_names": ["x"]}, {"former_names": [{"family": 1}]}, {"former_homes": [{"x": "y"}]},
     {"gender": None}, {"family": 1}],
)  # fmt: skip
async def test_records_of_another_shape_are_refused(
    practice: Practice, wrong: dict[str, Any]
) -> None:
    """POST /sandbox/people takes what can be served, and nothing else."""
    record = {"nhs_number": ROBIN, "family": "Testchild", "given": ["Robin"],
              "birth_date": "2017-03-14", **wrong}  # fmt: skip
    response = await practice.http.post("/sandbox/people", json=record)
    assert response.status_code == 400
    assert "see sandbox/samples" in response.json()["error"]
