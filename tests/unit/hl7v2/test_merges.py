"""Merges: the retired patient's keys are those that their own events had."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.hl7v2.ack import acknowledge, parse_ack
from connectors.hl7v2.er7 import Er7Error
from connectors.hl7v2.merges import MAX_PAIRS
from schemas.codec import decode, encode
from schemas.events import AttendanceReported, VisitEventKind
from tests.unit.hl7v2.messages import PV1, arrival, message, trigger
from tests.unit.hl7v2.reading import event, events

_NHS = "9990000018^^^NHS^NH"


def _pid(identifiers: str) -> str:
    return f"PID|1||{identifiers}||TESTCHILD^ROBIN||20190602|1"


def _merge(pid_3: str, mrg: str, name: str = "A40") -> AttendanceReported:
    return event(message(trigger(name), "EVN||20260314214230", _pid(pid_3), f"MRG|{mrg}"))


def _before(pid_3: str, pv1_19: str = "V1") -> AttendanceReported:
    """An earlier event of the patient who is retired now."""
    return event(arrival(pid=_pid(pid_3), pv1=PV1.replace("ED2026000123^^^VISITID", pv1_19)))


@pytest.mark.parametrize("name", ["A34", "A40", "A47"])
@pytest.mark.parametrize(
    ("survivor", "mrg", "retired"),
    [
        # written alike
        ("T2^^^RCB^MR", "T1^^^RCB^MR", "T1^^^RCB^MR"),
        (f"T2^^^RCB^MR~{_NHS}", f"T1^^^RCB^MR~{_NHS}", f"{_NHS}~T1^^^RCB^MR"),
        ("40800002^^^MRENTR^MEDREC", "40800000^^^MRENTR", "40800000^^^MRENTR^MEDREC"),
        ("T2^^^&1.2.3&ISO^PI", "T1^^^&1.2.3&ISO^PI", "T1^^^&1.2.3&ISO^PI"),
        ("T2", "T1", "T1"),
        # MRG says less or more than PID-3
        ("T2^^^RCB^MR", "T1", "T1^^^RCB^MR"),
        (f"{_NHS}~T2^^^RCB^MR", "T1", f"{_NHS}~T1^^^RCB^MR"),
        ("T2^^^^MR", "T1^^^RCB^MR", "T1^^^^MR"),
        # only the NHS number stands in PID-3
        (_NHS, "22789^^^LOCALID", "22789^^^LOCALID"),
        # two sites behind one engine
        ("T2^^^SITEA^MR", "T1^^^SITEB^MR", "T1^^^SITEB^MR"),
        # several of one rank: the one of the survivor's authority
        ("T2^^^RCB", "X9^^^LAB~T1^^^RCB", "T1^^^RCB"),
        # versions to 2.3 name the prior patient id in MRG-4 too
        ("T2^^^RCB^MR", f"{_NHS}|||T1^^^RCB^MR", "T1^^^RCB^MR"),
    ],
)
def test_the_retired_key_is_that_of_earlier_events(
    name: str, survivor: str, mrg: str, retired: str
) -> None:
    """Whatever MRG-1 leaves out that PID-3 says: else the merge would find nobody."""
    found, before = _merge(survivor, mrg, name), _before(retired)
    assert found.kind is VisitEventKind.MERGE
    assert found.merged_person == before.source_person
    assert found.merged_patient == before.source_patient
    assert (found.arrival, found.marks) == (False, ())
    assert decode(encode(found)) == found


def test_the_survivors_key_is_that_of_its_own_events() -> None:
    """The event itself is the survivor's."""
    found, own = _merge("T2^^^RCB^MR", "T1^^^RCB^MR"), _before("T2^^^RCB^MR")
    assert (found.source_person, found.source_patient) == (own.source_person, own.source_patient)


def test_a_retired_visit_is_named_as_its_own_events_named_it() -> None:
    """MRG-5, with the authority of PV1-19 where it leaves it out."""
    visit = _before("T1^^^RCB", "44455^^^VISITID").visit_id
    assert _merge("T2^^^RCB", "T1^^^RCB||||44455^^^VISITID").merged_visit == visit
    assert _merge("T2^^^RCB", "T1^^^RCB").merged_visit is None
    body = message(trigger("A40"), _pid("T2^^^RCB"), "MRG|T1^^^RCB||||44455", PV1)
    assert event(body).merged_visit == visit


