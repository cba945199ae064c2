"""What spreadsheets make of values: read back where only one reading is possible."""

from __future__ import annotations

import pytest

from connectors.local_authority.cells import is_serial, read_cell
from connectors.local_authority.rules import Refusal


@pytest.mark.parametrize(
    "text",
    [
        "2017-03-04",
        "2017/3/4",
        "04/03/2017",
        "4/3/2017",
        "4.3.2017",
        "04-03-2017",
        "04/03/2017 00:00:00",
        "2017-03-04T00:00:00",
        "04-Mar-2017",
        "4 March 2017",
        '="2017-03-04"',
        "'04/03/2017",
    ],
)
def test_dates_of_one_reading_become_iso(text: str) -> None:
    """The day stands before the month, as it is written in Britain."""
    assert read_cell("birth_date", text) == "2017-03-04"


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("04/03/17", "date.two_digit_year"),
        ("04-Mar-17", "date.two_digit_year"),
        ("4.3.17 00:00", "date.two_digit_year"),
        ("31/02/2017", "date.no_such_day"),
        ("03/14/2017", "date.no_such_day"),
        ("2017-13-01", "date.no_such_day"),
        ("20170304", "date.not_known"),
        ("March 2017", "date.not_known"),
        ("04 Mrz 2017", "date.not_known"),
        ("yesterday", "date.not_known"),
        ("########", "cell.error"),
        ("#N/A", "cell.error"),
        ("=TODAY()", "cell.formula"),
    ],
)
def test_dates_of_more_readings_are_refused(text: str, rule: str) -> None:
    """And the rule says why."""
    assert read_cell("birth_date", text) == Refusal("birth_date", rule)


def test_day_numbers_are_read_where_an_error_would_be_harmless() -> None:
    """Births and starts (a file of the 1904 system would be four years early there); an end that
    seems to have passed would hide a plan."""
    assert read_cell("birth_date", "42798") == "2017-03-04"
    assert read_cell("start", "45000.0") == "2023-03-15"
    assert is_serial("start", "45000")
    assert not is_serial("start", "2023-03-15")
    for column in ("end", "delete"):
        assert read_cell(column, "45000") == Refusal(column, "date.serial")
    assert read_cell("start", "9") == Refusal("start", "date.not_known")


@pytest.mark.parametrize(
    "text",
    [
        "9990000018",
        "999 000 0018",
        "999-000-0018",
        "999\u00a0000\u00a00018",
        '="9990000018"',
        "9990000018.0",
        "'9990000018",
    ],
)
def test_a_number_is_read_through_what_a_spreadsheet_adds(text: str) -> None:
    """Ten digits are ten digits."""
    assert read_cell("nhs_number", text) == "9990000018"


@pytest.mark.parametrize("text", ["9.99E+09", "9.990000018E+9", "9,99E+09", "1e10"])
def test_a_number_whose_digits_are_lost_is_refused_by_its_own_rule(text: str) -> None:
    """The sender is told what happened, instead of CPR04."""
    refusal = read_cell("nhs_number", text)
    assert refusal == Refusal("nhs_number", "nhs_number.scientific")
    assert "column as text" in refusal.message


@pytest.mark.parametrize("text", ["1.23457E+11", "1,23457e+11", "1.23457E11", "1E+11"])
def test_a_local_id_whose_digits_are_lost_is_refused(text: str) -> None:
    """Two children would have one id."""
    refusal = read_cell("local_id", text)
    assert refusal == Refusal("local_id", "cell.scientific")
    assert "column as text" in refusal.message


@pytest.mark.parametrize("text", ["1E5", "4E123", "E+11", "12.5E+11", "1.23457"])
def test_an_id_with_a_letter_is_no_lost_number(text: str) -> None:
    """Systems give ids of digits and letters; spreadsheets write a point or a plus."""
    assert read_cell("local_id", text) == text


def test_a_number_in_another_wrong_form_is_left_to_identity() -> None:
    """It gets CPR04, as from a file of JSON lines."""
    assert read_cell("nhs_number", "99900018") == "99900018"


def test_formulas_are_refused_and_names_are_not_touched() -> None:
    """Only what a spreadsheet would calculate; an apostrophe may begin a name, a plus a phone."""
    for text in ("=A1&B1", "@SUM(A1)", "=1+1"):
        assert read_cell("family", text) == Refusal("family", "cell.formula")
    assert read_cell("family", "'t Hooft") == "'t Hooft"
    assert read_cell("phone_office", "+44 1632 960201") == "+44 1632 960201"
    assert read_cell("family", " Smith\r\nJones ") == "Smith Jones"
    assert read_cell("plan_type", "cpp") == "CPP"
    assert read_cell("end", " ") is None
