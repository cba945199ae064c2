"""A file of children to be traced, read or refused line by line."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.local_authority.rules import Refusal
from connectors.trace_files.lines import Read, Reader, Wanted, wanted

TODAY = date(2026, 3, 10)
FULL = {
    "local_id": "C-1",
    "nhs_number": "9990000018",
    "family": "Testfield",
    "given": "Robin Ann",
    "birth_date": "2017-03-04",
    "gender": "F",
    "postcode": "ZZ1 1AA",
}


def read(text: bytes, *, piece: int = 7) -> list[Read]:
    """The rows of a file, fed in small pieces."""
    reader = Reader(today=TODAY, max_bytes=1_000)
    found: list[Read] = []
    for start in range(0, len(text), piece):
        found += reader.feed(text[start : start + piece])
    return [*found, *reader.end()]


def test_a_line_becomes_a_claim() -> None:
    """Given names are split, the gender is PDS's word, nothing else is changed."""
    found = wanted(FULL, today=TODAY)
    assert isinstance(found, Wanted)
    assert (found.local_id, found.claim.given, found.claim.gender) == (
        "C-1",
        ("Robin", "Ann"),
        "female",
    )
    assert "Testfield" not in repr(found)


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ({"local_id": None}, ("local_id", "column.required")),
        ({"birth_date": None}, ("birth_date", "trace.too_little")),
        ({"family": None, "given": None}, ("family", "trace.too_little")),
        ({"family": None, "nhs_number": None}, ("family", "trace.too_little")),
        ({"birth_date": "2026-03-11"}, ("birth_date", "date.not_before_today")),
        ({"birth_date": "1899-01-01"}, ("birth_date", "date.not_plausible")),
        ({"birth_date": "2017-02-30"}, ("birth_date", "date.no_such_day")),
        ({"birth_date": "4.3.2017"}, ("birth_date", "date.not_iso")),
        ({"gender": "girl"}, ("gender", "gender.unknown")),
        ({"postcode": "Z" * 11}, ("postcode", "column.too_long")),
        ({"family": "Test\x00field"}, ("family", "column.characters")),
    ],
)
def test_a_line_is_refused_by_column_and_rule(
    change: dict[str, str | None], refusal: tuple[str, str]
) -> None:
    """Each rule, and none repeats a value; every rule says what to do."""
    found = wanted({**FULL, **change}, today=TODAY)
    assert found == (Refusal(*refusal),)
    assert found[0].message


@pytest.mark.parametrize("said", [{"family": None}, {"given": None}, {"nhs_number": None}])
def test_what_can_be_compared_is_enough(said: dict[str, str | None]) -> None:
    """A number with a birth date and one name; or a birth date and a family name."""
    assert isinstance(wanted({**FULL, **said}, today=TODAY), Wanted)


def test_a_flag_file_can_be_traced_as_it_is() -> None:
    """Columns that say nothing of the person are passed over, whatever stands in them."""
    text = (
        b"\xef\xbb\xbfLocal ID;NHS No;Surname;Forename;DOB;Plan type;Start;GSS;Office phone\r\n"
        b'C-1;999 000 0018;"Test;field";Robin;04/03/2017;CPP;=nonsense;E09000001;#REF!\r\n'
        b"C-2;;Other;Kim;42000;;;;\r\n"
    )
    found = read(text)
    assert [one.line for one in found] == [2, 3]
    first, second = (one.person for one in found)
    assert isinstance(first, Wanted)
    assert isinstance(second, Wanted)
    assert (first.claim.family, first.claim.birth_date) == ("Test;field", "2017-03-04")
    assert second.claim.birth_date == "2014-12-27"


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (b"PK\x03\x04.....", "file.workbook"),
        (b"one,two\nC-1,x\n", "header.none"),
        (b"Local ID,Family,Birth date,Secret\n", "header.unknown"),
        (b"Local ID,Family,Surname,Birth date\n", "header.twice"),
        (b"Local ID,NHS number,Birth date\n", "header.missing"),
        (b"Local ID,Family\n", "header.missing"),
    ],
)
def test_a_file_whose_columns_cannot_be_understood_is_refused_whole(text: bytes, rule: str) -> None:
    """Nobody's details are guessed by their place."""
    (found,) = read(text)
    assert found.fatal
    assert isinstance(found.person, tuple)
    assert found.person[0].rule == rule


@given(st.binary(max_size=400), st.integers(1, 50))
def test_no_bytes_break_the_reader(body: bytes, piece: int) -> None:
    """Whatever comes after a good first line is a person or refused; the pieces do not matter."""
    text = b"Local ID,NHS number,Family,Given,Birth date,Sex\n" + body
    found = read(text, piece=piece)
    assert found == read(text, piece=10_000)
    for one in found:
        assert one.line > 1
        if isinstance(one.person, Wanted):
            assert one.person.claim.birth_date
        else:
            assert all(refusal.message for refusal in one.person)


@given(st.binary(max_size=200))
def test_no_bytes_break_the_header(body: bytes) -> None:
    """A first line of anything is read or refused."""
    for one in read(body):
        assert isinstance(one.person, tuple | Wanted)
