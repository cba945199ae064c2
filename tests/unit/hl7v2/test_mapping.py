"""From message to event: triggers, identifiers, arrival, marks."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.hl7v2.er7 import Er7Error, Message
from connectors.hl7v2.mapping import to_attendances
from halyard.privacy import Keys
from schemas.codec import decode, encode
from schemas.events import (
    AttendanceReported,
    Moment,
    NhsNumberStatus,
    PersonClaim,
    VisitDetail,
    VisitEventKind,
)
from stores.arrival_rules import DEFAULT_RULE
from tests.unit.hl7v2.messages import EVN, FEED, MSH, PID, PV1, arrival, trigger

KEYS = Keys(bus=b"b" * 32, store=b"s" * 32)
NOW = datetime(2026, 3, 14, 21, 42, 35, tzinfo=UTC)


def _event(data: bytes, **feed: str) -> AttendanceReported:
    return _received(data, NOW, **feed)


def _received(data: bytes, at: datetime, **feed: str) -> AttendanceReported:
    (event,) = to_attendances(
        Message.parse(data),
        feed=FEED.model_copy(update=feed),
        rule=DEFAULT_RULE,
        keys=KEYS,
        received_at=at,
    )
    return event


def _pid(identifiers: str, *, pid_2: str = "", pid_4: str = "") -> bytes:
    return arrival(pid=f"PID|1|{pid_2}|{identifiers}|{pid_4}|TESTCHILD^ROBIN||20190602|1")


def test_an_arrival_in_the_itk_shape() -> None:
    """Every field of the event, from the national profile's positions."""
    event = _event(arrival())
    assert event.claim == PersonClaim(
        nhs_number="9990000018",
        nhs_number_status=NhsNumberStatus.VERIFIED,
        family="TESTCHILD",
        given=("ROBIN",),
        birth_date="2019-06-02",
        gender="male",
        postcode="YO1 1AA",
        local_id="T123456",
    )
    assert event.detail == VisitDetail(
        patient_class="E",
        admission_method="21",
        department="ED",
        site_ods="RTES5",
        mode_of_arrival="Ambulance",
        reason="Fall at home",
    )
    assert event.occurred_at == Moment(datetime(2026, 3, 14, 21, 41, 5, tzinfo=UTC))
    assert event.recorded_at == Moment(datetime(2026, 3, 14, 21, 42, 30, tzinfo=UTC))
    assert event.message_at == Moment(datetime(2026, 3, 14, 21, 42, 33, tzinfo=UTC))
    assert (event.trigger, event.kind) == ("A04", VisitEventKind.REGISTER)
    assert (event.arrival, event.arrival_rule) == (True, "default.emergency-class")
    assert (event.source, event.organisation) == ("rtest-ed", "RTEST")
    assert (event.message_id, event.sequence) == ("ED-000123", 123)
    assert (event.charset, event.message, event.marks) == ("utf-8", arrival(), ())


def test_an_event_travels_through_the_codec() -> None:
    """The event fits its schema."""
    event = _event(arrival())
    assert decode(encode(event)) == event


@pytest.mark.parametrize(
    ("identifiers", "number", "local_id"),
    [
        ("9990000018^^^NHS", "9990000018", None),
        ("T1^^^RTEST^MR~9990000018^^^NHS^NH", "9990000018", "T1"),
        ("9990000018^^^NHS^NH~T1^^^RTEST^MR", "9990000018", "T1"),
        ("T1^^^MRENTR^MEDREC~9990000018^^^NHS^HN", "9990000018", "T1"),
        ("T1^^^SIM^MRN~9990000018^^^NHSNBR^NHSNMBR", "9990000018", "T1"),
        ("999 000 0018^^^NHS~X^^^OTHER~T1^^^RTEST^MR", "9990000018", "T1"),
        ("T1^^^RTEST^HN", None, "T1"),
        ("T1", None, "T1"),
        ("", None, None),
        ('""', None, None),
    ],
)
def test_identifiers_in_the_dialects_that_are_sent(
    identifiers: str, number: str | None, local_id: str | None
) -> None:
    """The NHS number is told by CX.4 or CX.5 in any repetition; the rest is local."""
    claim = _event(_pid(identifiers)).claim
    assert (claim.nhs_number, claim.local_id) == (number, local_id)


def test_the_number_may_stand_in_pid_2_or_pid_4() -> None:
    """Where PID-3 has none, the older fields are looked at."""
    assert _event(_pid("T1^^^RTEST^MR", pid_2="9990000018^^^NHS")).claim.nhs_number == "9990000018"
    assert _event(_pid("T1", pid_4="A~9990000018^^^^NH")).claim.nhs_number == "9990000018"
    both = _event(_pid("9990000026^^^NHS", pid_2="9990000018^^^NHS"))
    assert both.claim.nhs_number == "9990000026"


