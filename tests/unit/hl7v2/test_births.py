"""Newborns: the message of a baby is also an event of the mother it names."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.births import is_newborn
from schemas.codec import decode, encode
from schemas.events import (
    AttendanceReported,
    NhsNumberStatus,
    PersonClaim,
    VisitDetail,
    VisitEventKind,
)
from tests.unit.hl7v2.messages import EVN, OTHER_NUMBER, PV1, arrival, message, trigger
from tests.unit.hl7v2.reading import event, events

_MOTHER = f"{OTHER_NUMBER}^^^NHS~M1^^^RTEST^MR"
_BIRTH = PV1.replace("|E|", "|I|").replace("|21|", "|82|")


def _baby(
    name: str = "A01",
    *,
    mother: str = _MOTHER,
    born: str = "20260314",
    status: str = "NSTS08",
    pid_3: str = "B1^^^RTEST^MR",
    pv1: str = _BIRTH,
    pv2: str = "",
) -> tuple[AttendanceReported, ...]:
    fields = ["PID", "1", "", pid_3, "", "TESTCHILD^BABY", "", born, "1"] + [""] * 23 + [status]
    fields[21] = mother
    return events(arrival(msh=trigger(name), pid="|".join(fields), pv1=pv1, pv2=pv2))


def _own(pid_3: str, pv1: str = PV1) -> AttendanceReported:
    """An event of the mother's own."""
    return event(arrival(pid=f"PID|1||{pid_3}||TESTADULT^SAM||19990102|2", pv1=pv1))


def test_a_birth_is_told_of_the_mother() -> None:
    """Her identifiers alone, her own keys, an arrival of her own visit; the baby's stays as is."""
    baby, birth = _baby()
    assert (baby.kind, baby.arrival) == (VisitEventKind.ADMIT, False)
    assert (birth.kind, birth.trigger) == (VisitEventKind.BIRTH, "A01")
    assert (birth.arrival, birth.arrival_rule) == (True, "birth")
    assert birth.claim == PersonClaim(nhs_number=OTHER_NUMBER, local_id="M1")
    assert birth.detail == VisitDetail(department="ED", site_ods="RTES5")
    mother = _own("M1^^^RTEST^MR")
    assert birth.source_person == mother.source_person
    assert birth.source_patient == mother.source_patient
    assert birth.visit_id not in (baby.visit_id, mother.visit_id)
    assert (birth.occurred_at, birth.recorded_at) == (baby.occurred_at, baby.recorded_at)
    assert birth.event_id != baby.event_id
    assert decode(encode(birth)) == birth


def test_the_same_bytes_give_the_same_events() -> None:
    """Sent twice, a birth is one event; later events of the baby's visit are the same birth."""
    assert _baby() == _baby()
    update = _baby("A08")[1]
    assert update.visit_id == _baby()[1].visit_id
    assert update.event_id != _baby()[1].event_id


@pytest.mark.parametrize("name", ["A11", "A23"])
def test_a_cancelled_baby_cancels_the_birth(name: str) -> None:
    """On the same birth visit, so that the mother's alert goes with it."""
    baby, birth = _baby(name)
    assert (baby.kind, birth.kind) == (VisitEventKind.CANCEL, VisitEventKind.CANCEL)
    assert (birth.arrival, birth.visit_id) == (False, _baby()[1].visit_id)


@pytest.mark.parametrize(
    ("mother", "own"),
    [
        ("M1^^^RTEST^MR", "M1^^^RTEST^MR"),
        ("M1", "M1^^^RTEST^MR"),
        ("M1^^^OTHER", "M1^^^OTHER"),
        (f"M1~{OTHER_NUMBER}^^^NHS^NH", "M1^^^RTEST^MR"),
    ],
)
def test_her_key_is_her_local_ids(mother: str, own: str) -> None:
    """With the authority that PID-3 gives where PID-21 leaves it out."""
    assert _baby(mother=mother)[1].source_person == _own(own).source_person


def test_her_number_alone_is_enough() -> None:
    """ITK names only an NHS number: the key is the number's."""
    birth = _baby(mother=f"{OTHER_NUMBER}^^^NHS")[1]
    assert birth.claim == PersonClaim(nhs_number=OTHER_NUMBER)
    by_number = _own(f"{OTHER_NUMBER}^^^NHS", pv1="PV1|1|E")
    assert birth.source_person == by_number.source_person


