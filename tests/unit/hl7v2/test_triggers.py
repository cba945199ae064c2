"""Triggers: what each does, how an odd message type is read, and what is not used."""

from __future__ import annotations

import pytest

from connectors.hl7v2.triggers import KINDS, NAMED
from schemas.events import VisitEventKind
from tests.unit.hl7v2.messages import EVN, MSH, PV1, arrival, trigger
from tests.unit.hl7v2.reading import event

_RETIRED = "MRG|T9^^^RTEST"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("A01", VisitEventKind.ADMIT),
        ("A02", VisitEventKind.UPDATE),
        ("A03", VisitEventKind.DISCHARGE),
        ("A04", VisitEventKind.REGISTER),
        ("A05", VisitEventKind.PRE_ADMIT),
        ("A06", VisitEventKind.ADMIT),
        ("A07", VisitEventKind.UPDATE),
        ("A08", VisitEventKind.UPDATE),
        ("A11", VisitEventKind.CANCEL),
        ("A12", VisitEventKind.UPDATE),
        ("A13", VisitEventKind.CANCEL_DISCHARGE),
        ("A21", VisitEventKind.LEAVE),
        ("A22", VisitEventKind.RETURN),
        ("A23", VisitEventKind.CANCEL),
        ("A28", VisitEventKind.DEMOGRAPHICS),
        ("A31", VisitEventKind.DEMOGRAPHICS),
        ("A34", VisitEventKind.MERGE),
        ("A40", VisitEventKind.MERGE),
        ("A47", VisitEventKind.MERGE),
        ("A14", VisitEventKind.NOT_USED),
        ("A38", VisitEventKind.NOT_USED),
        ("Z99", VisitEventKind.NOT_USED),
        ("", VisitEventKind.NOT_USED),
    ],
)
def test_triggers(name: str, kind: VisitEventKind) -> None:
    """What a trigger does; whatever it is, the visit and the keys are those of its numbers."""
    found = event(arrival(msh=trigger(name), mrg=_RETIRED))
    assert found.kind is kind
    assert found.visit_id == event(arrival()).visit_id
    assert found.source_person == event(arrival()).source_person


def test_what_is_not_used_says_why() -> None:
    """A known trigger that changes nothing, an unknown one, another type of message."""
    for name in sorted(NAMED - KINDS.keys()):
        found = event(arrival(msh=trigger(name)))
        assert (found.kind, found.arrival_rule) == (VisitEventKind.NOT_USED, "trigger.not-used")
    assert event(arrival(msh=trigger("Z99"))).arrival_rule == "trigger.unknown"
    assert event(arrival(msh=trigger(""))).arrival_rule == "trigger.unknown"
    oru = event(arrival(msh=MSH.replace("ADT^A04^ADT_A01", "ORU^A04")))
    assert (oru.kind, oru.arrival, oru.arrival_rule) == (
        VisitEventKind.NOT_USED,
        False,
        "type.not-adt",
    )


@pytest.mark.parametrize("name", ["A02", "A12"])
def test_a_transfer_tells_where_the_patient_is_now(name: str) -> None:
    """PV1-3, also when the transfer is cancelled; PV1-6 is where they came from."""
    pv1 = PV1.replace("|21||", "|21||CAU^BAY2^^RTES5", 1)
    assert event(arrival(msh=trigger(name), pv1=pv1)).detail.department == "ED"


@pytest.mark.parametrize(
    ("kind", "evn", "name", "marks"),
    [
        ("^A04", "", "A04", ("message-type-odd",)),
        ("^A04^ADT_A01", "", "A04", ("message-type-odd",)),
        ("ADT_A04", "", "A04", ("message-type-odd",)),
        ("ADT_A01", "A04", "A04", ("message-type-odd",)),  # the structure of an A04
        ("ADT^ADT_A01", "A04", "A04", ("message-type-odd",)),
        ("ADT_A01^A04", "A01", "A04", ("message-type-odd",)),
        ("adt^a04", "", "A04", ("message-type-odd",)),
        ("adt^a04", "A04", "A04", ("message-type-odd",)),
        ("", "A04", "A04", ("trigger-missing", "message-type-odd")),
        ("ADT", "A04", "A04", ("trigger-missing",)),
        ("ADT^^ADT_A01", "A04", "A04", ("trigger-missing",)),
        ("^A11", "", "A11", ("message-type-odd",)),
    ],
)
def test_an_odd_message_type_is_read_and_marked(
    kind: str, evn: str, name: str, marks: tuple[str, ...]
) -> None:
    """An arrival is not lost to a missing or glued MSH-9.1."""
    found = event(
        arrival(msh=MSH.replace("ADT^A04^ADT_A01", kind), evn=EVN.replace("EVN|", f"EVN|{evn}"))
    )
    expected = VisitEventKind.CANCEL if name == "A11" else found.kind
    assert (found.trigger, found.kind, found.marks) == (name, expected, marks)
    assert found.kind is not VisitEventKind.NOT_USED
    assert found.arrival is (name != "A11")


@pytest.mark.parametrize("kind", ["^R01", "^", "_A04", "ORU_A04", "ADT_", "^Z99", "SIU^ADT_A04"])
def test_what_is_not_said_to_be_an_adt_stays_unused(kind: str) -> None:
    """Only a known trigger makes an empty type an ADT."""
    assert event(arrival(msh=MSH.replace("ADT^A04^ADT_A01", kind))).kind is VisitEventKind.NOT_USED