def test_odd_numbers_are_kept_and_marked() -> None:
    """A number that cannot be one goes on as sent, marked; two different ones are marked too."""
    wrong = _event(_pid("9990000019^^^NHS~T1^^^RTEST"))
    assert (wrong.claim.nhs_number, wrong.marks) == ("9990000019", ("nhs-number-invalid",))
    two = _event(_pid("9990000019^^^NHS~9990000026^^^NHS~9990000018^^^NHS"))
    assert (two.claim.nhs_number, two.marks) == ("9990000026", ("nhs-number-several",))
    assert two.claim.other_numbers == ("9990000018",)


@pytest.mark.parametrize(
    ("pid_32", "status", "marks"),
    [
        ("NSTS01", NhsNumberStatus.VERIFIED, ()),
        ("US~NSTS08", NhsNumberStatus.POSTPONED, ()),
        ("US~AL", NhsNumberStatus.UNKNOWN, ()),
        ("NSTS09", NhsNumberStatus.UNKNOWN, ("nhs-number-status-unknown",)),
        ("NSTS01~NSTS02", NhsNumberStatus.UNKNOWN, ("nhs-number-status-several",)),
    ],
)
def test_the_number_status(pid_32: str, status: NhsNumberStatus, marks: tuple[str, ...]) -> None:
    """NSTS anywhere in PID-32; two of them say nothing."""
    event = _event(arrival(pid=PID.replace("NSTS01", pid_32)))
    assert (event.claim.nhs_number_status, event.marks) == (status, marks)


def test_the_legal_name_and_the_home_address_are_preferred() -> None:
    """XPN.7 L and XAD.7 H win; without them the first counts."""
    names = "OLD^A^^^^^A~VAN&DER BERG^ROBIN^JAY ALEX^^^^L"
    addresses = "^^^^XX1 1XX^^TMP~^^^^YO1 1AA^^H"
    event = _event(arrival(pid=f"PID|1||T1||{names}||20190602|F|||{addresses}"))
    assert event.claim.family == "VAN"
    assert event.claim.given == ("ROBIN", "JAY", "ALEX")
    assert (event.claim.postcode, event.claim.gender) == ("YO1 1AA", "female")


def test_odd_demographics_are_taken_with_marks() -> None:
    """A month 13, an empty name, an unknown sex: kept as a message, told by rule, no value."""
    event = _event(arrival(pid="PID|1||9990000018^^^NHS||^ROBIN||20191302|Q"))
    assert event.claim.birth_date is None
    assert event.marks == ("family-name-missing", "birth-date-invalid", "gender-unknown-code")


def test_odd_times_and_ids_are_taken_with_marks() -> None:
    """Times that are none, a sequence that is no number, no control id, no visit number."""
    data = arrival(
        msh="MSH|^~\\&|EDIS|RTEST|||soon||ADT^A04||P|2.4|x", evn="EVN||20251026013000||||never",
        pv1="PV1|1|E",
    )  # fmt: skip
    event = _event(data)
    assert event.marks == (
        "time-repeated-hour:EVN-2",
        "time-invalid:EVN-6",
        "time-invalid:MSH-7",
        "control-id-missing",
        "visit-number-missing",
        "sequence-invalid",
    )
    assert (event.message_id, event.sequence, event.occurred_at) == ("", None, None)


def test_broken_characters_are_read_by_the_fallback_and_marked() -> None:
    """Invalid UTF-8 is read as windows-1252 (or what the feed says), never refused."""
    data = arrival().replace(b"TESTCHILD", b"ZO\xcb")
    event = _event(data)
    assert event.claim.family == "ZOË"
    assert event.charset == "windows-1252"
    assert event.marks == ("charset-fallback:PID-5", "charset-fallback:message")
    assert _event(data, fallback_charset="iso8859-7").claim.family == "ZOΛ"


def test_a_message_without_a_visit_is_the_patients_day() -> None:
    """Without PV1-19 the patient and the day of admission make the visit."""
    first = _event(arrival(pv1="PV1|1|E"))
    later = _event(arrival(pv1="PV1|1|E", evn=EVN.replace("20260314", "20260312")))
    assert first.visit_id == _event(arrival(pv1="PV1|1|E", msh=trigger("A08"))).visit_id
    assert first.visit_id != later.visit_id
    assert _event(arrival(msh=trigger("A31"), pv1="")).marks == ()