@pytest.mark.parametrize(
    ("born", "status", "method", "newborn"),
    [
        ("20260314", "", "", True),
        ("20260214", "", "", True),  # 28 days
        ("20260213", "", "", False),  # 29
        ("20190602", "NSTS08", "82", False),  # what is told of the date counts
        ("", "NSTS08", "", True),
        ("", "NSTS01", "82", True),
        ("", "NSTS01", "83", True),
        ("202603", "", "82", True),
        ("", "NSTS01", "21", False),
        ("20260401", "", "", False),  # not born yet
    ],
)
def test_who_is_a_newborn(born: str, status: str, method: str, newborn: bool) -> None:
    """By birth date; without a whole one by a postponed trace or a birth as admission method."""
    found = _baby(born=born, status=status, pv1=PV1.replace("|21|", f"|{method}|"))
    assert (len(found) == 2) is newborn


@pytest.mark.parametrize(
    ("mother", "marks"),
    [
        ("", ()),
        ('""', ()),
        ("9990000019^^^NHS", ("mother-number-invalid",)),
        ("B1^^^RTEST^MR", ()),
        ("B1", ()),
        ("9999999999^^^NHS", ("mother-number-invalid",)),
        ("UNKNOWN^^^RTEST", ()),
    ],
)
def test_without_a_mother_there_is_no_second_event(mother: str, marks: tuple[str, ...]) -> None:
    """Nobody named, a number that cannot be one, or the baby as its own mother."""
    (baby,) = _baby(mother=mother)
    assert baby.marks == marks


@pytest.mark.parametrize(
    ("name", "told"),
    [("A28", True), ("A31", False), ("A05", False), ("A38", False), ("A04", True), ("A03", True)],
)
def test_which_messages_tell_a_birth(name: str, told: bool) -> None:
    """A new record does, a change of one does not: it would be told again and again."""
    assert (len(_baby(name)) == 2) is told


@pytest.mark.parametrize(
    ("name", "arrives"),
    [("A01", True), ("A04", True), ("A06", True), ("A28", True), ("A08", False), ("A03", False)],
)
def test_only_the_babys_own_arrival_is_one_of_the_mother(name: str, arrives: bool) -> None:
    """Or an A08 after the A11 would bring a cancelled birth back."""
    assert _baby(name)[1].arrival is arrives


def test_a_baby_named_as_its_own_mother_in_another_spelling_is_not_one() -> None:
    """Numbers are compared as ten digits."""
    assert len(_baby(pid_3=f"{OTHER_NUMBER}^^^NHS", mother="999 000 0026^^^NHS")) == 1


def test_a_baby_without_a_visit_is_one_birth_on_whatever_day() -> None:
    """By the baby's own key."""
    one, two = _baby("A28", pv1=""), _baby("A04", pv1="PV1|1|I|ED")
    assert one[1].visit_id == two[1].visit_id
    assert one[1].visit_id != _baby("A28", pv1="", pid_3="B2^^^RTEST^MR")[1].visit_id


def test_a_shielded_place_is_shielded_for_the_mother_too() -> None:
    """The address is hidden from whoever is told of her."""
    fields = ["PID", "1", "", "B1", "", "T^BABY", "", "20260314"] + [""] * 13 + [_MOTHER]
    body = message(trigger("A01"), EVN, "|".join(fields), _BIRTH, "ZU8||||Y")
    assert events(body)[1].detail.location_shielded


@given(
    birth_date=st.none() | st.text(alphabet="0123456789-", max_size=10) | st.dates().map(str),
    method=st.none() | st.sampled_from(["21", "82", "83"]),
    status=st.sampled_from(NhsNumberStatus),
)
def test_no_birth_date_raises(
    birth_date: str | None, method: str | None, status: NhsNumberStatus
) -> None:
    """Partial, impossible, in year 1 or 9999."""
    claim = PersonClaim(birth_date=birth_date, nhs_number_status=status)
    assert isinstance(is_newborn(claim, method, datetime(2026, 3, 14, tzinfo=UTC)), bool)
