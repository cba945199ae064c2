"""What is told of a visit and of the person, as it becomes known: values, death, hidden places."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from schemas.codec import decode, encode
from schemas.events import Moment, PersonClaim
from tests.unit.hl7v2.messages import FEED, PID, PV1, arrival, message, trigger
from tests.unit.hl7v2.reading import event

_TRIAGE = trigger("A08")


def _reason(*segments: str, pv2: str = "PV2|||^Unwell child") -> str | None:
    body = arrival(msh=_TRIAGE, pv2=pv2) + message(*segments)
    return event(body).detail.reason


def test_the_reason_becomes_more_specific() -> None:
    """The clerk's words, then a working diagnosis, then the chief complaint at triage."""
    diagnosis = "DG1|1||S52^Fracture of forearm^I10|||W"
    complaint = "OBX|1|CE|8661-1^Chief complaint^LN||161891005^Pain in arm^SCT||||||F"
    assert _reason() == "Unwell child"
    assert _reason(diagnosis) == "Fracture of forearm"
    assert _reason("DG1|1||S52^Fracture of forearm^I10|Broken arm||W") == "Broken arm"
    assert _reason(diagnosis, complaint) == "Pain in arm"
    assert _reason("OBX|1|TX|10154-3^^LN||Fell from a swing") == "Fell from a swing"
    assert _reason(complaint, "OBX|2|TX|8661-1^^LN||Arm, again") == "Arm, again"
    assert _reason(pv2="") is None


def test_a_final_diagnosis_or_another_observation_is_not_why_somebody_came() -> None:
    """DG1-6 F stays with the hospital; so do a withdrawn OBX and one of another code."""
    assert _reason("DG1|1||J03.0^Tonsillitis^I10|||F") == "Unwell child"
    assert _reason("OBX|1|ST|8867-4^Heart rate^LN||120") == "Unwell child"
    assert _reason("OBX|1|ST|8661-1^^LN||Pain||||||X") == "Unwell child"
    assert _reason("OBX|1|ST|8661-1^^LN||") == "Unwell child"
    assert _reason("DG1|1||J03.0") == "Unwell child"


def test_acuity_and_complaint_are_read_by_the_feeds_own_codes() -> None:
    """OBX-3 by code or alternate code; PV2-25, the priority of an admission, is no acuity."""
    body = arrival(msh=_TRIAGE, pv2="PV2" + "|" * 25 + "1") + message(
        "OBX|1|CE|TRI^Triage category^L^11283-9^Acuity^LN||3^Urgent", "OBX|2|ST|PC||Cough"
    )
    assert event(body).detail.acuity == "Urgent"
    assert event(arrival(pv2="PV2" + "|" * 25 + "1")).detail.acuity is None
    local = FEED.model_copy(update={"acuity_codes": ("TRI2",), "chief_complaint_codes": ("PC",)})
    assert event(body, feed=local).detail.acuity is None
    assert event(body, feed=local).detail.reason == "Cough"


@pytest.mark.parametrize(
    ("sent", "mode"),
    [("A", "Ambulance"), ("C", "Car"), ("^By police", "By police"), ("1", "1"), ("", None)],
)
def test_the_mode_of_arrival(sent: str, mode: str | None) -> None:
    """PV2-38: HL7 table 0430 in words, all else as sent."""
    found = event(arrival(pv2="PV2" + "|" * 38 + sent))
    assert found.detail.mode_of_arrival == mode


def test_a_discharge_tells_when_and_where_to() -> None:
    """PV1-45; PV1-37, the destination, else PV1-36, the disposition."""
    fields = [*PV1.split("|"), "20260315010000"]
    fields[36], fields[37] = "1", "66^20260315"
    found = event(arrival(msh=trigger("A03"), pv1="|".join(fields))).detail
    assert found.discharged_at == Moment(datetime(2026, 3, 15, 1, tzinfo=UTC))
    assert found.discharge_destination == "66"
    fields[37] = ""
    found = event(arrival(msh=trigger("A03"), pv1="|".join(fields))).detail
    assert found.discharge_destination == "1"


@pytest.mark.parametrize(
    ("pid_29", "pid_30", "dead", "died", "marks"),
    [
        ("", "", False, False, ()),
        ("", "N", False, False, ()),
        ("", "Y", True, False, ()),
        ("20260314200000", "Y", True, True, ()),
        ("20260314200000", "", True, True, ()),
        ("20260314200000", "N", False, True, ("death-contradicted",)),
        ("20260320", "Y", True, False, ("death-time-implausible",)),
        ("never", "", True, False, ("time-invalid:PID-29",)),
        ('""', '""', False, False, ()),
    ],
)
@pytest.mark.parametrize("name", ["A03", "A08", "A31"])
def test_a_death_is_recorded(
    name: str, pid_29: str, pid_30: str, dead: bool, died: bool, marks: tuple[str, ...]
) -> None:
    """PID-30 and PID-29, whatever the trigger; nothing is decided by them here."""
    fields = PID.split("|")
    fields[29], fields[30] = pid_29, pid_30
    found = event(arrival(msh=trigger(name), pid="|".join(fields)))
    assert (found.death_indicated, found.died_at is not None) == (dead, died)
    assert found.marks == marks
    assert decode(encode(found)) == found


def test_who_is_not_identified_gives_no_names_as_evidence() -> None:
    """PID-31 Y: name, birth date and address are placeholders; number and local id still count."""
    fields = PID.split("|")
    fields[31] = "Y"
    found = event(arrival(pid="|".join(fields)))
    assert found.claim == PersonClaim(
        nhs_number="9990000018",
        nhs_number_status=event(arrival()).claim.nhs_number_status,
        gender="male",
        local_id="T123456",
    )
    assert found.marks == ("identity-unknown",)
    assert found.source_person == event(arrival()).source_person


@pytest.mark.parametrize(
    ("zu8", "marks"),
    [
        ("ZU8|U|1|Yes|Y", ("location-shielded",)),
        ("ZU8|U|1|No|yes", ("location-shielded",)),
        ("ZU8||||Hide", ("location-shielded", "location-shielding-unknown-code")),
        ("ZU8|U|1|Yes|N", ()),
        ("ZU8|U|1|Yes", ()),
        ('ZU8||||""', ()),
        ("ZU8||||N\rZU8||||Y", ("location-shielded",)),
        ("ZU8\rZU8||||Y", ("location-shielded",)),
        ("ZU8||||N~Y", ("location-shielded",)),
        ("ZU8||||N~\rZU8||||No", ()),
        ("ZU8||||Y~Hide", ("location-shielded", "location-shielding-unknown-code")),
    ],
)
def test_a_hidden_place_is_respected(zu8: str, marks: tuple[str, ...]) -> None:
    """ZU8-4: marked for all who come after, the address not taken; the bytes stay as they came."""
    body = arrival() + message(zu8)
    found = event(body)
    assert found.marks == marks
    assert found.detail.location_shielded is bool(marks)
    assert (found.claim.postcode is None) is bool(marks)
    assert (found.claim.family, found.message) == ("TESTCHILD", body)