def test_the_key_stays_when_the_number_becomes_known() -> None:
    """One visit stays in order although its number comes half way."""
    without = _event(_pid("T1^^^RTEST^MR"))
    with_number = _event(_pid("9990000018^^^NHS~T1^^^RTEST^MR"))
    assert without.source_person == with_number.source_person
    assert without.source_patient == with_number.source_patient
    assert without.source_person != without.source_patient
    assert "T1" not in without.source_person


def test_those_who_name_nobody_do_not_share_a_key() -> None:
    """No local id, no visit, no number: each stands alone."""
    nobody = "PID|1||||TESTCHILD^ROBIN||20190602"
    one = _event(arrival(pid=nobody, pv1="PV1|1|E"))
    two = _event(arrival(pid=nobody, pv1="PV1|1|E", msh=trigger("A04", "OTHER")))
    assert one.source_person != two.source_person


def test_the_event_id_is_of_the_bytes() -> None:
    """The same bytes are the same event; a re-used control id with another body is a new one."""
    assert _event(arrival()).event_id == _event(arrival()).event_id
    assert _event(arrival()).event_id != _event(arrival(pv2="PV2|||^Other")).event_id
    later = _received(arrival(), NOW.replace(hour=23))
    assert later == replace(_event(arrival()), received_at=later.received_at)


def test_a_message_without_pid_is_refused() -> None:
    """Nobody to attribute it to."""
    with pytest.raises(Er7Error) as caught:
        _event(arrival(pid=""))
    assert (caught.value.rule, caught.value.place) == ("no-pid", "PID")


def test_marks_and_reprs_hold_no_value() -> None:
    """Nothing of the person stands in the event's repr."""
    shown = repr(_event(arrival()))
    for secret in ("9990000018", "TESTCHILD", "ROBIN", "YO1", "2019-06-02", "T123456", "Fall"):
        assert secret not in shown


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["PID", "PV1", "PV2", "EVN", "NK1"]),
            st.text(alphabet='09A|^~&\\"EN -', max_size=80),
        ),
        max_size=6,
    )
)
def test_nothing_odd_is_refused(segments: list[tuple[str, str]]) -> None:
    """Whatever stands in the fields, a message with MSH and PID becomes an event."""
    lines = [MSH, "PID|1", *(f"{name}|{text}" for name, text in segments)]
    event = _event("\r".join(lines).encode())
    assert decode(encode(event)) == event


def test_a_discharge_tells_its_time() -> None:
    """PV1-45 is the discharge."""
    pv1 = PV1 + "|20260315010000"
    event = _event(arrival(msh=trigger("A03"), pv1=pv1))
    assert event.detail.discharged_at == Moment(datetime(2026, 3, 15, 1, tzinfo=UTC))


@pytest.mark.parametrize("place", ["PID-3", "PID-5", "PID-11", "PV1-3", "PV2-3", "MSH-10"])
def test_a_field_of_a_megabyte_is_cut_and_marked(place: str) -> None:
    """The event repeats fields of the message it holds, and must still fit a Kafka record."""
    long = "x" * 900_000
    data = {
        "PID-3": _pid(f"{long}^^^NHS~{long}"),
        "PID-5": arrival(pid=f"PID|1||T1||{long}^{long}^{'A ' * 400_000}||20190602|1"),
        "PID-11": arrival(pid=f"PID|1||T1||A^B||20190602|1|||^^^^{long}"),
        "PV1-3": arrival(pv1=f"PV1|1|E|{long}^^^{long}"),
        "PV2-3": arrival(pv2=f"PV2|||^{long}"),
        "MSH-10": arrival(msh=trigger("A04", long)),
    }[place]
    event = _event(data)
    assert f"text-cut:{place}" in event.marks
    assert len(encode(event)) < len(data) + 10_000
    assert event.message == data