def test_who_has_no_local_id_is_known_by_visit_then_number() -> None:
    """The order in which keys are made of an event's own ids."""
    found = _merge(_NHS, "9990000026^^^NHS||||V7^^^VISITID")
    assert found.merged_person == _before("9990000026^^^NHS", "V7^^^VISITID").source_person
    found = _merge(_NHS, "9990000026^^^NHS")
    assert found.merged_person == _before("9990000026^^^NHS", "").source_person


@pytest.mark.parametrize(
    ("mrg", "mark"),
    [
        ((), "merge-incomplete"),
        (("MRG|",), "merge-incomplete"),
        (('MRG|""',), "merge-incomplete"),
        (("MRG|9990000019^^^NHS",), "merge-incomplete"),
        (("MRG|9999999999^^^NHS",), "merge-incomplete"),
        (("MRG|UNKNOWN^^^RCB",), "merge-incomplete"),
        (("MRG|0000|||TRAUMA 3",), "merge-incomplete"),
        (("MRG|T2^^^RCB",), "merge-of-one"),
        (("MRG|T2",), "merge-of-one"),
    ],
)
def test_a_merge_that_retires_nobody_is_not_used(mrg: tuple[str, ...], mark: str) -> None:
    """Kept, marked, changes nothing."""
    found = event(message(trigger("A40"), _pid("T2^^^RCB"), *mrg))
    assert (found.kind, found.arrival_rule) == (VisitEventKind.NOT_USED, "merge.incomplete")
    assert found.marks == (mark,)
    assert (found.merged_person, found.merged_patient, found.merged_visit) == (None, None, None)


def test_a_message_of_several_merges_is_an_event_for_each() -> None:
    """PID and MRG repeat; the first event has the message's own id, each another one."""
    body = message(
        trigger("A40"), _pid("T2^^^RCB"), "MRG|T1^^^RCB", _pid("T4^^^RCB"), "MRG|T3^^^RCB"
    )
    first, second = events(body)
    assert (first, second) == events(body)
    assert first.event_id != second.event_id
    assert second.source_person == _before("T4^^^RCB").source_person
    assert second.merged_person == _before("T3^^^RCB").source_person
    into_one = events(message(trigger("A40"), _pid("T2"), "MRG|T1", "MRG|T3"))
    assert [one.merged_person for one in into_one] == [
        _before("T1").source_person,
        _before("T3").source_person,
    ]


def test_merges_in_one_message_are_bounded_and_unclear_pairs_are_none() -> None:
    """Each event holds the message, and one with more is refused, not done in part; two PID with
    one MRG say not who becomes whom.
    """

    def merging(count: int) -> bytes:
        return message(trigger("A40"), _pid("T0"), *(f"MRG|T{n}" for n in range(1, count + 1)))

    assert len(events(merging(MAX_PAIRS))) == MAX_PAIRS
    with pytest.raises(Er7Error) as caught:
        events(merging(MAX_PAIRS + 1))
    assert (caught.value.rule, caught.value.place) == ("merges", "MRG")
    assert parse_ack(acknowledge(merging(MAX_PAIRS + 1), "merges")).code == "AR"
    unclear = event(message(trigger("A40"), _pid("T0"), _pid("T1"), "MRG|T2"))
    assert (unclear.kind, unclear.marks) == (VisitEventKind.NOT_USED, ("merge-incomplete",))


@given(
    pid=st.text(alphabet='T12^~&\\"NHS9', max_size=40),
    mrgs=st.lists(st.text(alphabet='T12^~&\\"|NHS9\x00', max_size=60), max_size=4),
)
def test_no_merge_is_refused(pid: str, mrgs: list[str]) -> None:
    """Whatever stands in MRG, the message becomes events that the codec takes; the same twice."""
    body = message(trigger("A40"), f"PID|1||{pid}", *(f"MRG|{one}" for one in mrgs))
    found = events(body)
    assert found == events(body)
    assert len({one.event_id for one in found}) == len(found)
    for one in found:
        assert decode(encode(one)) == one
        assert (one.kind is VisitEventKind.MERGE) is (one.merged_person is not None)
        assert one.merged_patient is None or one.merged_patient != one.source_patient
