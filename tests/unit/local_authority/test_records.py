"""One line of a flag file: what is taken, what is refused, and by which rule."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.local_authority.records import (
    COLUMNS,
    RULES,
    SPARE,
    Accepted,
    FlagLine,
    parse_line,
)
from schemas.events import PlanType
from tests.support.face import NORTH, flag

TODAY = date(2026, 3, 10)


def parse(line: bytes | dict[str, Any]) -> Accepted | set[tuple[str, str]]:
    """The record, or (field, rule) of each refusal."""
    content = line if isinstance(line, bytes) else json.dumps(line).encode()
    parsed = parse_line(content, gss=NORTH, today=TODAY)
    if isinstance(parsed, Accepted):
        return parsed
    assert parsed
    assert all(one.message for one in parsed)
    return {(one.field, one.rule) for one in parsed}


def test_a_full_line_becomes_a_record_and_a_claim() -> None:
    """Every column arrives where it belongs; the authority's code is the sender's own."""
    parsed = parse(flag(given="Robin Alex", end="2025-06-30", la_gss=NORTH))
    assert isinstance(parsed, Accepted)
    record, claim = parsed.record, parsed.claim
    assert (record.plan_type, record.start, record.end, record.delete) == (
        PlanType.CPP,
        "2025-01-06",
        "2025-06-30",
        None,
    )
    assert (record.la_gss, record.local_id) == (NORTH, "C-1")
    assert (claim.nhs_number, claim.family, claim.given) == (
        "9990000018",
        "Testfield",
        ("Robin", "Alex"),
    )
    assert (claim.birth_date, claim.local_id) == ("2017-03-04", "C-1")


def test_the_columns_are_the_documented_ones() -> None:
    """The model and the list of columns are the same."""
    assert {*FlagLine.model_fields, "upn", "siblings"} == set(COLUMNS)


def test_empty_text_is_null() -> None:
    """Files made from tables have empty texts where nothing is known."""
    parsed = parse({**flag(), "nhs_number": " ", "end": "", "phone_office": ""})
    assert isinstance(parsed, Accepted)
    assert parsed.claim.nhs_number is None
    assert parsed.record.end is None
    assert parsed.record.phone_office is None


def test_the_alias_of_the_unborn_plan_is_taken_and_marked() -> None:
    """CP-IS uploads write UCP."""
    parsed = parse(flag(plan_type="UCP"))
    assert isinstance(parsed, Accepted)
    assert parsed.record.plan_type is PlanType.UCPP
    assert parsed.marks == ("plan_type.alias",)


@pytest.mark.parametrize(
    "phone",
    ["0" * 61, "01632\x00960201", "\x00x", "x\x7f", "\ud800", 1632960201, ["01632 960201"], True],
)
@pytest.mark.parametrize("column", ["phone_office", "phone_emergency"])
def test_a_phone_that_cannot_be_taken_keeps_no_plan_out(column: str, phone: object) -> None:
    """The plan is taken without it, and marked; the directory's number is shown."""
    parsed = parse({**flag(), "phone_office": "0", "phone_emergency": "0", column: phone})
    assert isinstance(parsed, Accepted)
    assert getattr(parsed.record, column) is None
    assert {parsed.record.phone_office, parsed.record.phone_emergency} == {None, "0"}
    assert parsed.marks == ("phone.not_taken",)


def test_a_delete_needs_no_start() -> None:
    """A correction may take back every period of a plan."""
    assert isinstance(parse(flag(start=None, delete="2026-03-01")), Accepted)


def test_a_badly_formed_number_is_left_to_identity() -> None:
    """It gets its own answer (CPR04), not a refusal of the line."""
    assert isinstance(parse(flag(nhs_number="12 34")), Accepted)