@pytest.mark.parametrize("null", ["\x00", "\\X00\\", "\x01", "\x1f"])
@pytest.mark.parametrize(
    "place", ["MSH-10", "PID-3", "PID-5", "PID-11", "PV1-3", "PV1-19", "PV2-3"]
)
def test_control_characters_are_replaced_and_marked(place: str, null: str) -> None:
    """A NUL, raw or escaped, would be refused by the database for ever: U+FFFD stands in."""
    odd = f"A{null}B"
    data = {
        "MSH-10": arrival(msh=trigger("A04", odd)),
        "PID-3": _pid(f"{odd}^^^RTEST^MR"),
        "PID-5": arrival(pid=f"PID|1||T1||{odd}^ROBIN||20190602|1"),
        "PID-11": arrival(pid=f"PID|1||T1||TESTCHILD^ROBIN||20190602|1|||^^^^{odd}"),
        "PV1-3": arrival(pv1=PV1.replace("ED^PAEDS", odd)),
        "PV1-19": arrival(pv1=PV1.replace("ED2026000123", odd)),
        "PV2-3": arrival(pv2=f"PV2|||^{odd}"),
    }[place]
    event = _event(data)
    assert event.marks == (f"control-characters:{place}",)
    told = (event.message_id, event.claim, event.detail)
    assert place == "PV1-19" or "A\ufffdB" in [
        event.message_id,
        event.claim.local_id,
        event.claim.family,
        event.claim.postcode,
        event.detail.department,
        event.detail.reason,
    ]
    assert not any(chr(code) in repr(told) for code in range(32))
    assert event.message == data


def test_tabs_and_line_ends_in_free_text_stay() -> None:
    """What free text may hold is no control character to replace."""
    event = _event(arrival(pv2="PV2|||^Fall\\.br\\at\\X09\\home"))
    assert (event.detail.reason, event.marks) == ("Fall\nat\thome", ())


def test_two_sites_behind_one_engine_do_not_share_a_visit() -> None:
    """Both count from 1: the visit is the number of its assigning authority (PV1-19.4)."""

    def visit(number: str, pid: str = PID) -> AttendanceReported:
        return _event(arrival(pid=pid, pv1=PV1.replace("ED2026000123^^^VISITID", number)))

    assert visit("1^^^SITEA").visit_id != visit("1^^^SITEB").visit_id
    assert visit("1^^^&1.2.3&ISO").visit_id != visit("1^^^&1.2.4&ISO").visit_id
    assert visit("1").visit_id != visit("1^^^SITEA").visit_id
    assert visit("1^^^SITEA").visit_id == visit("1^^^sitea&1.2.3&ISO^VN").visit_id
    # without a local id the visit is the key
    bare = "PID|1||||TESTCHILD^ROBIN||20190602"
    assert visit("1^^^SITEA", bare).source_person != visit("1^^^SITEB", bare).source_person
    assert visit("1^^^SITEA", bare).source_patient != visit("1^^^SITEB", bare).source_patient
    assert visit("1^^^SITEA", bare).source_person == visit("1^^^SITEA", bare).source_person


@pytest.mark.parametrize(
    "told",
    [
        "20260314224305",  # an hour and a second after it came
        "20620314214105",
        "99991231235900",
        "20250313214105",  # 366 days and more before it was recorded
        "20190602",  # a birth date
        "18990101000000",
        "20000101000000",
    ],
)
def test_an_implausible_time_of_occurrence_is_dropped_and_marked(told: str) -> None:
    """It would decide age and plan: what was recorded is used instead."""
    event = _event(arrival(evn=EVN.replace("20260314214105", told)))
    assert event.occurred_at is None
    assert event.recorded_at is not None
    assert event.marks == ("occurred-implausible",)


@pytest.mark.parametrize("told", ["20260314224200", "20260304214105", "20250314214105"])
def test_a_late_arrival_and_a_clock_a_little_ahead_keep_their_time(told: str) -> None:
    """Typed in days later, or by a clock within the hour."""
    event = _event(arrival(evn=EVN.replace("20260314214105", told)))
    assert event.occurred_at is not None
    assert event.marks == ()


def test_an_old_message_keeps_its_times() -> None:
    """A backlog of years is told as what it was, not as now."""
    event = _received(arrival(), NOW.replace(year=2029))
    assert event.occurred_at == Moment(datetime(2026, 3, 14, 21, 41, 5, tzinfo=UTC))
    assert event.marks == ()


@pytest.mark.parametrize("told", ["20260316214230", "99991231235900", "19700101000000"])
def test_implausible_times_of_recording_and_sending_are_dropped_and_marked(told: str) -> None:
    """A time more than a day ahead would stay the newest; one before 2000 is a reset clock."""
    event = _event(
        arrival(evn=f"EVN||{told}", msh=MSH.replace("20260314214233", told), pv1="PV1|1|E")
    )
    assert (event.recorded_at, event.message_at, event.occurred_at) == (None, None, None)
    assert event.marks == (
        "recorded-implausible",
        "message-time-implausible",
        "visit-number-missing",
    )
    # and the visit without a number is the day on which it came, not one for all days
    later = _received(event.message, NOW.replace(day=15))
    assert later.visit_id != event.visit_id
