"""Notifications of changes at PDS: both shapes are read, and nothing in them is believed."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.mns.reading import (
    CHANGE_OF_GP,
    MAX_ENTRIES,
    NO_EVENT,
    Fault,
    Ignored,
    Signal,
    read,
)
from schemas.changes import PersonChangeKind

NUMBER = "9990000018"


def cloud_event(**changes: Any) -> dict[str, Any]:
    """A CloudEvent as MNS publishes it; None drops a member."""
    event = {
        "specversion": "1.0",
        "id": "236a1d4a-5d69-4fa9-9c7f-e72bf505aa5b",
        "source": "https://fhir.nhs.uk/Id/nhsSpineASID/477121000324",
        "type": "nhs-number-change-2",
        "time": "2026-03-01T12:30:15Z",
        "subject": NUMBER,
        "dataref": f"https://int.api.service.nhs.uk/personal-demographics/FHIR/R4/Patient/{NUMBER}",
        "versionid": 'W/"16"',
        "filtering": {"nhsnumber": NUMBER},
    }
    return {name: value for name, value in {**event, **changes}.items() if value is not None}


def bundle(
    kind: str = "pds-record-change-2", number: Any = NUMBER, **changes: Any
) -> dict[str, Any]:
    """A notification of a subscription, in the shape of MNS's own examples."""
    parameters = {
        "resourceType": "Parameters",
        "meta": {
            "profile": [
                (
                    "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/"
                    "backport-subscription-status-r4"
                )
            ]
        },
        "id": "7c38eb82-9186-402f-a120-94c29ceddb48",
        "parameter": [
            {"name": "status", "valueCode": "active"},
            {"name": "type", "valueCode": "event-notification"},
            {
                "name": "notification-event",
                "part": [
                    {"name": "event-number", "valueString": "1"},
                    {"name": "timestamp", "valueInstant": "2026-03-01T13:00:00Z"},
                ],
            },
            {
                "name": "additional-context",
                "part": [
                    {"name": "event-type", "valueString": kind},
                    {
                        "name": "subject",
                        "valueReference": {"identifier": {"value": number}},
                    },
                ],
            },
        ],
    }
    return {
        "resourceType": "Bundle",
        "type": "history",
        "entry": [{"resource": {**parameters, **changes}}],
    }


def of(document: Any) -> Any:
    """What is read of a document."""
    return read(orjson.dumps(document))


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("nhs-number-change-2", PersonChangeKind.NUMBER),
        ("nhs-number-change-1", PersonChangeKind.NUMBER),
        ("pds-record-change-2", PersonChangeKind.RECORD),
        ("pds-death-notification-2", PersonChangeKind.DEATH),
    ],
)
def test_both_shapes_give_the_same_signal(kind: str, expected: PersonChangeKind) -> None:
    """Type, number, id and time; nothing else."""
    (event,) = of(cloud_event(type=kind))
    assert (event.kind, event.nhs_number) == (expected, NUMBER)
    assert event.occurred_at is not None
    (other,) = of(bundle(kind))
    assert (other.kind, other.nhs_number) == (expected, NUMBER)
    assert NUMBER not in repr((event, other))


def test_what_version_one_says_of_the_status_is_not_believed() -> None:
    """Invalidated or replaced: PDS says which, when it is asked."""
    said = [
        of(cloud_event(type="nhs-number-change-1", data={"nhsNumberStatus": status}))
        for status in ("I", "R", "X")
    ]
    assert said[0] == said[1] == said[2]


def test_a_change_of_practice_and_a_heartbeat_are_ignored_with_a_word() -> None:
    """They are read, and said to be of no use."""
    (gp,) = of(cloud_event(type="pds-change-of-gp-2", subject="anything"))
    assert gp == Ignored(gp.message_id, CHANGE_OF_GP)
    (beat,) = of(bundle(parameter=[{"name": "type", "valueCode": "heartbeat"}]))
    assert beat == Ignored(beat.message_id, NO_EVENT)
    (other,) = of(cloud_event(type="imms-vaccination-record-change-1"))
    assert isinstance(other, Ignored)


@pytest.mark.parametrize(
    ("document", "rule", "place"),
    [
        (cloud_event(specversion="0.3"), "mns.specversion", "specversion"),
        (cloud_event(id=None), "mns.missing", "id"),
        (cloud_event(id="x" * 201), "mns.id", "id"),
        (cloud_event(source=""), "mns.missing", "source"),
        (cloud_event(type=None), "mns.missing", "type"),
        (cloud_event(time="yesterday"), "mns.time", "time"),
        (cloud_event(time="2026-03-01T12:30:15"), "mns.time", "time"),
        (cloud_event(subject="999 000 0018"), "mns.subject", "subject"),
        (cloud_event(subject="٤٤٤٤٤٤٤٤٤٤"), "mns.subject", "subject"),
        (cloud_event(subject=None), "mns.subject", "subject"),
        ([1], "mns.object", ""),
        ({"resourceType": "Bundle", "type": "message"}, "mns.bundle_type", "Bundle.type"),
        ({"resourceType": "Bundle", "type": "history"}, "mns.no_entry", "Bundle.entry"),
        (
            {**bundle(), "entry": bundle()["entry"] * (MAX_ENTRIES + 1)},
            "mns.too_many_entries",
            "Bundle.entry",
        ),
        (
            {**bundle(), "entry": [{"resource": {"resourceType": "Patient"}}]},
            "mns.no_status",
            "Bundle.entry",
        ),
        (bundle(meta={}), "mns.profile", "Bundle.entry[0].resource.meta.profile"),
        (
            bundle(number=None),
            "mns.subject",
            "Bundle.entry[0].resource.additional-context.subject",
        ),
        (
            bundle(parameter=[{"name": "type", "valueCode": "event-notification"}]),
            "mns.no_context",
            "Bundle.entry[0].resource.additional-context",
        ),
    ],
)
def test_a_refusal_names_rule_and_place_and_repeats_nothing(
    document: Any, rule: str, place: str
) -> None:
    """Nothing of the body is taken then, and nothing of it stands in the answer."""
    fault = of(document)
    assert (fault.rule, fault.place) == (rule, place)
    assert "٤" not in fault.advice


def test_what_is_no_json_is_400() -> None:
    """Not even an object."""
    fault = read(b"{")
    assert isinstance(fault, Fault)
    assert (fault.rule, fault.status) == ("mns.not_json", 400)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["resourceType", "type", "entry", "resource", "parameter", "part", "name", "meta"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(st.binary(max_size=60) | json_values.map(orjson.dumps))
def test_whatever_is_sent_is_read_or_refused(body: bytes) -> None:
    """No input raises."""
    assert isinstance(read(body), Fault | list)


@given(st.data())
def test_a_member_of_any_type_is_read_or_refused(data: st.DataObject) -> None:
    """Also where one member of a good notification is something else."""
    whole = data.draw(st.sampled_from([cloud_event(), bundle()["entry"][0]["resource"]]))
    name = data.draw(st.sampled_from(sorted(whole)))
    changed = {**whole, name: data.draw(json_values)}
    if "resourceType" in whole:
        changed = {"resourceType": "Bundle", "type": "history", "entry": [{"resource": changed}]}
    found = of(changed)
    assert isinstance(found, Fault) or all(isinstance(one, Signal | Ignored) for one in found)