@pytest.mark.parametrize(
    ("line", "refusals"),
    [
        (flag(start=None), {("start", "column.required")}),
        (flag(local_id=None), {("local_id", "column.required")}),
        ({**flag(), "local_id": " "}, {("local_id", "column.required")}),
        ({**flag(), "local_id": 5}, {("local_id", "column.not_text")}),
        ({**flag(), "nhs_number": 9990000018}, {("nhs_number", "column.not_text")}),
        ({**flag(), "family": ["x"]}, {("family", "column.not_text")}),
        (flag(plan_type="XYZ"), {("plan_type", "plan_type.unknown")}),
        (flag(plan_type="cpp"), {("plan_type", "plan_type.unknown")}),
        (flag(plan_type="UNKNOWN"), {("plan_type", "plan_type.unknown")}),
        (flag(plan_type=None), {("plan_type", "column.required")}),
        (flag(start="06/01/2025"), {("start", "date.not_iso")}),
        (flag(start="20250106"), {("start", "date.not_iso")}),
        (flag(start="2025-W01-1"), {("start", "date.not_iso")}),
        (flag(start="٢٠٢٥-01-06"), {("start", "date.not_iso")}),
        (flag(start="2025-02-29"), {("start", "date.no_such_day")}),
        (flag(end="2025-01-05"), {("end", "date.end_before_start")}),
        (flag(birth_date="2026-03-11"), {("birth_date", "date.not_before_today")}),
        (flag(birth_date="1899-12-31"), {("birth_date", "date.not_plausible")}),
        (flag(start="1989-12-31"), {("start", "date.not_plausible")}),
        (flag(start="2046-03-11"), {("start", "date.not_plausible")}),
        (flag(end="9999-12-31"), {("end", "date.not_plausible")}),
        (flag(delete="0206-03-01"), {("delete", "date.not_plausible")}),
        (flag(delete="2046-03-11"), {("delete", "date.not_plausible")}),
        (flag(la_gss="E99000002"), {("la_gss", "la_gss.other_authority")}),
        (flag(nhs_number=None, family=None), {("nhs_number", "person.not_identifiable")}),
        (flag(family="x" * 201), {("family", "column.too_long")}),
        (flag(given="a\x00b"), {("given", "column.characters")}),
        (flag(given="a\ud800b"), {("given", "column.characters")}),
        (flag(address="1 Street"), {("address", "column.unknown")}),
        (flag(**{"9990000018": "x"}), {("(not a column name)", "column.unknown")}),
        (
            flag(plan_type="X", start="soon", local_id=None),
            {
                ("plan_type", "plan_type.unknown"),
                ("start", "date.not_iso"),
                ("local_id", "column.required"),
            },
        ),
        (b"\xff\xfe", {("", "line.not_utf8")}),
        (b"{", {("", "line.not_json")}),
        (b'{"start": NaN}', {("", "line.not_json")}),
        (b"[" * 15_000, {("", "line.not_json")}),
        (b"[]", {("", "line.not_object")}),
        (b"null", {("", "line.not_object")}),
        (b'{"start": "2025-01-06", "start": "2025-01-07"}', {("start", "column.twice")}),
    ],
)
def test_a_broken_line_is_named_by_field_and_rule(
    line: bytes | dict[str, Any], refusals: set[tuple[str, str]]
) -> None:
    """Each rule has its place and its name."""
    assert parse(line) == refusals


@pytest.mark.parametrize("column", [one for one in COLUMNS if one not in SPARE])
@pytest.mark.parametrize("text", ["\x00", "\x00x", "x\x00", "a\x00b", "a\x01b"])
def test_a_nul_in_any_column_is_refused_by_field(column: str, text: str) -> None:
    """The database takes no NUL: the line is refused before it is ours, and the column named (of a
    phone, that alone is left out)."""
    assert parse({**flag(), column: text}) == {(column, "column.characters")}


def test_first_and_last_day_may_be_the_same_and_birth_may_be_today() -> None:
    """The bounds belong to what is allowed."""
    assert isinstance(parse(flag(end="2025-01-06")), Accepted)
    assert isinstance(parse(flag(birth_date="2026-03-10")), Accepted)
    assert isinstance(parse(flag(birth_date="1900-01-01")), Accepted)
    assert isinstance(parse(flag(start="1990-01-01", end="2046-03-10")), Accepted)


def test_dates_are_bounded_also_on_a_leap_day() -> None:
    """20 years after 29 February there may be no such day: the last bound is then 28 February."""
    for end, taken in (("2100-02-28", True), ("2100-03-01", False)):
        content = json.dumps(flag(start="2080-01-01", end=end)).encode()
        parsed = parse_line(content, gss=NORTH, today=date(2080, 2, 29))
        assert isinstance(parsed, Accepted) is taken


VALUES = st.one_of(st.none(), st.text(max_size=30), st.integers(), st.booleans(), st.floats())


@given(st.one_of(st.binary(max_size=300), st.dictionaries(st.sampled_from(COLUMNS), VALUES)))
def test_any_line_is_taken_or_refused_by_known_rules(line: bytes | dict[str, Any]) -> None:
    """Nothing raises, and a refusal names one of our columns (or none) and a documented rule."""
    parsed = parse(line)
    if not isinstance(parsed, Accepted):
        for field, rule in parsed:
            assert rule in RULES
            assert field in (*COLUMNS, "") or rule in ("column.unknown", "column.twice")


@given(st.sampled_from(COLUMNS), st.text(min_size=12, max_size=40))
def test_a_refusal_never_holds_a_value(column: str, value: str) -> None:
    """Field, rule and message are ours."""
    for name, content in ((column, value), (value + "1", "x")):
        parsed = parse_line(json.dumps({**flag(), name: content}).encode(), gss=NORTH, today=TODAY)
        if not isinstance(parsed, Accepted):
            for one in parsed:
                assert value not in f"{one.field} {one.rule} {one.message}"
